"""Whole numbers and decimals as 64-bit floats, which hold about 16 digits."""

from __future__ import annotations

from typing import Any

import polars as pl

EXACT_WHOLE = 2**53
"""Up to here every whole number is a float."""


def as_floats(column: pl.Series) -> tuple[pl.Series | None, str]:
    """Return whole numbers or decimals that floats tell apart, and what had to be done for it."""
    low: Any = column.min()
    high: Any = column.max()
    decimal = column.dtype.is_decimal()
    if not decimal and max(abs(low), abs(high)) <= EXACT_WHOLE:
        return column, ""
    floats = column.cast(pl.Float64)
    # a float beyond the integer's range comes back as null, which is no value
    if not decimal and floats.cast(column.dtype, strict=False).eq_missing(column).all():
        return floats, ""
    count, left = column.n_unique(), floats.n_unique()
    if decimal and left == count:
        return floats, ""
    # integers of Python's don't overflow
    if decimal or int(high) - int(low) <= EXACT_WHOLE:
        shifted = (column - low).cast(pl.Float64)
        if shifted.n_unique() == count:
            return shifted, f"its smallest value, {low}, is subtracted: floats hold the difference"
    if left == count:
        return floats, ""
    if left == 1:
        return None, f"left out: its {count:,} different values are one number as a 64-bit float"
    return floats, f"its {count:,} different values are {left:,} as 64-bit floats"
