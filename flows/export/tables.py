"""Exports that are tables: one file, or a folder of shards; ids alone; a folder for `datasets`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.export.features import IMAGE, with_features
from assay.flows.export.frames import frame_bytes, settled
from assay.flows.export.json_text import as_json
from assay.flows.export.selection import Selection
from assay.storage.errors import ConfigError
from assay.storage.reading.types import storable

Files = Iterator[tuple[str, bytes]]
_MOST_CLASSES = 10_000
_BATCH_ROWS = 1_000


def shards(frame: pl.DataFrame, shard_size: int) -> list[pl.DataFrame]:
    """Cut a frame into pieces of `shard_size` rows; at least one, which may be empty."""
    return [frame.slice(start, shard_size) for start in range(0, max(frame.height, 1), shard_size)]


def table_files(
    selection: Selection, format: str, shard_size: int, *, raw: bool = False, compression: str = ""
) -> Files:
    """Yield the shards of a table as names and bytes."""
    pieces = shards(selection.frame, shard_size)
    for place, piece in enumerate(pieces):
        name = f"part-{place:05d}-of-{len(pieces):05d}.{format}{compression}"
        yield name, frame_bytes(piece, format, raw=raw, compression=compression)


def id_lines(selection: Selection) -> bytes:
    """Return one id a line.

    Raises
    ------
    ConfigError
        An id holds a line break.
    """
    broken = selection.ids.filter(selection.ids.str.contains(r"[\r\n]"))
    if len(broken):
        raise ConfigError(
            f"The id {broken[0]!r} holds a line break, so that ids can't stand one a line. Write "
            "F.jsonl or F.parquet with --columns instead."
        )
    return "".join(f"{each}\n" for each in selection.ids).encode()


def hugging_face_files(selection: Selection, shard_size: int) -> Files:
    """Yield the files of a folder that `datasets` opens by load_dataset and load_from_disk."""
    table, features = _hugging_face_table(selection)
    info = {"info": {"features": features}}
    table = table.replace_schema_metadata({"huggingface": as_json(info)})
    starts = range(0, max(table.num_rows, 1), shard_size)
    names = [f"data-{place:05d}-of-{len(starts):05d}.arrow" for place in range(len(starts))]
    digest = hashlib.blake2b(selection.run_id.encode(), digest_size=8)
    for name, start in zip(names, starts, strict=True):
        content = _stream(table.slice(start, shard_size))
        digest.update(content)
        yield f"train/{name}", content
    yield "dataset_dict.json", _json({"splits": ["train"]})
    about = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    yield "train/dataset_info.json", _json(about)
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": digest.hexdigest(),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    yield "train/state.json", _json(state)


def _hugging_face_table(selection: Selection) -> tuple[pa.Table, dict[str, Any]]:
    frame = storable(selection.frame, as_tables=False)
    stated = dict(selection.pool.features)
    image = selection.content_column if selection.pool.kind == "image" else None
    if image in frame.columns:
        files = selection.image_files
        names = _stated_paths(frame.get_column(image), files)
        pictures = pl.DataFrame({"bytes": selection.contents, "path": names})
        frame = frame.with_columns(pictures.to_struct(image))
        stated[image] = stated.get(image, IMAGE)
    categorical = [
        name
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Categorical | pl.Enum) and name not in stated
    ]
    classes = {}
    for name in set(categorical) & set(selection.pool.columns):
        values = selection.pool.typed_columns([name]).get_column(name).cast(pl.String)
        distinct = values.drop_nulls().unique().sort().to_list()
        if len(distinct) <= _MOST_CLASSES:
            classes[name] = distinct
    return with_features(frame, stated, classes)


def _stated_paths(column: pl.Series, files: list[Any]) -> pl.Series:
    """Return the names of image files, as far as they are known."""
    names = pl.Series([None if file is None else file.name for file in files], dtype=pl.String)
    kind = column.dtype
    if isinstance(kind, pl.Struct) and "path" in [field.name for field in kind.fields]:
        stated = column.struct.field("path").cast(pl.String).str.split("/").list.last()
        return pl.select(pl.coalesce(names, stated)).to_series()
    return names


def _stream(table: pa.Table) -> bytes:
    table = settled(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def vector_bytes(vector: Any) -> bytes:
    """Return one vector as the bytes of a .npy file."""
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(vector, dtype=np.float32))
    return buffer.getvalue()
