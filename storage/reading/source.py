"""Where a pool's rows come from: sources of Arrow record batches.

Every source hands out the columns asked for, in row order, in batches whose memory is bounded.
"""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import ConfigError, InputError, SourceChangedError, SourceError
from assay.storage.reading.remote import shown

BATCH_ROWS = 16_384
BATCH_BYTES = 16 << 20
"""A batch ends when it holds so many rows or bytes."""
MOST_COLUMNS = 250_000
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Reading:
    """How text files are read: the character between fields (None: found), and the encoding."""

    delimiter: str | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            named = _DELIMITERS.get(self.delimiter, self.delimiter)
            if len(named) != 1 or not named.isascii() or named in '"\r\n\0' or named.isalnum():
                raise ConfigError(
                    f"The delimiter {self.delimiter!r} is not one ASCII character such as , ; | or "
                    "tab; letters, digits, quotes and line breaks can't be one."
                )
            object.__setattr__(self, "delimiter", named)
        if self.encoding is not None:
            try:
                codecs.getincrementaldecoder(self.encoding)
            except LookupError:
                raise ConfigError(
                    f"There is no text encoding {self.encoding!r}; common ones are utf-8, utf-16, "
                    "latin-1, cp1252 and shift_jis."
                ) from None


PLAIN = Reading()


class Source:
    """Rows in a fixed order, read as often as needed.

    Attributes
    ----------
    name : str
        What the samples' column `source` holds.
    schema : pyarrow.Schema
        All columns there are.
    n_rows : int or None
        None until it is known.
    textual : bool
        Whether all columns are text because the format knows no other type (CSV).
    folder : Path or None
        Where relative paths in its rows begin.
    """

    name: str
    schema: pa.Schema
    n_rows: int | None = None
    textual: bool = False
    folder: Path | None = None

    def batches(self, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the columns in row order, at most `size` rows at a time."""
        raise NotImplementedError

    def take(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        """Return the given rows (ascending, unique); those past the end are left out."""
        table = taken(self.batches(columns), rows)
        return pa.concat_tables([self._no_rows(columns), *table])

    def digest_into(self, digest: Any, columns: Sequence[str]) -> None:
        """Feed the content to a `hashlib` object."""
        raise NotImplementedError

    def places(self, start: int, count: int) -> tuple[list[str], Rows]:
        """Return where rows come from: the name of their file, and their number in it."""
        return [self.name] * count, np.arange(start, start + count, dtype=np.int64)

    def _no_rows(self, columns: Sequence[str]) -> pa.Table:
        schema = pa.schema([self.schema.field(column) for column in columns])
        return pa.Table.from_batches([], schema)


class FileSource(Source):
    """One file; it must stay as it was when it was first seen."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.folder = path.parent
        self.name = name
        self.shown = shown(path)
        self._seen = self._state()

    def batches(self, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        rows = 0
        with self.guard():
            for batch in regroup(self._read(columns, size), size):
                rows += batch.num_rows
                yield batch
        if self.n_rows not in (None, rows):
            raise SourceError(
                f"{self.shown} says that it has {self.n_rows} rows, but {rows} can be read. It is "
                "damaged; write it anew."
            )
        self.n_rows = rows

    def digest_into(self, digest: Any, columns: Sequence[str]) -> None:
        name = self.name.encode()
        for number in (len(name), self._seen[0]):
            digest.update(number.to_bytes(8, "little"))
        digest.update(name)
        with self.guard(), open(self.path, "rb") as file:
            while piece := file.read(BATCH_BYTES):
                digest.update(piece)

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Raise if the file changes meanwhile; turn a failure to read it into a `SourceError`."""
        self._check()
        try:
            yield
        except pa.ArrowMemoryError as error:
            raise SourceError(
                f"{self.shown} can't be read: {error}. It is damaged, or what it holds in one piece is "
                "larger than the memory; write it anew in smaller row groups or batches."
            ) from None
        except MemoryError:
            raise
        except (
            pa.ArrowException,
            pl.exceptions.PolarsError,
            OSError,
            EOFError,
            UnicodeDecodeError,  # of a column's name
        ) as error:
            self._check()
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise SourceError(f"{self.shown} can't be read: {reason}.") from None
        self._check()

    def _check(self) -> None:
        try:
            same = self._state() == self._seen
        except OSError:
            same = False
        if not same:
            raise SourceChangedError(
                f"{self.shown} changed or vanished after it was first read. "
                "Let whatever writes it finish, then read the pool again."
            )

    def _state(self) -> tuple[int, int]:
        status = os.stat(self.path)
        return status.st_size, status.st_mtime_ns


def taken(batches: Iterable[pa.RecordBatch], rows: Rows) -> list[pa.Table]:
    """Return the given rows (ascending, unique) of consecutive batches, read as far as needed."""
    pieces, start = [], 0
    if len(rows):
        for batch in batches:
            stop = start + batch.num_rows
            first, last = np.searchsorted(rows, (start, stop))
            if first < last:
                chosen = batch.take(pa.array(rows[first:last] - start))
                pieces.append(pa.Table.from_batches([chosen]))
            if last == len(rows):
                break
            start = stop
    return pieces


def regroup(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """Join and split batches to `size` rows each, or fewer once they reach `BATCH_BYTES`."""
    held: list[pa.RecordBatch] = []
    rows = held_bytes = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, size - rows)
            held.append(piece)
            start += piece.num_rows
            rows += piece.num_rows
            held_bytes += piece.nbytes
            if rows == size or held_bytes >= BATCH_BYTES:
                yield held[0] if len(held) == 1 else pa.concat_batches(held)
                held, rows, held_bytes = [], 0, 0
    if held:
        yield held[0] if len(held) == 1 else pa.concat_batches(held)


def require_column_names(names: Sequence[str], where: str) -> None:
    """Raise `InputError` if two columns have one name, a name can't be one, or they are too many."""
    if len(names) > MOST_COLUMNS:
        raise InputError(
            f"{where} has {len(names):,} columns; up to {MOST_COLUMNS:,} can be read. Put numbers that "
            "belong together into one column of lists, or the table into several files."
        )
    if any("\0" in name for name in names):
        raise InputError(f"{where} has a column whose name holds the character NUL. Rename it.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"{where} has more than one column named {', '.join(map(repr, repeated))}. "
            "Give every column a name of its own."
        )
