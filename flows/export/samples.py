"""Exports with a file for each sample: tars for WebDataset, images in folders of their classes."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import polars as pl

from assay.flows.export.frames import whole_numbers
from assay.flows.export.json_text import as_json
from assay.flows.export.selection import Selection
from assay.flows.export.tables import Files, vector_bytes
from assay.flows.export.text_values import refuse_bytes
from assay.storage.errors import ConfigError

UNLABELED = "unlabeled"
_SIGNATURES = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
)
_UNSAFE = re.compile(r"[^\w.@+ -]")


def image_extension(content: bytes) -> str:
    """Return the extension that the first bytes of an image tell, ``bin`` where they tell none.

    Examples
    --------
    >>> image_extension(b"GIF89a"), image_extension(b"RIFF0000WEBP"), image_extension(b"")
    ('gif', 'webp', 'bin')
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((name for start, name in _SIGNATURES if content.startswith(start)), "bin")


def web_dataset_files(selection: Selection, shard_size: int) -> Files:
    """Yield tars with each sample's content and its other columns as JSON, in the rows' order."""
    kind = selection.pool.kind
    content, vector = selection.content_column, selection.renamed.get("vector", "vector")
    apart = {content} | ({vector} if vector in selection.frame.columns else set())
    others = whole_numbers(selection.frame.drop(*apart, strict=False))
    refuse_bytes(others, "WebDataset's JSON")
    if "sample_id" not in others.columns:
        others = others.with_columns(selection.ids.alias("sample_id"))
    vectors = (
        selection.frame.get_column(vector)
        if vector in selection.frame.columns and vector != content
        else None
    )
    starts = range(0, max(others.height, 1), shard_size)
    for place, start in enumerate(starts):
        tar = io.BytesIO()
        with tarfile.TarFile(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as writer:
            rows = others.slice(start, shard_size).iter_rows(named=True)
            for number, row in enumerate(rows, start):
                key = f"{number:09d}"
                for name, member in _content(kind, selection.contents[number]):
                    _add(writer, f"{key}.{name}", member)
                if vectors is not None and vectors[number] is not None:
                    _add(writer, f"{key}.vector.npy", vector_bytes(vectors[number]))
                _add(writer, f"{key}.json", as_json(row).encode())
        yield f"data-{place:06d}-of-{len(starts):06d}.tar", tar.getvalue()


def _content(kind: str, value: object) -> Iterator[tuple[str, bytes]]:
    if value is None:
        return
    if isinstance(value, bytes):
        yield image_extension(value), value
    elif isinstance(value, str):
        yield "txt", value.encode()
    else:
        yield "npy", vector_bytes(value)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a member that says nothing of time, user and machine."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(content))


def class_folder_names(selection: Selection) -> list[str]:
    """Return where the image of each row goes: the folder of its class, and its own name.

    Names that come again in a folder get the row's number in front.

    Raises
    ------
    ConfigError
        The pool holds no images.
    """
    if selection.pool.kind != "image":
        raise ConfigError(
            f"The pool holds {selection.pool.kind}s, and only images go into folders of classes. "
            "Choose another format."
        )
    names = [
        image_name(file, content, sample_id)
        for file, content, sample_id in zip(
            selection.image_files, selection.contents, selection.ids, strict=True
        )
    ]
    labels = selection.rows["label"].cast(pl.String).fill_null(UNLABELED).to_list()
    frame = pl.DataFrame(
        {"folder": [safe_name(label) or UNLABELED for label in labels], "name": names},
        schema={"folder": pl.String, "name": pl.String},
    ).with_row_index("row")
    numbered = pl.format("{}-{}", pl.col("row").cast(pl.String).str.zfill(9), "name")
    again = _repeated("name")
    named = frame.with_columns(name=pl.when(again).then(numbered).otherwise("name"))
    if named.select(_repeated("name").any()).item():
        named = frame.with_columns(name=numbered)
    return named.select(pl.format("{}/{}", "folder", "name")).to_series().to_list()


def _repeated(name: str) -> pl.Expr:
    # file systems that ignore case would take two names for one
    return pl.struct(pl.col("folder", name).str.to_lowercase()).is_duplicated()


def image_name(file: Path | None, content: bytes | None, sample_id: str) -> str:
    """Return the name of a copied image: its file's, or its id with an extension."""
    if file is not None:
        return f"{safe_name(file.stem)}{file.suffix}"
    extension = image_extension(content or b"")
    stem = sample_id.removesuffix(f".{extension}")
    return f"{safe_name(PurePosixPath(stem).name)}.{extension}"


def safe_name(text: str) -> str:
    """Return a text as one part of a path, its other characters as ``%XX``, at most 180 bytes.

    Examples
    --------
    >>> safe_name("cats & dogs"), safe_name("../etc"), safe_name("..")
    ('cats %26 dogs', '%2E.%2Fetc', '%2E%2E')
    """
    safe = _UNSAFE.sub(lambda match: "".join(f"%{b:02X}" for b in match[0].encode()), text.strip())
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if safe.endswith("."):
        safe = f"{safe[:-1]}%2E"
    return safe.encode()[:180].decode(errors="ignore").strip()
