"""CSV that is safe to open in a spreadsheet, which takes some texts for formulas and runs them.

A text cell or column name that begins, after any number of single quotes, with ``=``, ``+``, ``-``,
``@``, their full-width forms, a tab or a line break gets one single quote in front; a spreadsheet
shows the rest as text. Numbers stay as they are, also those that are text (``-1``). Taking one quote
from each cell that matches `GUARDED` gives the texts back.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

_STARTS = r"[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
GUARDED = rf"^'+{_STARTS}"


def guarded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame none of whose texts and column names begins as a formula does.

    Examples
    --------
    >>> frame = pl.DataFrame({"a": ["=1+2", "-1", "'@x", "it's"], "=b": [-1, 2, 3, 4]})
    >>> guarded(frame).rows()[:3]
    [("'=1+2", -1), ('-1', 2), ("''@x", 3)]
    >>> guarded(frame).columns
    ['a', "'=b"]
    >>> unguarded(guarded(frame)).equals(frame)
    True
    """
    frame = frame.with_columns((pl.selectors.categorical() | pl.selectors.enum()).cast(pl.String))
    return _changed(frame, _guard)


def unguarded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame read from such a CSV file with its texts as they were."""
    return _changed(frame, _unguard)


def _changed(frame: pl.DataFrame, change: Callable[[pl.Series], pl.Series]) -> pl.DataFrame:
    names = change(pl.Series(frame.columns, dtype=pl.String)).to_list()
    columns = [change(c) if c.dtype == pl.String else c for c in frame.get_columns()]
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


def _guard(texts: pl.Series) -> pl.Series:
    risky = texts.str.contains(rf"^'*{_STARTS}") & ~texts.str.contains(_NUMBER)
    return ("'" + texts).zip_with(risky.fill_null(False), texts)


def _unguard(texts: pl.Series) -> pl.Series:
    return texts.str.slice(1).zip_with(texts.str.contains(GUARDED).fill_null(False), texts)
