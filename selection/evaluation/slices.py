"""Weak slices: conjunctions of one or two values of columns in which a score is high."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from assay.selection.contract.inputs import Floats
from assay.selection.tables.coded_columns import CodedColumn, coded_columns
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.limits import Number, Whole, check_parameters
from assay.storage.reading.frames import as_table

# numbers in deciles; a slice has at least so many rows, and this share of all
_BINS, _LEAST_ROWS, _LEAST_SHARE = 10, 32, 0.01
# SliceLine's weight of the mean against that of the size
_WEIGHT = 0.95
# standard errors by which a pair of values must beat each of the two
_BEATS = 2.0
_SCHEMA: dict[str, Any] = {
    "score": pl.Float64,
    "columns": pl.List(pl.String),
    "values": pl.List(pl.String),
    "n": pl.Int64,
    "mean": pl.Float64,
    "ratio": pl.Float64,
    "p": pl.Float64,
}


class _Cells(NamedTuple):
    """All slices over one column, or two: counts, sums and sums of squares of the score."""

    columns: tuple[CodedColumn, ...]
    n: NDArray[np.int64]
    total: Floats
    squares: Floats

    @property
    def mean(self) -> Floats:
        return np.asarray(self.total / np.maximum(self.n, 1))

    @property
    def error(self) -> Floats:
        """Standard error of each mean."""
        n = np.maximum(self.n, 1)
        variance = np.maximum(self.squares / n - (self.total / n) ** 2, 0)
        return np.asarray(np.sqrt(variance / n))


@dataclass(frozen=True, eq=False)
class Slices:
    """The weak slices of a table.

    Attributes
    ----------
    frame : pl.DataFrame
        `score`, `columns`, `values`, `n`, `mean`, `ratio` (to the mean of all rows), `p` (adjusted for
        the number of slices), the highest score first.
    report_ : dict
        `rows` (with a score), `mean`, `looked_at` (slices large enough), `least_rows`, `left_out`
        (columns that can't be cut, with the reason).
    """

    frame: pl.DataFrame
    report_: dict[str, Any]


def weak_slices(table: Any, by: Any, *, most: int = 20, alpha: float = 0.05) -> Slices:
    r"""Find the conjunctions of one or two values of columns in which `by` is high.

    With n_s rows of a slice and its mean m_s, n and m those of all rows, slices are ranked by

    .. math:: \sigma = .95 \Big(\frac{m_s}{m} - 1\Big) - .05 \Big(\frac{n}{n_s} - 1\Big),

    of those with at least 32 rows and 1 % of all. A pair of values stays only if its mean is more than
    two standard errors above that of either value alone: else the pair says nothing new, and the
    first slices would all be one.

    Parameters
    ----------
    table : table of n rows
        Columns to cut: numbers and times in deciles, the 9 most frequent levels of others.
    by : n numbers or booleans
        What is bad where it is high: a loss, a difficulty, whether a row was left out or is wrong.
        Rows where it is null are left out.
    most : int, default 20
        Slices that are returned.
    alpha : float in (0, 1], default 0.05
        Slices with a larger adjusted p are not returned.

    Returns
    -------
    Slices

    Raises
    ------
    InputError
        `by` has another length, is negative or 0 everywhere, or no column can be cut.
    NonFiniteError
        `by` is infinite.

    Notes
    -----
    p is that of the mean of n_s rows drawn without replacement, by the normal approximation, adjusted by
    Benjamini and Hochberg over all slices that are large enough. A sum for each pair of columns:
    O(n d^2), memory O(n).

    References
    ----------
    Sagadeeva, Boehm, "SliceLine: fast, linear-algebra-based slice finding for ML model debugging", 2021
    (the score; theirs goes on to longer conjunctions). Rezaei, Saberi, Moayeri, Feizi, "PRIME: prioritizing
    interpretability in failure mode extraction", 2024 (minimality).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pl.DataFrame({"kind": rng.choice(["a", "b", "c"], 3000), "age": rng.normal(size=3000)})
    >>> wrong = rng.random(3000) < np.where(table["kind"] == "b", 0.3, 0.1)
    >>> weak_slices(table, wrong).frame.select("columns", "values").row(0)
    (['kind'], ['b'])
    """
    check_parameters(most=(most, Whole(1)), alpha=(alpha, Number("(0, 1]")))
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(as_table(table))
    series = pl.Series("by", by).cast(pl.Float64, strict=False).fill_nan(None)
    if len(series) != frame.height:
        raise InputError(
            f"by has {len(series)} values for {frame.height} rows; pass one for each row."
        )
    frame, scores = frame.filter(series.is_not_null()), series.drop_nulls().to_numpy()
    if not len(scores):
        raise InputError("by has no value; pass numbers or booleans.")
    if not np.isfinite(scores).all():
        raise NonFiniteError("by holds infinite values; pass finite ones.")
    if scores.min() < 0 or scores.max() == 0:
        raise InputError(
            "by must be >= 0, and positive for some rows, as slices are compared with its mean; "
            "subtract its smallest value, or pass ranks."
        )
    coded, left_out = coded_columns(frame, _BINS)
    if not coded:
        raise InputError(
            "No column can be cut: "
            + ("; ".join(f"{name}: {why}" for name, why in left_out.items()) or "there is none")
            + ". Pass columns of numbers or levels (--keep keeps them in a run)."
        )
    n, mean = len(scores), float(scores.mean())
    least = max(_LEAST_ROWS, int(np.ceil(_LEAST_SHARE * n)))
    single = {column.name: _cells((column,), scores) for column in coded}
    candidates = [_rows(cells, n, mean, scores.var(), least) for cells in single.values()]
    for first, second in combinations(coded, 2):
        cells = _cells((first, second), scores)
        bar = cells.mean - _BEATS * cells.error
        beats = (bar > single[first.name].mean[:, None]) & (bar > single[second.name].mean[None, :])
        candidates.append(_rows(cells, n, mean, scores.var(), least, beats))
    # late, because it takes half a second
    from scipy.stats import false_discovery_control

    everything = pl.concat(candidates)
    weak = everything.with_columns(p=false_discovery_control(everything["p"].to_numpy())).filter(
        pl.col("stays"), pl.col("score") > 0, pl.col("p") <= alpha
    )
    weak = weak.sort("score", "columns", "values", descending=[True, False, False]).head(most)
    return Slices(
        weak.select(list(_SCHEMA)),
        {
            "rows": n,
            "mean": mean,
            "looked_at": everything.height,
            "least_rows": least,
            "left_out": left_out,
        },
    )


def _cells(columns: tuple[CodedColumn, ...], scores: Floats) -> _Cells:
    shape = tuple(len(column.words) for column in columns)
    codes = np.ravel_multi_index(tuple(column.codes for column in columns), shape)
    size = int(np.prod(shape))
    return _Cells(
        columns,
        np.bincount(codes, minlength=size).reshape(shape),
        np.bincount(codes, scores, size).astype(np.float64).reshape(shape),
        np.bincount(codes, scores**2, size).astype(np.float64).reshape(shape),
    )


def _rows(
    cells: _Cells,
    n: int,
    mean: float,
    variance: float,
    least: int,
    stays: NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """Return the slices that are large enough."""
    large = (cells.n >= least) & (cells.n < n)
    sizes, means = cells.n[large], cells.mean[large]
    error = np.sqrt(variance * n / max(1, n - 1) / sizes * (1 - sizes / n))
    z = np.divide(means - mean, error, out=np.zeros(len(sizes)), where=error > 0)
    places = np.argwhere(large)
    words = [column.words for column in cells.columns]
    values = [[word[at] for word, at in zip(words, place, strict=True)] for place in places]
    return pl.DataFrame(
        {
            "score": _WEIGHT * (means / mean - 1) - (1 - _WEIGHT) * (n / sizes - 1),
            "columns": [[column.name for column in cells.columns]] * len(values),
            "values": values,
            "n": sizes,
            "mean": means,
            "ratio": means / mean,
            "p": ndtr(-z),
            "stays": np.ones(len(sizes), bool) if stays is None else stays[large],
        },
        schema=_SCHEMA | {"stays": pl.Boolean},
    )
