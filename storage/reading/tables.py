"""Tables whose columns are ranked, from the same files that pools are read from.

A table is read whole, by some of its columns, or in batches of rows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property

import polars as pl
import pyarrow as pa

from assay.storage.errors import ColumnError, InputError
from assay.storage.reading.added import with_partitions
from assay.storage.reading.formats import find_files, open_source, open_sources
from assay.storage.reading.samples import as_frame, join_frames
from assay.storage.reading.source import PLAIN, Reading, Source
from assay.storage.reading.values import measure_type


class Table:
    """A file, folder or glob (Parquet, CSV, JSON lines, Arrow IPC) with the same columns throughout.

    Parameters
    ----------
    where : path
        File, folder or glob.
    reading : Reading
        Delimiter and encoding of text files.

    Attributes
    ----------
    columns : list of str
        Names, in order.

    Raises
    ------
    SourceError
        A file is missing or broken.
    ColumnError
        The files' columns differ.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> path = f"{tempfile.mkdtemp()}/t.parquet"
    >>> pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).write_parquet(path)
    >>> table = Table(path)
    >>> table.columns, table.n_rows, table.numeric()
    (['a', 'b'], 2, ['a'])
    """

    def __init__(self, where: str | os.PathLike[str], reading: Reading = PLAIN) -> None:
        self._where = where
        self._sources: list[Source] = open_sources(where, reading)[1]
        self.columns: list[str] = list(self._sources[0].schema.names)
        for source in self._sources:
            # a schema makes its list of names anew each time that it is asked
            names = source.schema.names
            if not (lacking := set(self.columns).difference(names)):
                continue
            name = next(name for name in self.columns if name in lacking)
            raise ColumnError.missing(name, names, what=f"column in {source.name}")

    @cached_property
    def n_rows(self) -> int:
        """Number of rows; a format that doesn't store it is read through once."""
        total = 0
        for source in self._sources:
            if source.n_rows is None:
                for _ in source.batches(source.schema.names[:1]):
                    pass
            total += source.n_rows or 0
        return total

    def numeric(self) -> list[str]:
        """Return the columns that hold numbers or booleans in every file, by their type."""
        return [name for name in self.columns if all(_is_numeric(s, name) for s in self._sources)]

    def read(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read all rows of some or all columns.

        Columns of text formats become numbers as `measure_type` says.

        Raises
        ------
        InputError
            There are no rows.
        """
        names = list(self.columns if columns is None else columns)
        frames: list[pl.DataFrame] = []
        for source in self._sources:
            schema = pa.schema([source.schema.field(name) for name in names])
            batches = list(source.batches(names))
            frames.append(as_frame(pa.Table.from_batches(batches, schema=schema)))
        table = join_frames(frames, "vertical_relaxed")
        if table.is_empty():
            raise InputError(f"{self._where} has no rows; a ranking needs some of each class.")
        if any(source.textual for source in self._sources):
            texts = [column for column in table if column.dtype == pl.String]
            table = table.cast({column.name: measure_type(column) for column in texts})
        return table

    def batches(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Yield the rows of some columns, at most some 16 MB at a time."""
        for source in self._sources:
            for batch in source.batches(list(columns)):
                yield as_frame(pa.Table.from_batches([batch]))


def _is_numeric(source: Source, name: str) -> bool:
    kind = source.schema.field(name).type
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return not source.textual and any(test(kind) for test in tests)


def table_name(where: str | os.PathLike[str]) -> str:
    """Return the stem of the file's or folder's name."""
    return find_files(where)[0]


def table_columns(where: str | os.PathLike[str], reading: Reading = PLAIN) -> list[str]:
    """Return the names of the columns, in order."""
    path, name = find_files(where)[1][0]
    return list(with_partitions(open_source(path, name, reading)).schema.names)


def table_fingerprint(where: str | os.PathLike[str], reading: Reading = PLAIN) -> str:
    """Return the 128-bit BLAKE2b of the files' names and bytes, in hex."""
    digest = hashlib.blake2b(digest_size=16)
    for path, name in find_files(where)[1]:
        source = open_source(path, name, reading)
        source.digest_into(digest, source.schema.names)
    return digest.hexdigest()


def read_table(where: str | os.PathLike[str]) -> pl.DataFrame:
    """Read all rows and columns of a file, folder or glob; see `Table`."""
    return Table(where).read()
