"""Feature ranking by near hits and near misses (ReliefF)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from assay.selection.contract.inputs import Floats
from assay.selection.contract.row_order import row_hashes
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import dense
from assay.storage.limits import SEED, Limits, Whole

Positions = NDArray[np.int64]

BLOCK_VALUES = 1 << 20


@dataclass(kw_only=True, eq=False, repr=False)
class ReliefF(FeatureRanker):
    """Rank columns by whether they differ between near rows of other classes, not of one (ReliefF).

    W_j = mean over the rows i visited of sum_c p_c / (1 - p_(class of i)) diff_j(i, misses of c)
    - diff_j(i, hits), where hits are the k rows nearest to i in its own class, misses of c those in
    another class c of share p_c, and diff_j the mean difference in column j: |x - x'| over the
    column's span, or for names 1 where they differ. Nearness is the sum of all columns' differences.

    Parameters
    ----------
    n_neighbors : int, default 10
        k, the authors' recommendation: fewer follow noise, many lose what holds only nearby. A
        class with fewer rows gives all it has.
    n_samples : int or None, default 1000
        How many rows are visited, chosen by the hash of their content; None: all.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) whose values are names rather than amounts.
    random_state : int, default 0
        Salt of that hash.

    Attributes
    ----------
    scores_ : float64[d]
        W, in [-1, 1].

    Notes
    -----
    O(m n d) time for the distances of m rows visited and O(m k d) per class for W; one copy of X
    and O(m n) memory, 8 bytes per pair. Rows are put in order of their hash first, so that their
    order does not matter, equal distances included. It sees columns that matter only together, as
    long as irrelevant ones do not drown the distances.

    Claims
    ------
    paper
        Near hits and misses see interactions that single-column scores miss.
    here
        The published update over visited rows.
    deviates
        At most 1,000 rows are visited by default; their order does not matter.
    measured
        All 20 of madelon's columns among the first 20; 81.2 at k = 50 on nine sets
        (`features_quality.md`).

    References
    ----------
    I. Kononenko, Estimating attributes: analysis and extensions of RELIEF, ECML 1994.
    M. Robnik-Sikonja, I. Kononenko, Theoretical and empirical analysis of ReliefF and RReliefF,
    Machine Learning 53, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.relieff import ReliefF
    >>> X = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)] * 3, dtype=float)
    >>> ReliefF(n_neighbors=2).fit(X, X[:, 0] != X[:, 2]).ranking_  # only together
    array([1, 3, 2])
    """

    limits: ClassVar[Limits] = {
        "n_neighbors": (Whole(1),),
        "n_samples": (Whole(1), None),
        "random_state": SEED,
    }

    n_neighbors: int = 10
    n_samples: int | None = 1000
    discrete_features: ArrayLike | None = None
    random_state: int = 0

    def _score(self, X: Any, y: Any) -> Floats:
        n, d = X.shape
        order = np.lexsort((y, *row_hashes(X, int(self.random_state)).T))
        X, y = X[order], y[order]
        names = self._named(d)
        named = np.zeros(d, dtype=bool) if names is None else names
        visited = n if self.n_samples is None else min(int(self.n_samples), n)
        near, weight = self._neighbors(_distances(X, visited, named), y)
        scores = np.empty(d)
        width = max(1, BLOCK_VALUES // n)
        for start in range(0, d, width):
            columns = slice(start, start + width)
            block = _scaled(X[:, columns], named[columns])
            total = np.zeros(block.shape[1])
            for slot in range(near.shape[1]):
                total += _weighted_differences(
                    block, near[:, slot], weight[:, slot], named[columns]
                )
            scores[columns] = total / visited
        return scores

    def _neighbors(self, distance: Floats, y: Positions) -> tuple[Positions, Floats]:
        """Hits and misses of the first rows, k slots per class, with their weights in W."""
        visited, n = distance.shape
        share = np.bincount(y) / n
        own = y[:visited]
        slots, weights = [], []
        for c in range(len(share)):
            members = np.flatnonzero(y == c)
            k = min(int(self.n_neighbors), len(members))
            hit = own == c
            among = distance[:, members]
            among[hit, np.searchsorted(members, np.flatnonzero(hit))] = np.inf  # itself
            nearest = np.argsort(among, axis=1, kind="stable")[:, :k]
            # a row of the smallest classes has fewer hits than there are slots
            exists = np.isfinite(np.take_along_axis(among, nearest, axis=1))
            factor = np.where(hit, -1.0, share[c] / (1.0 - share[own]))
            slots.append(members[nearest])
            weights.append(factor[:, None] * exists / np.maximum(exists.sum(axis=1), 1)[:, None])
        return np.concatenate(slots, axis=1), np.concatenate(weights, axis=1)


def _scaled(X: Any, named: NDArray[np.bool_]) -> Floats:
    """Columns from 0 to 1; names as numbers of their order."""
    block = dense(X).astype(np.float64)
    for j in np.flatnonzero(named):
        block[:, j] = np.unique(block[:, j], return_inverse=True)[1]
    low = block.min(axis=0)
    span = block.max(axis=0) - low
    block[:, ~named] = ((block - low) / np.where(span > 0, span, 1.0))[:, ~named]
    return block


def _distances(X: Any, visited: int, named: NDArray[np.bool_]) -> Floats:
    """Distances of the first rows to all rows."""
    n, d = X.shape
    distance = np.zeros((visited, n))
    width = max(1, BLOCK_VALUES // n)
    for start in range(0, d, width):
        columns = slice(start, start + width)
        block, names = _scaled(X[:, columns], named[columns]), named[columns]
        if not names.all():
            numbers = np.ascontiguousarray(block[:, ~names])
            distance += cdist(numbers[:visited], numbers, "cityblock")
        if names.any():
            codes = np.ascontiguousarray(block[:, names])
            distance += cdist(codes[:visited], codes, "hamming") * codes.shape[1]
    return distance


def _weighted_differences(
    block: Floats, near: Positions, weight: Floats, named: NDArray[np.bool_]
) -> Floats:
    """Sum over the first rows i of weight_i times the differences to row near_i, per column."""
    total = np.zeros(block.shape[1])
    step = max(1, BLOCK_VALUES // block.shape[1])
    for start in range(0, len(near), step):
        rows = slice(start, min(start + step, len(near)))
        difference = np.abs(block[rows] - block[near[rows]])
        difference[:, named] = difference[:, named] > 0
        total += np.einsum("i,ij->j", weight[rows], difference)
    return total
