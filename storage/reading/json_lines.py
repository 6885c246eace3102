"""Reading JSON lines: one object per line."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import SourceError
from assay.storage.reading._jsonscan import scan_keys
from assay.storage.reading.csv import TextSource
from assay.storage.reading.source import PLAIN, Reading, require_column_names
from assay.storage.reading.values import EXACT_WHOLE

DEEPEST = 50
"""How deep brackets may be nested: an Arrow schema holds 64 levels, two of which a list can take."""

_WIDEST = 10**38
_HEX = rb"[0-9a-fA-F]"
_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB]" + _HEX + rb"{2}(?P<low>\\u[dD][c-fC-F]" + _HEX + rb"{2})?"
    rb"|[c-fC-F]" + _HEX + rb"{2})"
)
_WIDE = pl.Int128()
_LONG = pl.UInt64()
"""Stands for integers of 64 bits some of which no float holds; they are read as Int64."""
_SCALARS = {
    type(None): pl.Null(),
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
}


class JsonLinesSource(TextSource):
    """A file of one JSON object per line.

    The whole file is read once to know its columns: a type is that of all values, numbers of both
    kinds are floats if those hold every one, values of different kinds are text, integers beyond 64
    bits too. Strings stay strings, whatever they look like. A key that a line lacks is null.
    """

    def __init__(self, path: Path, name: str, reading: Reading = PLAIN) -> None:
        super().__init__(path, name, reading)
        types: dict[str, pl.DataType] = {}
        self.n_rows = 0
        with self.guard():
            for block, line in self._blocks(_whole_lines):
                if not block.isspace():
                    rows, schema = self._infer(block, line)
                    self.n_rows += rows
                    for key, kind in schema.items():
                        types[key] = _common(types[key], kind) if key in types else kind
        require_column_names(list(types), self.shown)
        self._types = {key: _storable(kind) for key, kind in types.items()}
        self.schema = _arrow(pl.DataFrame(schema=self._types)).schema

    @staticmethod
    def _line_breaks(block: bytes) -> int:
        return block.count(b"\n")

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        schema = {column: self._types[column] for column in columns}
        for block, _ in self._blocks(_whole_lines):
            if not block.isspace():
                yield from _arrow(pl.read_ndjson(block, schema=schema)).to_batches()

    def _infer(self, block: bytes, line: int) -> tuple[int, dict[str, Any]]:
        """Return the number of rows and the type of each key."""
        self._refuse_lone_surrogates(block, line)
        long = self._check_keys(block, line)
        try:
            frame = pl.read_ndjson(block, infer_schema_length=None)
        except pl.exceptions.PolarsError:
            # raises if a line is broken; if not, a key has values of different kinds
            types = self._types_of(block, line)
            return pl.read_ndjson(block, schema=_readable(types)).height, types
        if not long:
            return frame.height, dict(frame.schema)
        columns = frame.get_columns()
        if any(_is_long(leaf) for column in columns for leaf in _leaves(column, pl.Float64)):
            # it may have been an integer that lost digits
            return frame.height, self._types_of(block, line)
        return frame.height, {column.name: _long_type(column) for column in columns}

    def _refuse_lone_surrogates(self, block: bytes, line: int) -> None:
        for match in _SURROGATE.finditer(block):
            start = match.start()
            before = block[max(0, start - 1000) : start]
            escaped = (len(before) - len(before.rstrip(b"\\"))) % 2 == 1
            # where the backslash is text itself, the first half is text and the second alone
            if escaped == (match["low"] is not None):
                line += block.count(b"\n", 0, start)
                raise self._broken(
                    line, "half of a surrogate pair (\\ud800 to \\udfff) stands alone"
                )

    def _check_keys(self, block: bytes, line: int) -> bool:
        """Refuse values nested too deep for Arrow, and objects that name a column twice.

        Returns whether there are numbers of many digits.
        """
        room = 2 * (block.count(b'"') // 2 + 1)
        hashes, lines = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int64)
        keys, deep, long = scan_keys(np.frombuffer(block, dtype=np.uint8), DEEPEST, hashes, lines)
        if deep >= 0:
            raise self._broken(line + deep, f"brackets are nested more than {DEEPEST} deep")
        order = np.argsort(hashes[:keys], kind="stable")
        twice = hashes[order][1:] == hashes[order][:-1]
        suspects = np.unique(lines[order[1:][twice]])
        if len(suspects):
            texts = block.split(b"\n")
            for suspect in suspects.tolist():
                self._refuse_repeated_keys(texts[suspect], line + suspect)
        return bool(long)

    def _refuse_repeated_keys(self, text: bytes, line: int) -> None:
        pairs: list[tuple[str, Any]] = []

        def last(members: list[tuple[str, Any]]) -> dict[str, Any]:
            nonlocal pairs
            pairs = members  # the outermost object is the last
            return {}

        try:
            json.loads(text, object_pairs_hook=last)
        except ValueError:
            return  # said with what is wrong when the values are read
        repeated = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
        if repeated:
            raise self._broken(line, f"the object has more than one key {repeated[0]!r}")

    def _types_of(self, block: bytes, line: int) -> dict[str, Any]:
        """Return the type of each key, value by value."""
        scalars: dict[str, set[Any]] = defaultdict(set)
        types: dict[str, Any] = {}
        keys: dict[str, None] = {}
        for number, text in enumerate(block.split(b"\n"), start=line):
            for key, value in self._object(text, number).items() if text.strip() else ():
                keys[key] = None
                if isinstance(value, list | dict):
                    types[key] = _common(types.get(key, pl.Null()), _type_of(value))
                else:
                    scalars[key].add(_type_of(value))
        for key, scalar in scalars.items():
            types[key] = reduce(_common, scalar, types.get(key, pl.Null()))
        return {key: types[key] for key in keys}

    def _object(self, text: bytes, line: int) -> dict[str, Any]:
        try:
            value = json.loads(
                text.decode(), parse_constant=_refuse, parse_float=_finite, parse_int=_narrow
            )
        except UnicodeDecodeError:
            self._require_utf8(text, line)
            raise
        except (ValueError, RecursionError) as error:
            if line == 1 and text.lstrip().startswith(b"["):
                raise self._one_array() from None
            column = (
                f" at character {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            )
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise self._broken(line, f"not valid JSON{column}: {reason}") from None
        if isinstance(value, list) and line == 1:
            raise self._one_array()
        if not isinstance(value, dict):
            raise self._broken(
                line, f"expected a JSON object, found {text[:40].decode(errors='replace')}"
            )
        return value

    def _one_array(self) -> SourceError:
        return SourceError(
            f"{self.shown} holds a JSON array, not one JSON object per line. "
            "Convert it, for instance with: jq -c '.[]'"
        )


def _whole_lines(held: bytes, last: bool, line: int) -> int:
    return len(held) if last else held.rfind(b"\n") + 1


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _type_of(value: Any) -> Any:
    if isinstance(value, list):
        return pl.List(reduce(_common, map(_type_of, value), pl.Null()))
    if isinstance(value, dict):
        return pl.Struct({key: _type_of(inner) for key, inner in value.items()})
    if type(value) is int and abs(value) > EXACT_WHOLE:
        return _LONG if -(2**63) <= value < 2**63 else _WIDE
    return _SCALARS[type(value)]


def _common(a: Any, b: Any) -> Any:
    """Return the Polars type that holds values of both."""
    if a == b or b == pl.Null:
        return a
    if a == pl.Null:
        return b
    if a.is_numeric() and b.is_numeric():
        if a.is_float() or b.is_float():
            return pl.String() if {a, b} & {_LONG, _WIDE} else pl.Float64()
        return _WIDE if _WIDE in (a, b) else _LONG
    if isinstance(a, pl.List) and isinstance(b, pl.List):
        return pl.List(_common(a.inner, b.inner))
    if isinstance(a, pl.Struct) and isinstance(b, pl.Struct):
        fields = dict(a)
        for key, kind in b:
            fields[key] = _common(fields[key], kind) if key in fields else kind
        return pl.Struct(fields)
    return pl.String()


def _mapped(kind: Any, types: Mapping[Any, Any]) -> Any:
    """Return the type with others in place of some of those that it is built of."""
    if isinstance(kind, pl.List):
        return pl.List(_mapped(kind.inner, types))
    if isinstance(kind, pl.Struct):
        return pl.Struct({key: _mapped(inner, types) for key, inner in dict(kind).items()})
    return types.get(kind, kind)


def _readable(types: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _mapped(kind, {_LONG: pl.Int64()}) for key, kind in types.items()}


def _storable(kind: Any) -> Any:
    """Return the type with 128-bit integers, which Arrow has not, as text."""
    return _mapped(kind, {_LONG: pl.Int64(), _WIDE: pl.String()})


def _leaves(column: pl.Series, kind: Any) -> Iterator[pl.Series]:
    """Yield the values of a type that a column is built of."""
    if column.dtype == kind:
        yield column
    elif isinstance(column.dtype, pl.List):
        yield from _leaves(column.explode(), kind)
    elif isinstance(column.dtype, pl.Struct):
        for field in column.struct.fields:
            yield from _leaves(column.struct.field(field), kind)


def _is_long(numbers: pl.Series) -> bool:
    return bool(((numbers >= EXACT_WHOLE) | (numbers <= -EXACT_WHOLE)).any())


def _long_type(column: pl.Series) -> Any:
    long = any(_is_long(leaf) for leaf in _leaves(column, pl.Int64))
    return _mapped(column.dtype, {pl.Int64(): _LONG}) if long else column.dtype


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON value")


def _narrow(number: str) -> int:
    if len(number) > 40 or abs(int(number)) >= _WIDEST:
        raise ValueError(f"{number[:20]}... has {len(number)} digits; a whole number has up to 38")
    return int(number)


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large")
    return value
