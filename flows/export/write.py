"""Handing out rows of a run: into a table, a training library's format, or folders of images."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.flows.config.fields import as_tuple
from assay.flows.export.card import dataset_card
from assay.flows.export.card_facts import facts_of
from assay.flows.export.columns import check_additions
from assay.flows.export.croissant import File, croissant
from assay.flows.export.destination import MADE, check_destination, check_folder
from assay.flows.export.frames import already_there, frame_bytes, write_file
from assay.flows.export.samples import class_folder_names, web_dataset_files
from assay.flows.export.selection import Selection, select
from assay.flows.export.tables import hugging_face_files, id_lines, table_files
from assay.flows.running.finished import curation_run
from assay.storage import ScoreStore
from assay.storage.disk.atomic import output_directory
from assay.storage.errors import ConfigError

CARD, DESCRIPTION = "README.md", "croissant.json"
_SUFFIXES = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".arrow": "arrow",
    ".txt": "ids",
}
_PACKED = ("jsonl", "csv")


@dataclass(frozen=True)
class Format:
    """A format of exports.

    Attributes
    ----------
    help : str
    folder : bool
        Whether it always makes a folder.
    shard_rows : int
        Rows of a file, unless the call says otherwise.
    loads : str or None
        A pattern of the files that `datasets.load_dataset` opens.
    columns : bool
        Whether its files are tables with the columns of the rows.
    """

    help: str
    folder: bool = False
    shard_rows: int = 100_000
    loads: str | None = None
    columns: bool = True


FORMATS = {
    "parquet": Format("Parquet: F.parquet, or a folder of shards", loads="*.parquet"),
    "jsonl": Format("JSON lines, also .gz and .zst", loads="*.jsonl*"),
    "csv": Format("CSV, also .gz and .zst", loads="*.csv*"),
    "arrow": Format("Arrow IPC files", loads="*.arrow"),
    "hf": Format(
        "a folder that `datasets` opens by load_dataset and load_from_disk",
        folder=True,
        loads="train/*.arrow",
    ),
    "webdataset": Format(
        "tars of samples in the rows' order", True, 10_000, loads="*.tar", columns=False
    ),
    "images": Format("image files in folders of their labels", True, columns=False),
    "ids": Format("one id a line", columns=False),
}


def export(
    store: ScoreStore,
    out: str | os.PathLike[str],
    *,
    run: str | None = None,
    rows: str = "chosen",
    with_: str | Collection[str] = (),
    format: str | None = None,
    columns: str | Sequence[str] | None = None,
    pool: str | os.PathLike[str] | None = None,
    shard_size: int | None = None,
    card: bool = False,
    link: bool = False,
    all_runs: bool = False,
    raw: bool = False,
    overwrite: bool = False,
) -> int:
    """Write rows of a run with their own columns, then position, weight and scores; return how many.

    The same run gives the same bytes.

    Parameters
    ----------
    store : ScoreStore
        The store.
    out : path-like
        A file or folder; it is written whole or not at all. Never one of the store, or one that its
        runs were made from. By its ending it is a .parquet, .jsonl or .csv file (these two also
        .gz or .zst), .arrow or .txt; anything else is a folder.
    run : str, optional
        A run's id, or its first digits; the newest finished run where left out.
    rows : str, default "chosen"
        ``chosen``, ``left``, ``all``, a condition in SQL or a query; see
        `assay.flows.export.rows.rows_of`.
    with_ : collection of str, or names in a text
        Of ``vectors``, ``map``, ``neighbors``, ``scores`` and ``decisions``. Scores are always
        there, unless ``none`` is named.
    format : str, optional
        A name in `FORMATS`; by default what the ending says, Parquet for a folder.
    columns : sequence of str, or names in a text, optional
        Which of the pool's own columns to hand out; all by default.
    pool : path-like, optional
        Where the pool is now, if it was moved since the run.
    shard_size : int, optional
        Rows of each file in a folder.
    card : bool, default False
        Whether a dataset card (README.md) and a Croissant description (croissant.json) are written
        beside the rows. The format ``hf`` always has the card.
    link : bool, default False
        Whether ``images`` links to the pool's files rather than to copy them.
    all_runs : bool, default False
        Whether `run` may name an archived run.
    raw : bool, default False
        Whether CSV keeps texts that a spreadsheet would take for formulas as they are; otherwise
        they get a quote in front (see `assay.flows.export.csv_cells`).
    overwrite : bool, default False
        Whether an existing file, or a folder that an export made, is replaced.

    Raises
    ------
    ConfigError
        `out` may not be written, or the format can't hold what is asked for.
    StoreError
        The pool is not what it was when the run was made, or a part of the run is gone.
    """
    out = Path(out)
    format, compression, folder = _resolved(out, format, shard_size)
    wanted = check_additions(as_tuple(with_))
    if shard_size is not None and shard_size < 1:
        raise ConfigError(f"The shard size must be at least 1 row, not {shard_size}.")
    if link and format != "images":
        raise ConfigError(f"Only the format images can link to files; {format} writes its own.")
    beside = [out.parent / name for name in (CARD, DESCRIPTION)] if card and not folder else []
    inputs = [] if pool is None else [os.fspath(pool)]
    if folder:
        check_folder(out, store, overwrite=overwrite, inputs=inputs)
    for path in [] if folder else [out, *beside]:
        check_destination(path, store, overwrite=overwrite, inputs=inputs)
    chosen = curation_run(store, run, all_runs=all_runs)
    selection = select(
        store, chosen, rows=rows, additions=wanted, columns=as_tuple(columns), pool=pool
    )
    if folder:
        _write_folder(
            selection,
            out,
            format,
            shard_rows=shard_size or FORMATS[format].shard_rows,
            with_card=card,
            link=link,
            compression=compression,
            raw=raw,
            overwrite=overwrite,
        )
        return selection.rows.height
    if format == "ids":
        content = id_lines(selection)
    else:
        content = frame_bytes(selection.frame, format, raw=raw, compression=compression)
    write_file(out, content, overwrite)
    if card:
        files = {out.name: _known(content)}
        loads = out.name if FORMATS[format].loads else None
        for path, text in zip(beside, _about(selection, format, files, loads, None), strict=True):
            write_file(path, text, overwrite)
    return selection.rows.height


def _resolved(out: Path, format: str | None, shard_size: int | None) -> tuple[str, str, bool]:
    """Return the format, its compression, and whether it is a folder."""
    compression = out.suffix.lower() if out.suffix.lower() in (".gz", ".zst") else ""
    stem = Path(out.stem) if compression else out
    implied = _SUFFIXES.get(stem.suffix.lower())
    if format is not None and format not in FORMATS:
        raise ConfigError(f"There is no format {format!r}; there are: {', '.join(FORMATS)}.")
    if implied is None and out.suffix and not out.is_dir() and format is None:
        raise ConfigError(
            f"{out} must end in one of {', '.join(_SUFFIXES)} (.jsonl and .csv also with .gz or "
            ".zst), or be a folder: a name without an ending, or --format."
        )
    if format is None:
        format = implied or "parquet"
    elif implied is not None and implied != format:
        raise ConfigError(
            f"{out} ends as {implied} does, and the format is {format}; give one of the two, or a "
            "folder."
        )
    folder = FORMATS[format].folder or (implied is None and format != "ids")
    if compression and (folder or format not in _PACKED):
        raise ConfigError(f"{format} is not packed with {compression}; only .jsonl and .csv are.")
    if shard_size is not None and not folder:
        raise ConfigError(
            f"{out} is one file; shards need a folder: a name without an ending as --out."
        )
    return format, compression, folder


def _write_folder(
    selection: Selection,
    out: Path,
    format: str,
    *,
    shard_rows: int,
    with_card: bool,
    link: bool,
    compression: str,
    raw: bool,
    overwrite: bool,
) -> None:
    files: dict[str, File] = {}

    def put(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = _known(content)

    try:
        with output_directory(out, replace=overwrite) as folder:
            if format == "images":
                files |= _put_images(selection, folder, link)
            else:
                for name, content in _contents(selection, format, shard_rows, compression, raw):
                    put(name, content)
            loads = FORMATS[format].loads
            if with_card or format == "hf":
                texts = _about(selection, format, files, loads, loads)
                put(CARD, texts[0])
                if with_card:
                    put(DESCRIPTION, texts[1])
            manifest = {"run": selection.run_id, "format": format, "files": sorted(files)}
            (folder / MADE).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    except FileExistsError:
        raise already_there(out) from None


def _contents(
    selection: Selection, format: str, shard_rows: int, compression: str, raw: bool
) -> Iterable[tuple[str, bytes]]:
    if format == "hf":
        return hugging_face_files(selection, shard_rows)
    if format == "webdataset":
        return web_dataset_files(selection, shard_rows)
    return table_files(selection, format, shard_rows, raw=raw, compression=compression)


def _put_images(selection: Selection, folder: Path, link: bool) -> dict[str, File]:
    names = class_folder_names(selection)
    sources = selection.image_files
    if link and None in sources:
        raise ConfigError(
            "Some of these images are bytes in a table, which nothing can link to. Copy them: leave "
            "--link out."
        )
    files = {}
    for name, source, content in zip(names, sources, selection.contents, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if link and source is not None:
            path.symlink_to(source.resolve())
        elif source is not None:
            shutil.copyfile(source, path)
        else:
            path.write_bytes(content or b"")
        files[name] = _known(content or b"")
    return files


def _known(content: bytes) -> File:
    return File(hashlib.sha256(content).hexdigest(), len(content))


def _about(
    selection: Selection,
    format: str,
    files: dict[str, File],
    loads: str | None,
    data: str | None,
) -> tuple[bytes, bytes]:
    """Return the card and the description of what was written."""
    facts = facts_of(selection)
    text = dataset_card(selection, facts, loads)
    shown = {name: file for name, file in files.items() if name != CARD}
    described = croissant(selection, facts, shown, data=data, columns=FORMATS[format].columns)
    return text.encode(), described


def push_to_hub(
    folder: str | os.PathLike[str], repo: str, *, private: bool = False, token: str | None = None
) -> str:
    """Upload a folder that `export` made to the Hugging Face Hub as a data set; return its URL.

    Parameters
    ----------
    folder : path-like
    repo : str
        ``user/name``; it is made where it is not there.
    private : bool, default False
        Whether a new data set is private.
    token : str, optional
        By default the one that `huggingface-cli login` keeps, or of the variable HF_TOKEN.

    Raises
    ------
    ConfigError
        `huggingface_hub` is missing, or no export made the folder.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError(
            "Uploading needs the package huggingface_hub: pip install 'assay-curation[hf]'."
        ) from None
    if not (Path(folder) / MADE).is_file():
        raise ConfigError(f"{folder} is not a folder that `assay export --format hf` made.")
    api: Any = HfApi(token=token)
    api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo, repo_type="dataset", folder_path=os.fspath(folder), ignore_patterns=[MADE]
    )
    return str(commit)
