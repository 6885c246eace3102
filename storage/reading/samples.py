"""The frame of samples: everything about a pool's rows except their content."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import InputError
from assay.storage.hashing.rows import hash_rows, hex_digests
from assay.storage.names import stored_name
from assay.storage.reading.roles import FIXED_NAMES, Roles
from assay.storage.reading.source import BATCH_ROWS, Source
from assay.storage.reading.types import storable
from assay.storage.reading.values import (
    EXACT_WHOLE,
    Mask,
    Matrix,
    WrongLengthError,
    as_text,
    check_ids,
    content_ids,
    image_values,
    number_type,
    text_values,
    vector_values,
)

IMAGE_ROWS = 256

_PROBLEMS = pl.Series([None, "empty", "not_finite"], dtype=pl.String)


def sample_frame(sources: Iterable[Source], roles: Roles, dimension: int | None) -> pl.DataFrame:
    """Return the samples of all sources; `dimension` is the length that vectors must have."""
    described, kept = [], []
    for source in sources:
        row = 0
        for batch in source.batches(roles.columns, batch_rows(roles)):
            described.append(_describe(batch, source, row, roles, dimension))
            kept.append((source, _kept(batch, roles.keep)))
            row += batch.num_rows
    frame = pl.concat(described, rechunk=True)
    if roles.id is None:
        frame = frame.with_columns(content_ids(frame["content_hash"]))
    else:
        check_ids(frame, roles.id)
    return frame.select(FIXED_NAMES).hstack(_stored(_joined(kept)))


def typed_columns(sources: Iterable[Source], names: Sequence[str]) -> pl.DataFrame:
    """Return columns of all rows with the types that they would be kept with.

    A source that lacks a column gives nulls.
    """
    parts = [
        (source, _with_missing(batch, names, source.textual))
        for source in sources
        for batch in source.batches(
            [name for name in names if name in source.schema.names] or source.schema.names[:1]
        )
    ]
    return _joined(parts)


def _with_missing(batch: pa.RecordBatch, names: Sequence[str], textual: bool) -> pl.DataFrame:
    own = set(batch.schema.names)
    kept = _kept(batch, [name for name in names if name in own])
    nulls = pl.repeat(None, batch.num_rows, dtype=pl.String if textual else pl.Null, eager=True)
    return pl.DataFrame({name: kept.get_column(name) if name in own else nulls for name in names})


def checked_vectors(
    array: pa.Array, column: str, source: Source, row: int, dimension: int | None
) -> tuple[Matrix, Mask]:
    """Return `vector_values`, or an error that names the row; `row` is the number of the first."""
    try:
        return vector_values(array, dimension)
    except WrongLengthError as error:
        raise InputError(
            f"Vectors in column {column!r} must be equally long: row {row + error.row} of "
            f"{source.name} has {error.found} numbers, those before it {error.expected}."
        ) from None


def content_values(array: Any, source: Source, roles: Roles) -> tuple[Any, Mask]:
    """Return texts or images as `text_values` or `image_values` does."""
    if roles.kind == "text":
        return text_values(array, roles.template, turns=roles.turns, system=roles.system)
    return image_values(array, source.folder)


def batch_rows(roles: Roles, size: int = BATCH_ROWS) -> int:
    """Return how many rows to read at once: images may be read from as many files."""
    return min(size, IMAGE_ROWS) if roles.kind == "image" else size


def _describe(
    batch: pa.RecordBatch, source: Source, row: int, roles: Roles, dimension: int | None
) -> pl.DataFrame:
    content = batch.column(roles.content)
    problem = np.zeros(len(content), dtype=np.uint32)
    if roles.kind == "vector":
        vectors, empty = checked_vectors(content, roles.content, source, row, dimension)
        hashes = hash_rows(vectors)
        hashes[empty] = hash_rows([""])
        problem[~np.isfinite(vectors).all(axis=1)] = 2
    else:
        values, empty = content_values(content, source, roles)
        hashes = hash_rows(values)
    problem[empty] = 1
    names, rows = source.places(row, len(content))
    return pl.DataFrame(
        {
            "sample_id": _text(batch, "id", roles.id),
            "source": names,
            "row": rows,
            "label": _text(batch, "label", roles.label),
            "group_id": _text(batch, "group", roles.group),
            "content_hash": hex_digests(hashes),
            "problem": _PROBLEMS.gather(problem),
        }
    )


def _text(batch: pa.RecordBatch, role: str, column: str | None) -> pl.Series:
    if column is None:
        return pl.repeat(None, batch.num_rows, dtype=pl.String, eager=True)
    try:
        return pl.Series(as_text(_own(batch.column(column))))
    except TypeError as error:
        raise InputError(f"Column {column!r} can't be used as {role}: {error}.") from None


def _kept(batch: pa.RecordBatch, keep: Sequence[str]) -> pl.DataFrame:
    return storable(pl.DataFrame({name: pl.Series(_own(batch.column(name))) for name in keep}))


def _own(array: pa.Array) -> pa.Array:
    """Copy an array out of a buffer that it may share with the content."""
    return array.take(pa.array(np.arange(len(array))))


def _joined(parts: Sequence[tuple[Source, pl.DataFrame]]) -> pl.DataFrame:
    """Join the columns to keep, giving those of text formats the type that their values have."""
    textual = [frame for source, frame in parts if source.textual]
    texts = [column for column in _columns(textual) if column.dtype == pl.String]
    types: dict[Any, Any] = {column.name: number_type(column) for column in texts}
    frames = [frame.cast(types) if source.textual else frame for source, frame in parts]
    return join_frames(frames, "vertical_relaxed")


def _stored(kept: pl.DataFrame) -> pl.DataFrame:
    """Return the columns to keep under names that are not those of our own beside them."""
    return pl.DataFrame({stored_name(c.name): c for c in kept.get_columns()})


def _columns(frames: Sequence[pl.DataFrame]) -> list[pl.Series]:
    return pl.concat(frames).get_columns() if frames else []


def as_frame(table: pa.Table) -> pl.DataFrame:
    """Return a table as a frame, whose columns keep their names (Polars would name empty ones)."""
    columns = zip(table.column_names, table.columns, strict=True)
    return pl.DataFrame({name: pl.Series(column) for name, column in columns})


def join_frames(
    frames: Sequence[pl.DataFrame], how: Literal["vertical_relaxed", "diagonal_relaxed"]
) -> pl.DataFrame:
    """Stack frames of several files, a column's type being that which holds all its values.

    That is text in the last resort.

    Raises
    ------
    InputError
        A column's types don't go together, and not all of them can be text.
    """
    types: dict[str, dict[Any, None]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            types.setdefault(name, {})[kind] = None
    texts = {name for name, kinds in types.items() if len(kinds) > 1 and _clash(name, frames)}
    if texts:
        frames = [_with_texts(frame, texts) for frame in frames]
    return pl.concat(frames, how=how, rechunk=True)


def _clash(name: str, frames: Sequence[pl.DataFrame]) -> bool:
    """Return whether no type but text holds a column's values in all frames."""
    columns = [frame.get_column(name) for frame in frames if name in frame.columns]
    kinds = {column.dtype for column in columns}
    if any(kind.is_float() for kind in kinds):
        whole = [column for column in columns if column.dtype.is_integer()]
        if any(column.is_between(-EXACT_WHOLE, EXACT_WHOLE).not_().any() for column in whole):
            return True
    try:
        # of no rows, because the types decide
        pl.concat([column.clear().to_frame() for column in columns], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return True
    return False


def _with_texts(frame: pl.DataFrame, names: Collection[str]) -> pl.DataFrame:
    columns = []
    for column in frame.get_columns():
        if column.name in names:
            try:
                column = pl.Series(column.name, as_text(column.to_arrow()))
            except TypeError as error:
                raise InputError(
                    f"Column {column.name!r} has types that don't go together in the files of the pool: "
                    f"{error}. Give it one type, or leave it out."
                ) from None
        columns.append(column)
    return pl.DataFrame(columns)
