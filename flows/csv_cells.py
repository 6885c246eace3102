"""CSV that is safe to open in a spreadsheet, which takes some texts for formulas and runs them.

A text cell or column name that begins, after any number of single quotes, with ``=``, ``+``, ``-``,
``@``, their full-width forms, a tab or a line break gets one single quote in front; a spreadsheet
shows the rest as text. Numbers stay as they are, also those that are text (``-1``). Taking one quote
from each cell that matches `GUARDED` gives the texts back.
"""

from __future__ import annotations

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
    names = pl.Series(frame.columns, dtype=pl.String)
    text = frame.with_columns((pl.selectors.categorical() | pl.selectors.enum()).cast(pl.String))
    cells = text.with_columns(pl.selectors.string().pipe(_guard))
    return cells.rename(dict(zip(names, _guard(names), strict=True)))


def unguarded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame read from such a CSV file with its texts as they were."""
    names = pl.Series(frame.columns, dtype=pl.String)
    cells = frame.with_columns(pl.selectors.string().pipe(_unguard))
    return cells.rename(dict(zip(names, _unguard(names), strict=True)))


def _guard(texts):  # type: ignore[no-untyped-def]
    risky = texts.str.contains(rf"^'*{_STARTS}") & ~texts.str.contains(_NUMBER)
    return _chosen(risky, "'" + texts, texts)


def _unguard(texts):  # type: ignore[no-untyped-def]
    return _chosen(texts.str.contains(GUARDED), texts.str.slice(1), texts)


def _chosen(where, then, otherwise):  # type: ignore[no-untyped-def]
    if isinstance(where, pl.Expr):
        return pl.when(where).then(then).otherwise(otherwise).name.keep()
    return otherwise.zip_with(~where.fill_null(False), then)
