"""Reading Parquet and Arrow IPC files in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.storage.reading.class_names import FEATURES, ClassNames, class_names, named, named_schema
from assay.storage.reading.source import (
    BATCH_BYTES,
    BATCH_ROWS,
    FileSource,
    Rows,
    taken,
)
from assay.storage.reading.types import carried, carried_schema


class ParquetSource(FileSource):
    """A Parquet file, read page by page; `take` skips row groups with no row asked for."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        with self.guard(), self._open() as file:
            metadata = file.metadata
            schema = file.schema_arrow
            stated = (metadata.metadata or {}).get(FEATURES)
            if stated is not None:
                schema = schema.with_metadata({**(schema.metadata or {}), FEATURES: stated})
            self._names = class_names(schema)
            self.schema = named_schema(carried_schema(schema), self._names)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        self._group_ends = np.cumsum([group.num_rows for group in groups], dtype=np.int64)
        self._row_bytes = sum(group.total_byte_size for group in groups) // (metadata.num_rows or 1)
        self.n_rows = metadata.num_rows

    def take(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        batches = [self._no_rows(columns)]
        group_of = np.searchsorted(self._group_ends, rows, side="right")
        for group in range(len(self._group_ends)):
            within = rows[group_of == group]
            if len(within):
                start = self._group_ends[group - 1] if group else 0
                with self.guard():
                    batches += taken(self._read(columns, BATCH_ROWS, [group]), within - start)
        return pa.concat_tables(batches)

    def _open(self) -> pq.ParquetFile:
        file = pa.OSFile(os.fsencode(self.path))
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)

    def _read(
        self, columns: Sequence[str], size: int, groups: list[int] | None = None
    ) -> Iterator[pa.RecordBatch]:
        rows = max(1, min(size, BATCH_BYTES // (self._row_bytes or 1)))
        with self._open() as file:
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(columns)):
                yield _sound(batch.select(list(columns)), self._names)


class IpcSource(FileSource):
    """An Arrow IPC file or stream; memory follows its largest record batch."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        with self.guard(), pa.OSFile(os.fsencode(path)) as file:
            schema = _ipc_reader(file).schema
        self._names = class_names(schema)
        self.schema = named_schema(carried_schema(schema), self._names)

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        fields = sorted(self.schema.get_field_index(column) for column in columns)
        with pa.OSFile(os.fsencode(self.path)) as file:
            reader = _ipc_reader(file, included_fields=fields)
            if isinstance(reader, pa.RecordBatchFileReader):
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            else:
                batches = iter(reader)
            for batch in batches:
                yield _sound(batch.select(list(columns)), self._names)


def _sound(batch: pa.RecordBatch, names: ClassNames) -> pa.RecordBatch:
    """Return a batch that is safe to process: its offsets are within it, its text is UTF-8."""
    batch.validate(full=True)
    return named(carried(batch), names)


def _ipc_reader(file: pa.NativeFile, **options: Any) -> Any:
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
    return opened(file, options=pa.ipc.IpcReadOptions(**options))
