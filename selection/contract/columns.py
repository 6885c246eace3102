"""Columns of what `fit` is given: one value a row, and ids, each of which is there once."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.storage.errors import IdError, InputError
from assay.storage.interfaces import Frame

# ids that are put in order at a time
_PART = 65_536


def series_of(name: str, values: Any) -> pl.Series:
    """Return one column as a Polars Series."""
    several = isinstance(values, Frame)
    if several:
        frame = pl.DataFrame(values)
        if frame.width != 1:
            raise InputError(f"{name} has {frame.width} columns; pass the one that is meant.")
        return frame.to_series()
    if isinstance(values, np.ndarray) and values.dtype == object:
        values = values.tolist()
    try:
        return pl.Series(name, values)
    except UnicodeEncodeError:
        raise
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{name} is not one column of values: {error}") from error


def text_ids(ids: Any) -> pl.Series:
    """Return ids as String; null ones and those of another type are refused."""
    series = series_of("ids", ids)
    if series.null_count():
        raise IdError(f"{series.null_count()} ids are null; every row needs one.")
    if not (series.dtype == pl.String or series.dtype.is_integer()):
        raise IdError(f"ids are of type {series.dtype}; pass text or whole numbers.")
    return series.cast(pl.String).alias("id")


def repeats_an_id(ids: pl.Series, order: NDArray[np.int64] | None) -> bool:
    """Return whether an id is there twice; `order` sorts them, None where they are sorted.

    Examples
    --------
    >>> repeats_an_id(pl.Series(["b", "a", "b"]), np.array([1, 0, 2]))
    True
    """
    for begin in range(0, len(ids), _PART):
        part = slice(begin, begin + _PART + 1)
        some = ids[part] if order is None else ids[order[part]]
        if (some.slice(1) == some.slice(0, len(some) - 1)).any():
            return True
    return False
