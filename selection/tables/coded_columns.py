"""Columns as a few bins or levels each, with words for them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.tables.quality import FEW_LEVELS

MISSING, OTHER = "(missing)", "(other)"
# strings with more than 10 different values, and more than this share of the rows, are identifiers
# or texts
_NEAR_UNIQUE = 0.5
_TEXTS = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """One column.

    Attributes
    ----------
    name : str
    kind : {"bins", "levels"}
    codes : int64[n]
        The bin or level of every row.
    words : list of str
        What each code stands for: "(17, 22]", a value, "(other)", "(missing)".
    """

    name: str
    kind: Literal["bins", "levels"]
    codes: NDArray[np.int64]
    words: list[str]

    def counts(self, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Count the rows of each code, of all or of those of a mask."""
        codes = self.codes if rows is None else self.codes[rows]
        return np.bincount(codes, minlength=len(self.words))


def coded_columns(table: pl.DataFrame, bins: int) -> tuple[list[CodedColumn], dict[str, str]]:
    """Code every column of a table that can be: numbers and times by quantiles, others by level.

    Parameters
    ----------
    table : pl.DataFrame
    bins : int
        Most codes of a column, missing values not counted. Numbers of at most so many different
        values, and the `bins` - 1 most frequent levels of others, keep a code each.

    Returns
    -------
    columns : list of CodedColumn
    left_out : dict of str
        The columns that are not coded, with the reason.

    Notes
    -----
    Equal values share a bin, and a value equal to an edge goes below it. O(n log n) for each column.

    Examples
    --------
    >>> table = pl.DataFrame({"age": [1.0, 2.0, 3.0, 4.0, None], "kind": list("aabca")})
    >>> columns, _ = coded_columns(table, 2)
    >>> [(column.words, column.codes.tolist()) for column in columns]
    [(['<= 2', '> 2', '(missing)'], [0, 0, 1, 1, 2]), (['a', '(other)'], [0, 0, 1, 1, 0])]
    """
    columns, left_out = [], {}
    for series in table.get_columns():
        kind = series.dtype
        if series.null_count() == len(series):
            left_out[series.name] = "it has no value"
        elif kind in _TEXTS or kind == pl.Boolean:
            texts = series.cast(pl.String)
            if kind != pl.Boolean and texts.n_unique() > max(
                bins, FEW_LEVELS, _NEAR_UNIQUE * len(series)
            ):
                left_out[series.name] = "an identifier or text"
            else:
                columns.append(_levels(texts, bins))
        elif kind.is_numeric() or kind.is_temporal():
            columns.append(_bins(series, bins))
        else:
            left_out[series.name] = f"its type is {kind}"
    return columns, left_out


def _levels(series: pl.Series, bins: int) -> CodedColumn:
    level = series.rename("level").to_frame()
    counts = (
        level.drop_nulls().group_by("level").len().sort("len", "level", descending=[True, False])
    )
    words = counts["level"].to_list()
    if len(words) > bins:
        words = [*words[: bins - 1], OTHER]
    named = counts.with_row_index("code").with_columns(
        pl.col("code").cast(pl.Int64).clip(upper_bound=len(words) - 1)
    )
    joined = level.join(named, on="level", how="left", maintain_order="left")["code"]
    if joined.null_count():
        words = [*words, MISSING]
    codes = joined.fill_null(len(words) - 1).to_numpy()
    return CodedColumn(series.name, "levels", codes.astype(np.int64), words)


def _bins(series: pl.Series, bins: int) -> CodedColumn:
    numbers = series.to_physical() if series.dtype.is_temporal() else series
    values = numbers.cast(pl.Float64).fill_nan(None)
    present = values.is_not_null().to_numpy()
    known = values.drop_nulls().to_numpy()
    different = np.unique(known)
    shown = dict(zip(known.tolist(), series.filter(values.is_not_null()).to_list(), strict=True))
    if len(different) <= bins:
        edges = different
        words = [_word(shown[value]) for value in different.tolist()]
    else:
        steps = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(known, steps, method="inverted_cdf"))
        edges = edges[edges < different[-1]]
        names = [_word(shown[value]) for value in edges.tolist()]
        inner = [f"({low}, {high}]" for low, high in pairwise(names)]
        words = [f"<= {names[0]}", *inner, f"> {names[-1]}"]
    codes = np.full(len(series), len(words), dtype=np.int64)
    codes[present] = np.searchsorted(edges, known, side="left")
    if not present.all():
        words = [*words, MISSING]
    return CodedColumn(series.name, "levels" if len(different) <= bins else "bins", codes, words)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
