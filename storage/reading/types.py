"""Types of columns: what Arrow can hold, as something that every later step holds too.

`carried` changes what Polars has no type for; `storable` changes what Parquet or DuckDB has none
for. No value is lost: a column that can't be carried is refused, and the error names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assay.storage.errors import InputError

_MOST_DIGITS = 38
_INTERVAL = pa.struct([("months", pa.int32()), ("days", pa.int32()), ("nanoseconds", pa.int64())])
_EMPTY = pa.struct([])
_DAYS = 95_000_000
"""Days from 1970 that Polars takes for a date: some 260,000 years each way."""
_SECONDS = (2**63 - 1) // 1000


def carried_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that `carried` gives a column: its own where Polars has it.

    Raises
    ------
    TypeError
        No type of Polars holds the values.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return carried_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        inner = carried_type(kind.value_type)
        return kind if inner == kind.value_type else inner
    if pa.types.is_run_end_encoded(kind):
        return carried_type(kind.value_type)
    if pa.types.is_union(kind):
        raise TypeError("values of several types (a union)")
    if pa.types.is_decimal(kind):
        return _decimal_type(kind)
    if pa.types.is_interval(kind):
        return _INTERVAL
    if pa.types.is_timestamp(kind) and kind.tz is not None and not _is_zone(kind.tz):
        return pa.timestamp(kind.unit, "UTC")
    if "_view" in str(kind) and not kind.num_fields:
        return pa.large_string() if kind == pa.string_view() else pa.large_binary()
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if len(set(names)) < len(names):
            raise TypeError("objects with two fields of one name")
        return pa.struct([(field.name, carried_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        if not any(_is_involved(inner) for inner in (kind.key_type, kind.item_type)):
            return kind
        key, item = carried_type(kind.key_type), carried_type(kind.item_type)
        return pa.large_list(pa.struct([("key", key), ("value", item)]))
    if _is_list(kind):
        inner = carried_type(kind.value_type)
        if pa.types.is_fixed_size_list(kind) and kind.list_size and inner != _EMPTY:
            return kind if inner == kind.value_type else pa.list_(inner, kind.list_size)
        plain = pa.types.is_list(kind) or pa.types.is_large_list(kind)
        return kind if plain and inner == kind.value_type else pa.large_list(inner)
    return kind


def _is_involved(kind: pa.DataType) -> bool:
    """Return whether a map's keys or values could need a change, or a map is no plain mapping."""
    tests = (
        pa.types.is_nested,
        pa.types.is_dictionary,
        pa.types.is_duration,
        pa.types.is_decimal,
        pa.types.is_float16,
    )
    return any(test(kind) for test in tests) or carried_type(kind) != kind


