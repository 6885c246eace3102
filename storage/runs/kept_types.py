"""One type for a kept column whose type differs between runs."""

from __future__ import annotations

import re
from collections.abc import Iterable

TEXT = "VARCHAR"
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT")
_FLOATS = ("FLOAT", "DOUBLE")
_TIMES = ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_WIDEST_DECIMAL = 38
# digits before the point that the whole numbers of a type need
_DIGITS = dict(zip(_SIGNED, (3, 5, 10, 19, 39), strict=True)) | dict(
    zip(_UNSIGNED, (3, 5, 10, 20, 39), strict=True)
)


def common_type(types: Iterable[str]) -> str:
    """Return the type that holds every value of columns of some types: text in the last resort.

    Whole numbers and decimals become as wide as they must; any of them beside floats become
    DOUBLE; dates beside times of day become TIMESTAMP. Everything else that differs is text, which
    every value has.

    Examples
    --------
    >>> common_type(["INTEGER", "UBIGINT"]), common_type(["BIGINT", "FLOAT"])
    ('HUGEINT', 'DOUBLE')
    >>> common_type(["BIGINT[]", "VARCHAR"]), common_type(["DATE", "TIMESTAMP"])
    ('VARCHAR', 'TIMESTAMP')
    """
    distinct = sorted(set(types))
    if len(distinct) == 1:
        return distinct[0]
    if all(t in _DIGITS for t in distinct):
        return _whole(distinct)
    if all(t in _TIMES for t in distinct):
        return "TIMESTAMP"
    decimals = [match for t in distinct if (match := _DECIMAL.fullmatch(t))]
    numbers = [t for t in distinct if t in _DIGITS or t in _FLOATS]
    if len(decimals) + len(numbers) < len(distinct):
        return TEXT
    if any(t in _FLOATS for t in distinct):
        return "DOUBLE"
    before = max(
        [int(d[1]) - int(d[2]) for d in decimals] + [_DIGITS[t] for t in distinct if t in _DIGITS]
    )
    scale = max(int(d[2]) for d in decimals)
    return f"DECIMAL({before + scale},{scale})" if before + scale <= _WIDEST_DECIMAL else TEXT


def _whole(types: list[str]) -> str:
    """Return the narrowest type of whole numbers that holds those of all types."""
    signed = [_SIGNED.index(t) for t in types if t in _SIGNED]
    unsigned = [_UNSIGNED.index(t) for t in types if t in _UNSIGNED]
    if not signed:
        return _UNSIGNED[max(unsigned)]
    width = max([*signed, *(place + 1 for place in unsigned)])
    return _SIGNED[width] if width < len(_SIGNED) else TEXT
