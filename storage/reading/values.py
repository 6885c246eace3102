"""The values of columns in the one form that each role needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from assay.storage.errors import IdError
from assay.storage.reading.chat import conversation_texts, message_fields
from assay.storage.reading.images import load_images

EXACT_WHOLE = 2**53
"""Up to here every whole number is one of 64-bit floats."""

_WHOLE = r"^(0|-?[1-9][0-9]*)$"
_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?$"
_MEASURE = r"^(?i:-?(0|[1-9][0-9]*)(\.[0-9]*)?(e[+-]?[0-9]+)?|-?\.[0-9]+(e[+-]?[0-9]+)?|-?(nan|inf|infinity))$"
_SURE_DIGITS = 15
"""Texts of so many digits that differ are different floats."""

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def _decoded(array: Any) -> Any:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def as_text(array: Any) -> Any:
    """Write values as text (large_string), numbers in canonical decimal form.

    Whole numbers have no point, other floats the fewest digits that give them back, booleans are
    ``true`` and ``false``, dates and times ISO 8601; NaN is null.

    Raises
    ------
    TypeError
        A type that has no such form.

    Examples
    --------
    >>> as_text(pa.array([7.0, 0.1, float("nan"), 1e16])).to_pylist()
    ['7', '0.1', None, '10000000000000000']
    """
    array = _decoded(array)
    kind = array.type
    if pa.types.is_floating(kind):
        return _float_text(array)
    text = pa.large_string()
    if pa.types.is_decimal(kind):
        digits = pl.Series(array.cast(text))
        stripped = digits.str.strip_chars_end("0").str.strip_chars_end(".")
        return (
            digits.zip_with(~digits.str.contains(".", literal=True), stripped).to_arrow().cast(text)
        )
    if pa.types.is_timestamp(kind):
        return pc.replace_substring(array.cast(text), " ", "T", max_replacements=1)
    direct = (
        pa.types.is_null,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_date,
        pa.types.is_time,
    )
    if any(test(kind) for test in direct):
        return array.cast(text)
    raise TypeError(f"values of type {kind} can't be written as text")


def _float_text(array: Any) -> Any:
    values = array.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        whole = np.isfinite(values) & (values == np.trunc(values))
        small = whole & (np.abs(values) < 2.0**63)
    text = pl.Series(values.astype(str))
    integers = pl.Series(np.where(small, values, 0).astype(np.int64)).cast(pl.String)
    text = integers.zip_with(pl.Series(small), text)
    large = np.flatnonzero(whole & ~small)
    if len(large):
        text = text.scatter(large, [str(int(value)) for value in values[large]])
    return text.set(pl.Series(np.isnan(values)), None).to_arrow().cast(pa.large_string())


def number_type(texts: pl.Series) -> Any:
    """Return Int64 or Float64 if every text is what such a number is written as, else String.

    So no code loses a zero, a sign or a digit: a column of ``01234``, ``+49151``, ``1.50`` or of
    numbers that don't fit stays text.

    Examples
    --------
    >>> [number_type(pl.Series(v)) for v in (["7", "-12"], ["1.5", "1e-05"], ["7", "07"], ["1", "1.5"])]
    [Int64, Float64, String, String]
    """
    values = texts.drop_nulls()
    if not len(values):
        return pl.String
    if values.str.contains(_WHOLE).all():
        fits = not values.cast(pl.Int64, strict=False).null_count()
        return pl.Int64 if fits else pl.String
    if values.str.contains(_DECIMAL).all():
        numbers = values.cast(pl.Float64, strict=False).to_numpy()
        # NumPy writes the fewest digits that give a number back, as Python and DuckDB do
        if np.isfinite(numbers).all() and (pl.Series(numbers.astype(str)) == values).all():
            return pl.Float64
    return pl.String


def measure_type(texts: pl.Series) -> Any:
    """Return Int64 or Float64 if every text is a number for computing with, else String.

    Unlike `number_type` it takes ``1.50``, ``1E5`` and ``nan``. Codes stay text all the same: digits
    after a leading zero, a plus sign, whole numbers that don't fit, and texts that differ only beyond
    the digits that a float holds.

    Examples
    --------
    >>> [measure_type(pl.Series(v)) for v in (["7", "1.50"], ["7", "07"], ["1.5", "9007199254740993"])]
    [Float64, String, String]
    """
    exact = number_type(texts)
    values = texts.drop_nulls()
    if exact != pl.String or not len(values) or not values.str.contains(_MEASURE).all():
        return exact
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count():
        return pl.String
    long = values.filter((values.str.len_bytes() > _SURE_DIGITS) & numbers.is_finite()).unique()
    rounded = long.cast(pl.Float64)
    beyond = long.str.contains(_WHOLE) & (rounded.abs() >= EXACT_WHOLE)
    merged = rounded.n_unique() < long.n_unique()
    return pl.String if beyond.any() or merged else pl.Float64


def text_values(
    array: Any,
    template: str | None = None,
    *,
    turns: str | None = None,
    system: bool | None = None,
) -> tuple[Any, Mask]:
    """Return text as large_string and which rows hold nothing but white space.

    Conversations are written by the template, all turns of them or the last; see `conversation_texts`.
    """
    array = _decoded(array)
    if message_fields(array.type) is not None:
        array = conversation_texts(array, template, turns=turns, system=system)
    text = array.cast(pa.large_string())
    stripped = pl.Series(text).str.strip_chars().str.len_bytes()
    return text, (stripped.fill_null(0) == 0).to_numpy()


def image_values(array: Any, folder: Path | None = None) -> tuple[Any, Mask]:
    """Return images as large_binary (see `load_images`) and which rows hold none."""
    images, _ = load_images(_decoded(array), folder)
    return images, pc.equal(pc.fill_null(pc.binary_length(images), 0), 0).to_numpy(False)


def vector_values(array: Any, dimension: int | None) -> tuple[Matrix, Mask]:
    """Return vectors as float32[n, dimension] and which rows hold none (they are NaN).

    Missing numbers are NaN. With `dimension` None it is that of the first vector, or 0.

    Raises
    ------
    WrongLengthError
        A row whose length is not `dimension`.
    """
    array = _decoded(array)
    if pa.types.is_null(array.type):
        array = array.cast(pa.list_(pa.float32()))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    empty = lengths == 0
    if dimension is None:
        dimension = int(lengths[~empty][0]) if not empty.all() else 0
    wrong = np.flatnonzero(~empty & (lengths != dimension))
    if len(wrong):
        raise WrongLengthError(int(wrong[0]), int(lengths[wrong[0]]), dimension)
    flat = array.flatten().cast(pa.float32(), safe=False)
    numbers = flat.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    numbers = numbers.reshape(len(array) - int(empty.sum()), dimension)
    if not empty.any():
        return numbers, empty
    vectors = np.full((len(array), dimension), np.nan, dtype=np.float32)
    vectors[~empty] = numbers
    return vectors, empty


def content_ids(content_hash: pl.Series) -> pl.Series:
    """Return the content hash as id, with ``-2``, ``-3`` ... for the second, third ... equal row.

    Examples
    --------
    >>> content_ids(pl.Series(["a", "b", "a"])).to_list()
    ['a', 'b', 'a-2']
    """
    frame = pl.DataFrame({"hash": content_hash})
    nth = pl.int_range(1, pl.len() + 1).over("hash")
    named = pl.when(nth == 1).then("hash").otherwise(pl.format("{}-{}", "hash", nth))
    return frame.select(sample_id=named)["sample_id"]


def check_ids(frame: pl.DataFrame, column: str) -> None:
    """Raise `IdError` unless every row of the frame has a `sample_id` of its own."""
    ids = frame["sample_id"]
    missing = frame.filter(ids.is_null() | (ids == ""))
    if missing.height:
        raise IdError(
            f"Column {column!r} has no id in {missing.height} of {frame.height} rows: "
            f"{_places(missing)}. Fill them in, or read the pool without id: "
            "ids are then made from the content."
        )
    repeated = frame.filter(ids.is_duplicated())
    if repeated.height:
        names = repeated["sample_id"].unique(maintain_order=True)
        shown = [
            f"{name!r} in {_places(repeated.filter(sample_id=name))}" for name in names.head(3)
        ]
        raise IdError(
            f"Column {column!r} has {len(names)} ids that stand in more than one row, "
            f"{repeated.height} rows in all: {'; '.join(shown)}{'; ...' * (len(names) > 3)}. "
            "Drop the repeated rows, choose a column that tells rows apart, or read the pool "
            "without id: ids are then made from the content."
        )


def _places(frame: pl.DataFrame) -> str:
    """Name the first rows of the frame, counted from 0 within their source."""
    shown = [
        f"row {row} of {source}" for source, row in frame.head(4).select("source", "row").rows()
    ]
    return ", ".join(shown) + ", ..." * (frame.height > 4)


class WrongLengthError(Exception):
    """A vector's length is not that of the vectors before it."""

    def __init__(self, row: int, length: int, expected: int) -> None:
        super().__init__(row, length, expected)
        self.row, self.found, self.expected = row, length, expected
