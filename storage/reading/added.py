"""Columns that a file does not hold itself: the values of its folders' names, vectors beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from assay.storage.reading.source import BATCH_ROWS, Rows, Source

_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Added:
    """A column: its type, its values at rows, and what identifies its content if not its name."""

    type: pa.DataType
    values: Callable[[Rows], Any]
    digest: Callable[[Any], None] | None = None


class AddedColumns(Source):
    """A source with further columns beside its own."""

    def __init__(self, source: Source, added: Mapping[str, Added]) -> None:
        self._source = source
        self._added = dict(added)
        self.name = source.name
        self.textual = source.textual
        self.folder = source.folder
        fields = [pa.field(name, column.type) for name, column in added.items()]
        self.schema = pa.schema([*source.schema, *fields], metadata=source.schema.metadata)

    @property
    def n_rows(self) -> int | None:  # type: ignore[override]
        return self._source.n_rows

    def batches(self, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in self._source.batches(self._own(columns), size):
            rows = np.arange(start, start + batch.num_rows)
            start += batch.num_rows
            yield pa.RecordBatch.from_arrays(self._arrays(batch, rows, columns), list(columns))

    def take(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        table = self._source.take(rows, self._own(columns))
        return pa.table(self._arrays(table, rows[: table.num_rows], columns), list(columns))

    def digest_into(self, digest: Any, columns: Sequence[str]) -> None:
        self._source.digest_into(digest, [c for c in columns if c not in self._added])
        for column in self._added.values():
            if column.digest is not None:
                column.digest(digest)

    def _own(self, columns: Sequence[str]) -> list[str]:
        own = [name for name in columns if name not in self._added]
        # without any column the number of rows would be lost
        return own or self._source.schema.names[:1]

    def _arrays(self, table: Any, rows: Rows, columns: Sequence[str]) -> list[Any]:
        return [
            self._added[name].values(rows) if name in self._added else table.column(name)
            for name in columns
        ]


def with_partitions(source: Source) -> Source:
    """Return a source with one column for each folder ``name=value`` on its path.

    A column of the file's own comes first.
    """
    values: dict[str, str | None] = {}
    for part in source.name.split("/")[:-1]:
        key, equals, value = part.partition("=")
        key = unquote(key)
        if equals and key and key not in source.schema.names:
            values[key] = None if value == _NULL else unquote(value)
    added = {name: _constant(value) for name, value in values.items()}
    return AddedColumns(source, added) if added else source


def _constant(value: str | None) -> Added:
    # categories are never taken as content by default
    kind = pa.dictionary(pa.int32(), pa.string())
    return Added(kind, lambda rows: pa.array([value] * len(rows), kind))
