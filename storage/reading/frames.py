"""Frames in memory: anything tabular becomes one Arrow table.

>>> as_table({"id": [1, 2], "text": ["a", "b"]}).column_names
['id', 'text']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import InputError
from assay.storage.interfaces import ArrowStream
from assay.storage.reading.class_names import FEATURES, class_names, named
from assay.storage.reading.source import BATCH_ROWS, Source, regroup, require_column_names
from assay.storage.reading.types import carried


class MemorySource(Source):
    """A table in memory."""

    def __init__(self, table: pa.Table) -> None:
        self.name = "memory"
        self.schema = table.schema
        self.n_rows = table.num_rows
        self._table = table

    def batches(self, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        return regroup(self._table.select(list(columns)).to_batches(max_chunksize=size), size)

    def digest_into(self, digest: Any, columns: Sequence[str]) -> None:
        table = self._table.select(list(columns)).combine_chunks()
        file = pa.PythonFile(_DigestFile(digest), mode="w")
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)


class _DigestFile:
    """A file whose bytes go into a `hashlib` object."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def as_table(frame: Any) -> pa.Table:
    """Return a frame as an Arrow table without metadata, view types or pandas' index columns.

    Parameters
    ----------
    frame : object
        With ``__arrow_c_stream__`` (Polars, pandas, Arrow, DuckDB relation), a Polars LazyFrame, a
        Hugging Face Dataset, a mapping of columns (2-d arrays become fixed-size lists), a sequence
        of mappings, or texts (a list, tuple, array or Series), which become the column `text`.

    Raises
    ------
    InputError
        Anything else, or a frame that Arrow can't hold.
    """
    try:
        table = _table(frame)
        table.validate(full=True)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(f"A {_kind(frame)} can't be read as a table: {reason}.") from None
    require_column_names(table.column_names, "The frame")
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    return named(carried(table.select(names)), class_names(table.schema))


def frame_metadata(frame: Any) -> dict[str, str]:
    """Return what a Hugging Face Dataset states of its features, as metadata of a Parquet file."""
    if not _is_dataset(frame):
        return {}
    stated = (frame.data.schema.metadata or {}).get(FEATURES)
    return {FEATURES.decode(): stated.decode()} if stated else {}


def _is_dataset(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "datasets"


def _table(frame: Any) -> pa.Table:
    if _is_dataset(frame):
        return _hugging_face(frame)
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, Mapping):
        return pa.table({str(name): _column(values) for name, values in frame.items()})
    texts = _texts(frame)
    if texts is not None:
        return pa.table({"text": texts})
    if isinstance(frame, Sequence) and all(isinstance(row, Mapping) for row in frame):
        names = dict.fromkeys(name for row in frame for name in row)
        return pa.table({str(name): [row.get(name) for row in frame] for name in names})
    if isinstance(frame, ArrowStream):
        return pa.table(frame)
    raise InputError(
        f"A pool can't be read from a {_kind(frame)}. Give a path, a folder, a glob, a frame that "
        "has __arrow_c_stream__ (Polars, pandas, Arrow, DuckDB relation), a Polars LazyFrame, a "
        "Hugging Face Dataset, a mapping of columns, a list of mappings or a list of texts."
    )


def _texts(data: Any) -> Any:
    """Return texts that are a pool by themselves as a column, None where something else is given."""
    if isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype.kind in "OTU":
        data = data.tolist()
    if isinstance(data, pl.Series) and data.dtype == pl.String:
        return data.to_arrow(compat_level=pl.CompatLevel.oldest())
    if type(data).__module__.partition(".")[0] == "pandas" and type(data).__name__ == "Series":
        data = data.astype(object).where(data.notna(), None).tolist()
    if not isinstance(data, list | tuple) or not data:
        return None
    if not all(text is None or isinstance(text, str) for text in data):
        return None
    return pa.array(data, pa.large_string())


def _hugging_face(dataset: Any) -> pa.Table:
    if isinstance(dataset, Mapping):
        raise InputError(
            f"A {_kind(dataset)} holds several data sets; choose one of {', '.join(dataset)}."
        )
    countable = isinstance(dataset, Sized)
    if not countable:
        raise InputError(f"A {_kind(dataset)} can't be read more than once; make it a Dataset.")
    table = dataset.with_format("arrow")[:]
    # with the features, which the rows asked for come without
    return table.replace_schema_metadata(dataset.data.schema.metadata)


def _column(values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    if isinstance(values, pl.Series):
        return values.to_arrow(compat_level=pl.CompatLevel.oldest())
    return values


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