def _is_list(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def _decimal_type(kind: pa.DataType) -> pa.DataType:
    digits = kind.precision + max(0, -kind.scale)
    if digits > _MOST_DIGITS:
        return pa.large_string()
    if kind.scale >= 0 and kind.bit_width == 128:
        return kind
    return pa.decimal128(digits, max(0, kind.scale))


@cache
def _is_zone(name: str) -> bool:
    try:
        pl.Series(pa.array([], pa.timestamp("us", name)))
    except pl.exceptions.PolarsError:
        return False
    return True


def carried(table: Any) -> Any:
    """Return a record batch or table whose columns have types that Polars has.

    Intervals become structs, run ends and views plain values, decimals of more than 38 digits and
    unknown time zones text and UTC.

    Raises
    ------
    InputError
        A column's type, or a date in it, can't be carried.
    """
    columns = [
        _column(name, column)
        for name, column in zip(table.schema.names, table.columns, strict=True)
    ]
    return type(table).from_arrays(columns, names=table.schema.names)


def carried_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of `carried` batches; what can't be carried keeps its type."""

    def known(kind: pa.DataType) -> pa.DataType:
        try:
            return carried_type(kind)
        except TypeError:
            return kind

    fields = [field.with_type(known(field.type)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _column(name: str, column: Any) -> Any:
    try:
        kind = carried_type(column.type)
        if kind == column.type and not _has_range(kind):
            return column
        if isinstance(column, pa.ChunkedArray):
            return pa.chunked_array([_convert(c, kind) for c in column.chunks], type=kind)
        return _convert(column, kind)
    except (TypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"Column {name!r} can't be read: it holds {reason}. Leave the column out, or convert it "
            "in the data."
        ) from None


def _convert(array: Any, kind: pa.DataType) -> Any:
    source = array.type
    if isinstance(source, pa.BaseExtensionType):
        return _convert(array.storage, kind)
    if pa.types.is_dictionary(source) and source != kind:
        return _convert(array.dictionary_decode(), kind)
    if pa.types.is_run_end_encoded(source):
        return _convert(pc.run_end_decode(array), kind)
    _check_range(array)
    if source == kind and not pa.types.is_nested(kind):
        return array
    if pa.types.is_interval(source):
        return _interval(array)
    if pa.types.is_decimal(source) or pa.types.is_timestamp(source):
        return array.cast(kind)
    if "_view" in str(source) and not source.num_fields:
        return pl.Series(array).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(kind)
    if pa.types.is_struct(source):
        return _struct(array, kind)
    if pa.types.is_map(source) and source != kind:
        pairs = pa.struct([("key", source.key_type), ("value", source.item_type)])
        return _list(array.cast(pa.large_list(pairs)), kind)
    if _is_list(source):
        return _list(array, kind)
    return array


def _struct(array: Any, kind: pa.DataType) -> Any:
    children = [_convert(array.field(i), kind.field(i).type) for i in range(kind.num_fields)]
    if array.type == kind:
        return array
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())


def _list(array: Any, kind: pa.DataType) -> Any:
    source = array.type
    if source == kind:
        _convert(array.flatten(), kind.value_type)
        return array
    if pa.types.is_fixed_size_list(kind):
        # with the values of empty rows, which `flatten` leaves out
        within = slice(array.offset * kind.list_size, (array.offset + len(array)) * kind.list_size)
        values = _convert(array.values[within], kind.value_type)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=array.is_null())
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    values = _convert(array.flatten(), kind.value_type)
    return pa.LargeListArray.from_arrays(offsets, values, type=kind, mask=array.is_null()).cast(
        kind
    )


def _interval(array: Any) -> Any:
    raw = np.frombuffer(
        array.buffers()[1], dtype=[("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")]
    )[array.offset : array.offset + len(array)]
    children = [pa.array(np.ascontiguousarray(raw[field.name])) for field in _INTERVAL]
    return pa.StructArray.from_arrays(children, fields=list(_INTERVAL), mask=array.is_null())


@cache
def _has_range(kind: pa.DataType) -> bool:
    if kind.num_fields:
        return any(_has_range(kind.field(i).type) for i in range(kind.num_fields))
    return str(kind).startswith(("date32", "timestamp[s", "duration[s"))


def _check_range(array: Any) -> None:
    """Refuse dates that Polars would take for others."""
    kind = array.type
    most = 0
    if pa.types.is_date32(kind):
        array, most = array.cast(pa.int32()), _DAYS
    elif (pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) and kind.unit == "s":
        array, most = array.cast(pa.int64()), _SECONDS
    if most and len(array):
        low, high = (bound.as_py() for bound in pc.min_max(array).values())
        if low is not None and (low < -most or high > most):
            raise TypeError("dates or durations of more than 260,000 years")


def storable(frame: pl.DataFrame, *, as_tables: bool = True) -> pl.DataFrame:
    """Return a frame that Parquet holds, and DuckDB too where it is for tables.

    Objects without fields become text. For tables, categories become text, 16-bit floats 32-bit
    ones, and durations microseconds.

    Raises
    ------
    InputError
        For tables: a duration with parts of a microsecond, or an object with fields that differ in
        case only or have no name.
    """
    columns = []
    for column in frame.get_columns():
        try:
            columns.append(_stored(column, as_tables))
        except TypeError as error:
            raise InputError(
                f"Column {column.name!r} can't be kept: it holds {error}. Convert it in the data, or "
                "keep another."
            ) from None
    return pl.DataFrame(columns) if columns else frame


def _stored(column: pl.Series, as_tables: bool) -> pl.Series:
    def changed(kind: Any) -> Any:
        if kind == pl.Struct({}):
            return pl.String()
        if not as_tables:
            return kind
        if isinstance(kind, pl.Categorical | pl.Enum):
            return pl.String()
        if kind == pl.Null and column.dtype.is_nested():
            return pl.String()  # DuckDB takes no lists of nulls alone
        if isinstance(kind, pl.Duration):
            return pl.Duration("us")
        return pl.Float32() if kind == pl.Float16 else kind

    if as_tables:
        _check_fields(column.dtype)
    kind = map_type(column.dtype, changed)
    return column if kind == column.dtype else cast_nested(column, kind)


def _check_fields(kind: Any) -> None:
    if isinstance(kind, pl.Struct):
        names = [field.name.lower() for field in kind.fields]
        if len(set(names)) < len(names) or "" in names:
            raise TypeError("objects with fields that differ in case only, or that have no name")
    for inner in _inner(kind):
        _check_fields(inner)


def _inner(kind: Any) -> list[Any]:
    if isinstance(kind, pl.Struct):
        return [field.dtype for field in kind.fields]
    if isinstance(kind, pl.Map):
        return [kind.key, kind.value]
    return [kind.inner] if isinstance(kind, pl.List | pl.Array) else []


def map_type(kind: Any, changed: Callable[[Any], Any]) -> Any:
    """Return the type with its innermost types changed."""
    if isinstance(kind, pl.Struct) and kind.fields:
        return pl.Struct({f.name: map_type(f.dtype, changed) for f in kind.fields})
    if isinstance(kind, pl.List):
        return pl.List(map_type(kind.inner, changed))
    if isinstance(kind, pl.Array):
        return pl.Array(map_type(kind.inner, changed), kind.size)
    return changed(kind)


def cast_nested(column: pl.Series, kind: Any) -> pl.Series:
    """Cast a column; unlike in Polars, durations and objects without fields can become text."""
    source = column.dtype
    if source == kind:
        return column
    if source == pl.Struct({}):
        empty = pl.repeat("{}", len(column), eager=True)
        return empty.set(column.is_null(), None).rename(column.name)
    if source.is_temporal() and kind == pl.String:
        return column.dt.to_string("iso")
    if isinstance(source, pl.Struct):
        fields = [cast_nested(column.struct.field(f.name), f.dtype) for f in kind.fields]
        whole = pl.DataFrame(fields).to_struct(column.name)
        return whole.set(column.is_null(), None) if column.null_count() else whole
    if isinstance(source, pl.List | pl.Array):
        return _cast_items(column, kind)
    cast = column.cast(kind)
    if isinstance(source, pl.Duration) and (cast.cast(source) != column).any():
        raise TypeError("durations with parts of a microsecond")
    return cast


def _cast_items(column: pl.Series, kind: Any) -> pl.Series:
    table = column.to_arrow(compat_level=pl.CompatLevel.oldest())
    items = cast_nested(pl.Series(table.flatten()), kind.inner)
    lengths = pc.fill_null(pc.list_value_length(table), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    values = items.to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(offsets, values, mask=table.is_null())
    return pl.Series(column.name, lists).cast(kind)
