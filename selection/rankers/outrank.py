"""OutRank: columns by mutual information that allows for how many levels a column has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.rankers.chance_information import BLOCK_CELLS, CorrectedInformation
from assay.selection.tables.blocks import dense_column, dense_rows
from assay.selection.tables.moments import Counts
from assay.selection.tables.relevance import default_bins
from assay.storage.limits import Limits, Number, Whole

Levels = NDArray[np.int32]

_AGGREGATES: dict[str, Callable[..., Any]] = {
    "median": np.median,
    "mean": np.mean,
    "sum": np.sum,
}


@dataclass(kw_only=True, eq=False, repr=False)
class OutRank(FeatureRanker):
    """Rank columns by mutual information with the classes, less what chance would give (OutRank).

    A column's relevance is I'(x; y) = H(y' | x) - H(y | x), where y' are labels drawn without
    regard to x. Many levels alone thus earn nothing: an identifier, whose plain mutual information
    is the largest there can be, gets 0. With ``search="3mr"`` the columns are chosen one after the
    other by

        I'(x; y) - alpha * agg_s I'(x; s) + beta * agg_s I'((x, s); y)

    over the columns s chosen so far: maximum relevance, minimum redundancy, maximum relation.

    Parameters
    ----------
    mode : {"expected", "shift"}, default "expected"
        "expected": the mean over all draws of y', in closed form. "shift": the authors' single
        draw, the label c rows further on for a level of c rows; it depends on the order of the
        rows, and says little where equal labels lie together.
    search : {"relevance", "3mr"}, default "relevance"
        How columns are chosen. "3mr" needs k times as long for k columns.
    interaction_order : {1, 2}, default 1
        With 2, the relevance of x is raised by its best synergy with another column,
        max(0, I'((x, s); y) - I'(x; y) - I'(s; y)): columns that tell something only together,
        such as the two parts of an exclusive or, are then found. It takes clearly more rows than
        two columns have combinations of bins; with few rows give a small `n_bins`.
    alpha, beta : float, default 1.0
        Weights of redundancy and relation (only "3mr"), the authors'.
    aggregate : {"median", "mean", "sum"}, default "median"
        Over the columns chosen so far (only "3mr"), the authors'.
    max_pairs : int, default 32768
        How many pairs of columns may be looked at, the authors' bound. Where there are more, only
        the columns of the highest relevance are paired; "3mr" then chooses at most the root of it.
    n_bins : int, optional
        Numeric columns are cut into as many bins with equally many rows each (equal values stay
        together). Default: a tenth of the rows, at least 10 and at most 20.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) each value of which is a level. The authors take all so.

    Attributes
    ----------
    scores_ : float64[d]
        Relevance in nats. With "3mr": 1 + the share of chosen columns that were chosen no earlier
        for chosen ones, above all others; t / (1 + |t|) of the criterion t at the end for others
        that were in the search, and -1 less a number below 1 for columns that were not.
    interactions_ : polars.DataFrame
        The pairs (first, second: positions), their relevance and synergy, largest synergy first
        (only with ``interaction_order=2``).

    Raises
    ------
    NonFiniteError
        X holds NaN or infinite values.
    InputError
        All rows have one class.

    Notes
    -----
    O(n d log n) time and O(block) memory beside X; each pair adds O(n). Relevance does not depend
    on the order of the rows (with "expected") nor on the other columns.

    Claims
    ------
    paper
        Ranking that accounts for cardinality lets AutoML search spaces of columns up to 300 %
        larger, to better models.
    here
        Mutual information less its mean under chance, exactly.
    deviates
        The mean over all draws instead of one shuffle; relation search is an option.
    measured
        84.3 at k = 50 on nine sets (`features_quality.md`); 3 to 29 times as fast as the authors'
        Numba (`features.md`).

    References
    ----------
    B. Skrlj, B. Mramor, OutRank: speeding up AutoML-based model search for large sparse data sets
    with cardinality-aware feature ranking, RecSys 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection import OutRank
    >>> y = np.arange(40) % 2
    >>> X = np.column_stack([np.arange(40), y + np.arange(40) // 20])  # an identifier, a signal
    >>> OutRank(discrete_features=[0, 1]).fit(X, y).scores_.round(2)
    array([0.  , 0.32])
    """

    limits: ClassVar[Limits] = {
        "mode": ("expected", "shift"),
        "search": ("relevance", "3mr"),
        "interaction_order": (1, 2),
        "aggregate": tuple(_AGGREGATES),
        "alpha": (Number("[0, inf)"),),
        "beta": (Number("[0, inf)"),),
        "max_pairs": (Whole(1),),
        "n_bins": (Whole(2, 4_096), None),
    }

    mode: str = "expected"
    search: str = "relevance"
    interaction_order: int = 1
    alpha: float = 1.0
    beta: float = 1.0
    aggregate: str = "median"
    max_pairs: int = 1 << 15
    n_bins: int | None = None
    discrete_features: ArrayLike | None = None

    @property
    def _by_column(self) -> bool:  # type: ignore[override]
        return self.search == "relevance" and self.interaction_order == 1

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        return self._relevance(CorrectedInformation(y, self.mode), X, named)[None]

    def _relevance(
        self, information: CorrectedInformation, X: Any, named: NDArray[np.bool_] | None
    ) -> Floats:
        n, d = X.shape
        bins = int(self.n_bins or default_bins(n))
        relevance = np.empty(d)
        step = max(1, BLOCK_CELLS // n)
        for start in range(0, d, step):
            some = slice(start, start + step)
            relevance[some] = information.of(_quantile_bins(X, some, bins), bins)
        for j in () if named is None else np.flatnonzero(named):
            relevance[j] = information.of(_values(dense_column(X, j)))[0]
        return relevance

    def _score(self, X: Any, y: Any) -> Floats:
        n, d = X.shape
        bins = int(self.n_bins or default_bins(n))
        nominal = self._named(d)
        if nominal is None:
            nominal = np.zeros(d, dtype=bool)
        information = CorrectedInformation(y, self.mode)
        relevance = self._relevance(information, X, nominal)
        if self.interaction_order == 2:
            pool = _best(relevance, (1 + isqrt(1 + 8 * self.max_pairs)) // 2)
            levels = _levels(X, pool, nominal, bins)
            relevance = self._with_synergy(information, relevance, pool, levels)
        if self.search == "relevance":
            return relevance
        steps = min(self._count_to_select(d), isqrt(self.max_pairs))
        pool = _best(relevance, max(steps, self.max_pairs // steps))
        levels = _levels(X, pool, nominal, bins)
        chosen, criterion = self._search(information, relevance[pool], levels, steps)
        scores: Floats = relevance - relevance.max()
        scores = scores / (1.0 - scores) - 1.0
        scores[pool] = criterion / (1.0 + np.abs(criterion))
        scores[pool[chosen]] = 1.0 + np.arange(len(chosen), 0, -1) / len(chosen)
        return scores

    def _with_synergy(
        self, information: CorrectedInformation, relevance: Floats, pool: Counts, levels: Levels
    ) -> Floats:
        parts: list[tuple[Counts, Counts, Floats]] = []
        best = np.zeros(len(relevance))
        for i in range(len(pool) - 1):
            rest = pool[i + 1 :]
            together = _pair_information(information, levels[i], levels[i + 1 :])
            gain = together - relevance[pool[i]] - relevance[rest]
            best[pool[i]] = max(best[pool[i]], gain.max())
            best[rest] = np.maximum(best[rest], gain)
            parts.append((np.full(len(rest), pool[i]), rest, together))
        first, second, together = (
            (np.concatenate(part) for part in zip(*parts, strict=True))
            if parts
            else (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        )
        pairs = {
            "first": np.minimum(first, second),
            "second": np.maximum(first, second),
            "relevance": together,
            "synergy": together - relevance[first] - relevance[second],
        }
        self.interactions_ = pl.DataFrame(pairs).sort(
            "synergy", "first", "second", descending=[True, False, False]
        )
        return relevance + best

    def _search(
        self, information: CorrectedInformation, relevance: Floats, levels: Levels, steps: int
    ) -> tuple[Counts, Floats]:
        """Return the positions chosen, in order, and the criterion of every position at the end."""
        aggregate = _AGGREGATES[self.aggregate]
        constant = levels.max(axis=1) == levels.min(axis=1)
        redundancy, relation = np.empty((2, steps, len(relevance)))
        criterion = relevance.copy()
        chosen = np.empty(0, dtype=np.int64)
        for step in range(steps):
            open_ = np.where(constant, -np.inf, criterion)
            open_[chosen] = -np.inf
            take = int(open_.argmax())
            if open_[take] == -np.inf:
                break
            chosen = np.append(chosen, take)
            own = np.unique(levels[take], return_inverse=True)[1]
            redundancy[step] = CorrectedInformation(own, self.mode).of(levels)
            relation[step] = _pair_information(information, levels[take], levels)
            criterion = relevance - self.alpha * aggregate(redundancy[: step + 1], axis=0)
            criterion += self.beta * aggregate(relation[: step + 1], axis=0)
        return chosen, criterion


def _best(relevance: Floats, count: int) -> Counts:
    """Return the positions of the `count` largest, largest first, ties by position."""
    return np.argsort(-relevance, kind="stable")[:count]


def _quantile_bins(X: Any, columns: slice | Counts, bins: int) -> Levels:
    """Return the bin of each value, int32[m, n], by its mid-rank in its column."""
    values = dense_rows(X, columns)
    order = np.argsort(values, axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    n = values.shape[1]
    new = ascending[:, 1:] > ascending[:, :-1]
    first = np.zeros(values.shape, dtype=np.int64)
    first[:, 1:] = np.where(new, np.arange(1, n), 0)
    after = np.full(values.shape, n)
    after[:, :-1] = np.where(new, np.arange(1, n), n)
    rank = np.maximum.accumulate(first, axis=1)
    rank += np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    result = np.empty(values.shape, dtype=np.int32)
    np.put_along_axis(result, order, (rank * bins // (2 * n)).astype(np.int32), axis=1)
    return result


def _values(column: NDArray[Any]) -> Levels:
    """Return the code of each value, int32[1, n]."""
    return np.unique(column, return_inverse=True)[1].astype(np.int32)[None]


def _levels(X: Any, columns: Counts, nominal: NDArray[np.bool_], bins: int) -> Levels:
    result = _quantile_bins(X, columns, bins)
    for place in np.flatnonzero(nominal[columns]):
        result[place] = _values(dense_column(X, columns[place]))[0]
    return result


def _pair_information(information: CorrectedInformation, one: Levels, others: Levels) -> Floats:
    """Return the information of column `one` together with each row of `others`."""
    m, n = others.shape
    width = int(others.max()) + 1
    few = (int(one.max()) + 1) * width <= 4 * n
    step = max(1, BLOCK_CELLS // n) if few else 1
    result = np.empty(m)
    for start in range(0, m, step):
        some = slice(start, start + step)
        pair = one * np.int64(width) + others[some]
        result[some] = information.of(pair if few else _values(pair[0]))
    return result
