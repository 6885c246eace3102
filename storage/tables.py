"""Tables whose columns are ranked: read whole, from the same files that pools are read from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import polars as pl
import pyarrow as pa

from assay.storage.errors import ColumnError, InputError
from assay.storage.samples import value_type
from assay.storage.sources import Source, find_files, open_source


def _sources(where: str | os.PathLike[str]) -> Iterator[Source]:
    for path, name in find_files(where)[1]:
        yield open_source(path, name)


def table_name(where: str | os.PathLike[str]) -> str:
    """Return the stem of the file's or folder's name."""
    return find_files(where)[0]


def table_columns(where: str | os.PathLike[str]) -> list[str]:
    """Return the names of the columns, in order."""
    return list(next(_sources(where)).schema.names)


def table_fingerprint(where: str | os.PathLike[str]) -> str:
    """Return the 128-bit BLAKE2b of the files' names and bytes, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    for source in _sources(where):
        source.digest_into(digest, source.schema.names)
    return digest.hexdigest()


def read_table(where: str | os.PathLike[str]) -> pl.DataFrame:
    """Read all rows and columns of a file, folder or glob (Parquet, CSV, JSON lines, Arrow IPC).

    Columns of text formats become whole numbers or numbers where every value is one.

    Raises
    ------
    SourceError
        A file is missing or broken.
    ColumnError
        The files' columns differ.
    InputError
        There are no rows.
    """
    frames: list[pl.DataFrame] = []
    textual = False
    names: list[str] | None = None
    for source in _sources(where):
        names = names or source.schema.names
        for name in names:
            if name not in source.schema.names:
                raise ColumnError.missing(
                    name, source.schema.names, what=f"column in {source.name}"
                )
        batches = list(source.batches(names))
        schema = pa.schema([source.schema.field(name) for name in names])
        frame = pl.from_arrow(pa.Table.from_batches(batches, schema=schema))
        assert isinstance(frame, pl.DataFrame)
        frames.append(frame)
        textual = textual or source.textual
    table = pl.concat(frames, how="vertical_relaxed", rechunk=True)
    if table.is_empty():
        raise InputError(f"{where} has no rows; a ranking needs some of each class.")
    if textual:
        table = table.cast({column.name: value_type(column) for column in table})
    return table
