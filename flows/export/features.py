"""Columns as Hugging Face's `datasets` knows them: each with a feature, and stored as it says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from assay.flows.export.text_values import flat

IMAGE: dict[str, Any] = {"_type": "Image"}
_BYTES_AND_PATH = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# Arrow's name of a type, where `datasets` has another
_NAMES = {
    "double": "float64",
    "float": "float32",
    "halffloat": "float16",
    "date32[day]": "date32",
    "date64[ms]": "date64",
}
_PLAIN: dict[str, Any] = {
    **{name: getattr(pa, name)() for name in ("string", "large_string", "binary", "large_binary")},
    **{
        f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    **{name: getattr(pa, name)() for name in ("float16", "float32", "float64", "date32", "date64")},
    "bool": pa.bool_(),
    "null": pa.null(),
}
_WITH_UNIT = re.compile(r"(timestamp|duration|time32|time64)\[(s|ms|us|ns)(?:, tz=([^\]]+))?\]")
_DECIMAL = re.compile(r"decimal128\((\d+), ?(-?\d+)\)")


def with_features(
    frame: pl.DataFrame, stated: Mapping[str, Any], classes: Mapping[str, list[str]]
) -> tuple[pa.Table, dict[str, Any]]:
    """Return a frame as Arrow columns, each with its feature.

    Parameters
    ----------
    frame : DataFrame
    stated : mapping of str to feature
        What the pool states; a column that does not fit it gets the feature of its type.
    classes : mapping of str to list of str
        Names of the classes of categorical columns.
    """
    columns, features = {}, {}
    for column in frame.get_columns():
        feature = stated.get(column.name)
        if feature is None and column.name in classes:
            feature = {"names": classes[column.name], "_type": "ClassLabel"}
        array = None if feature is None else _as_stated(column, feature)
        if array is None:
            array = _plain(column)
            feature = _feature(array.type)
        columns[column.name], features[column.name] = array, feature
    return pa.table(columns), features


def _as_stated(column: pl.Series, feature: Any) -> Any:
    """Return a column as its feature stores it, None where it does not fit."""
    try:
        kind = _storage(feature)
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
            column = _codes(column, feature["names"])
        array = column.to_arrow(compat_level=pl.CompatLevel.oldest())
        return array if array.type == kind else array.cast(kind)
    except (LookupError, TypeError, ValueError, pa.ArrowException, pl.exceptions.PolarsError):
        return None


def _codes(column: pl.Series, names: list[str]) -> pl.Series:
    if column.dtype.is_integer():
        return column.cast(pl.Int64)
    texts = pl.Series(names, dtype=pl.String)
    numbers = pl.int_range(len(names), dtype=pl.Int64, eager=True)
    return column.cast(pl.String).replace_strict(texts, numbers, return_dtype=pl.Int64)


def _storage(feature: Any) -> Any:
    """Return the Arrow type in which `datasets` stores a feature."""
    if isinstance(feature, list):
        return pa.list_(_storage(feature[0]))
    kind = feature.get("_type")
    if not isinstance(kind, str):
        return pa.struct([(name, _storage(inner)) for name, inner in feature.items()])
    if kind == "ClassLabel":
        return pa.int64()
    if kind in ("Image", "Audio"):
        return _BYTES_AND_PATH
    if kind == "Value":
        return _value_type(feature["dtype"])
    inner, length = feature["feature"], feature.get("length", -1)
    if kind == "LargeList":
        return pa.large_list(_storage(inner))
    if kind == "Sequence" and isinstance(inner, dict) and not isinstance(inner.get("_type"), str):
        # objects of lists, not lists of objects
        return pa.struct([(name, pa.list_(_storage(each), length)) for name, each in inner.items()])
    return {"Sequence": pa.list_, "List": pa.list_}[kind](_storage(inner), length)


def _value_type(name: str) -> Any:
    if name in _PLAIN:
        return _PLAIN[name]
    unit = _WITH_UNIT.fullmatch(name)
    if unit:
        if unit[1] == "timestamp":
            return pa.timestamp(unit[2], unit[3])
        return getattr(pa, unit[1])(unit[2])
    digits = _DECIMAL.fullmatch(name)
    if digits:
        return pa.decimal128(int(digits[1]), int(digits[2]))
    raise LookupError(name)


def _plain(column: pl.Series) -> Any:
    """Return a column in types that every version of `datasets` reads; as JSON text in the last resort."""
    array = column.to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        kind = _plain_type(array.type)
    except TypeError:
        text = flat(column.to_frame()).get_column(column.name).cast(pl.String)
        return text.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string())
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array if array.type == kind else array.cast(kind)


def _plain_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _plain_type(field.type)) for field in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    name = _NAMES.get(str(kind), str(kind))
    try:
        _value_type(name)
    except LookupError:
        raise TypeError(name) from None
    return kind


def _feature(kind: Any) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_fixed_size_list(kind):
        return _list_feature(kind.value_type, kind.list_size)
    if pa.types.is_list(kind):
        return _list_feature(kind.value_type, -1)
    return {"dtype": _NAMES.get(str(kind), str(kind)), "_type": "Value"}


def _list_feature(inner: Any, length: int) -> Any:
    # "Sequence" is read by every version, but means objects of lists where it holds objects
    name = "List" if pa.types.is_struct(inner) else "Sequence"
    sized = {"length": length} if length >= 0 else {}
    return {"feature": _feature(inner), **sized, "_type": name}
