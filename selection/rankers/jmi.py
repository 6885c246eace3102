"""Feature ranking by what columns tell about the classes together with those already chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import bounds, dense_column, dense_rows
from assay.storage.limits import Limits, Whole

Codes = NDArray[np.uint16]
DEFAULT_DEPTH = 200
BLOCK_VALUES = 1 << 20


@dataclass(kw_only=True, eq=False, repr=False)
class JMI(FeatureRanker):
    r"""Rank columns one by one by joint mutual information with the classes (JMI).

    The first column is the one of largest I(x; y). Then, over the columns s chosen so far, the next
    is the one of largest

    .. math:: J(x) = \sum_s I\big((x, s); y\big)

    so that a column counts for what it adds to each of them: copies add nothing, and the two parts
    of an exclusive or tell everything together.

    Parameters
    ----------
    n_bins : int, default 5
        Numeric columns are cut into as many bins with equally many rows each. Equal values share a
        bin, and a value that equals an edge lies below it, so that sparse counts are told from 0.
        Few bins, because three variables are counted together.
    candidates : int, default 600
        Columns of the largest I(x; y) that are compared; the others follow in that order.
    depth : int, optional
        How many columns are chosen one by one. Default: as many as are kept where
        `n_features_to_select` is given, and at least 200.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) whose values are taken as they are.

    Attributes
    ----------
    scores_ : float64[d]
        (d + 1 - rank) / d, as the position is all that the method says; 0 for constant columns.
    relevance_ : float64[d]
        I(x; y) in nats.

    Notes
    -----
    O(n d log n) for the bins and O(depth candidates n) for the search; two bytes per value of the
    candidates.

    Claims
    ------
    paper
        Brown et al.: the best of nine information criteria in accuracy and stability.
    here
        The greedy sum over chosen columns, equal-frequency bins.
    deviates
        The best 600 columns by relevance only, by default.
    measured
        Equal to its definition by plain loops; with shadow columns 18 or more of madelon's 20 are
        confirmed (tests).

    References
    ----------
    Yang and Moody, "Data visualization and feature selection: new algorithms for nongaussian data",
    1999. Brown, Pocock, Zhao, Lujan, "Conditional likelihood maximisation: a unifying framework for
    information theoretic feature selection", 2012 (the best of nine criteria).

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([0, 0, 1, 1] * 5), np.array([0, 1, 0, 1] * 5)
    >>> X = np.column_stack([a, a, b, np.arange(20) // 10]).astype(float)
    >>> JMI(n_bins=2).fit(X, 2 * a + b).ranking_
    array([1, 3, 2, 4])
    """

    limits: ClassVar[Limits] = {
        "n_bins": (Whole(2, 256),),
        "candidates": (Whole(1),),
        "depth": (Whole(1), None),
    }

    n_bins: int = 5
    candidates: int = 600
    depth: int | None = None
    discrete_features: ArrayLike | None = None

    def _score(self, X: Any, y: Any) -> Floats:
        d = X.shape[1]
        low, high = bounds(X)
        constant = low == high
        assert self.n_bins is not None
        codes = _binned(X, self._named(d), self.n_bins)
        information = _Information(codes, y)
        self.relevance_ = information.alone()
        order = np.lexsort((-self.relevance_, constant))
        usable = order[: int((~constant).sum())]
        pool = usable[: int(self.candidates)]
        chosen, rest = self._search(information.among(pool), self.relevance_[pool], self._depth(d))
        ranked = np.concatenate([pool[chosen], pool[rest], usable[len(pool) :]])
        scores = np.zeros(d)
        scores[ranked] = (d - np.arange(len(ranked))) / d
        return scores

    def _search(
        self, information: _Information, relevance: Floats, depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return places in the order chosen, and the others by the criterion at the end."""
        free = np.ones(len(relevance), dtype=bool)
        worth = relevance
        merit: Floats | None = None
        chosen: list[int] = []
        while len(chosen) < min(depth, len(relevance)):
            best = int(np.argmax(np.where(free, worth, -np.inf)))
            free[best] = False
            chosen.append(best)
            merit = self._joined(merit, information.with_column(best), relevance[best])
            worth = merit
        rest = np.flatnonzero(free)
        rest = rest[np.argsort(-worth[rest], kind="stable")]
        return np.array(chosen, dtype=np.int64), rest

    @staticmethod
    def _joined(merit: Floats | None, joint: Floats, own: float) -> Floats:
        """Return the criterion after one more column, of information `own`, was chosen."""
        return joint if merit is None else merit + joint

    def _depth(self, d: int) -> int:
        if self.depth is not None:
            return int(self.depth)
        kept = 0 if self.n_features_to_select is None else self._count_to_select(d)
        return max(kept, DEFAULT_DEPTH)


class CMIM(JMI):
    r"""Rank columns one by one by conditional mutual information, at its least (CMIM).

    The first column is the one of largest I(x; y). Then, over the columns s chosen so far, the next
    is the one of largest

    .. math:: J(x) = \min_s I(x; y \mid s) = \min_s \big[ I((x, s); y) - I(s; y) \big]

    so that one chosen column that says the same is enough to rule a column out.

    Claims
    ------
    paper
        Fleuret: with a plain Bayes classifier level with boosting on images and molecules, and
        very fast.
    here
        The greedy least over chosen columns.
    deviates
        As `jmi`; several classes and bins, not binary.
    measured
        Equal to its definition by plain loops (test).

    References
    ----------
    Fleuret, "Fast binary feature selection with conditional mutual information", 2004.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.array([0, 0, 1, 1] * 5), np.array([0, 1, 0, 1] * 5)
    >>> X = np.column_stack([a, a, b, np.arange(20) // 10]).astype(float)
    >>> CMIM(n_bins=2).fit(X, 2 * a + b).ranking_
    array([1, 4, 2, 3])
    """

    @staticmethod
    def _joined(merit: Floats | None, joint: Floats, own: float) -> Floats:
        conditional = joint - own
        return conditional if merit is None else np.minimum(merit, conditional)


class _Information:
    """Mutual information of coded columns with the classes, alone and in pairs, in nats."""

    def __init__(self, codes: Codes, y: NDArray[Any]) -> None:
        self._codes = codes
        self._y = y.astype(np.int64)
        self._classes = int(y.max()) + 1
        self._n = len(y)
        counts = np.arange(self._n + 1, dtype=np.float64)
        self._weight = counts * np.log(np.maximum(counts, 1.0))
        self._of_classes = self._weight[np.bincount(self._y)].sum()

    def among(self, columns: NDArray[np.int64]) -> _Information:
        """Return that of some columns."""
        return _Information(self._codes[columns], self._y)

    def alone(self) -> Floats:
        """Return I(x; y) of each column."""
        return self._with(np.zeros(self._n, dtype=np.int64))

    def with_column(self, place: int) -> Floats:
        """Return I((x, s); y) of each column x with the column s."""
        own = np.unique(self._codes[place], return_inverse=True)[1].astype(np.int64)
        return self._with(own)

    def _with(self, other: NDArray[np.int64]) -> Floats:
        levels = int(other.max()) + 1
        information = np.empty(len(self._codes))
        start = 0
        while start < len(information):
            width = int(self._codes[start].max(initial=0)) + 1
            rows = max(1, BLOCK_VALUES // max(self._n, width * levels * self._classes))
            block = self._codes[start : start + rows].astype(np.int64)
            width = int(block.max(initial=0)) + 1
            pair = block * levels + other
            together = self._sums(pair * self._classes + self._y, width * levels * self._classes)
            apart = self._sums(pair, width * levels)
            information[start : start + rows] = (
                np.log(self._n) + (together - apart - self._of_classes) / self._n
            )
            start += rows
        return np.maximum(information, 0.0)

    def _sums(self, cells: NDArray[np.int64], levels: int) -> Floats:
        """Return for each row of cells the sum of c log c over their counts c."""
        rows = len(cells)
        if levels > 4 * self._n:
            cells = np.stack([np.unique(row, return_inverse=True)[1] for row in cells])
            levels = self._n
        placed = cells + np.arange(rows)[:, None] * levels
        counts = np.bincount(placed.ravel(), minlength=rows * levels).reshape(rows, levels)
        # in order of size, so that columns whose levels are named otherwise tie
        counts.sort(axis=1)
        return np.asarray(self._weight[counts].sum(axis=1))


def _binned(X: Any, named: NDArray[np.bool_] | None, bins: int) -> Codes:
    """Return the bin of each value, uint16[d, n]; the levels of named columns."""
    n, d = X.shape
    codes = np.empty((d, n), dtype=np.uint16)
    ranks = np.unique([(n * part + bins - 1) // bins - 1 for part in range(1, bins)])
    ranks = ranks[ranks >= 0]
    rows = max(1, BLOCK_VALUES // n)
    for start in range(0, d, rows):
        values = dense_rows(X, slice(start, start + rows))
        edges = np.partition(values, ranks, axis=1)[:, ranks]
        above = np.zeros(values.shape, dtype=np.uint16)
        for place in range(edges.shape[1]):
            above += values > edges[:, place, None]
        codes[start : start + rows] = above
    for j in () if named is None else np.flatnonzero(named):
        codes[j] = np.unique(dense_column(X, int(j)), return_inverse=True)[1]
    return codes
