"""Feature ranking by relevance to the classes and redundancy to the columns already chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.rankers.ecfs import FISHER_LIMIT
from assay.selection.tables.blocks import bounds, dense_column, dense_rows
from assay.selection.tables.relevance import column_relevance, default_bins
from assay.storage.limits import Limits, Whole

CRITERIA = ("fcq", "fcd", "miq", "mid")
LEAST_REDUNDANCY = 1e-3  # a quotient by chance correlations near 0 would outweigh any relevance
DEFAULT_DEPTH = 200
MOST_BINS = 256
BLOCK_VALUES = 1 << 20


@dataclass(kw_only=True, eq=False, repr=False)
class MRMR(FeatureRanker):
    """Rank columns one by one: relevant to the classes, not redundant to those before (mRMR).

    The first column is the most relevant. Then, with R_j the relevance of column j and C_j the mean
    of its redundancies with the columns chosen so far, the next is the one of largest R_j / C_j
    (quotient, "q") or R_j - C_j (difference, "d").

    Parameters
    ----------
    criterion : {"fcq", "fcd", "miq", "mid"}, default "fcq"
        "fc": R is the F statistic of the classes, C the absolute correlation of two columns; "mi":
        both are mutual information, of columns cut into bins of equal width. The default costs
        least and needs no bins. C counts as at least 0.001 in quotients. R and C have one unit in
        "mid", but not in "fcd", where a large F statistic leaves redundancy little weight.
    depth : int, optional
        How many columns are chosen one by one; the others follow in order of the criterion against
        these. Default: as many as are kept where `n_features_to_select` is given, and at least 200.
    n_bins : int, optional
        Bins for "mi". Default: a tenth of the rows, at least 10 and at most 20.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) whose values are names rather than amounts: "mi" takes their
        values as bins, "fc" their codes as amounts in C only.

    Attributes
    ----------
    scores_ : float64[d]
        (d + 1 - rank) / d, as the position is all that the method says; 0 for constant columns.
    relevance_ : float64[d]
        R_j.

    Notes
    -----
    O(depth n d) time with one sum of redundancies per column, no d x d array; beside X a copy of it
    ("mi": one byte per value), which is dense where X is sparse too. Copies of a column are as redundant as can be: unlike in other
    rankings they come far behind it, unless they are much more relevant than what else there is.

    Claims
    ------
    paper
        Fewer columns, better classes: relevance less redundancy beats single scores on gene
        expression.
    here
        Quotient or difference, by F and correlation or by information.
    deviates
        Nothing.
    measured
        84.4 at k = 50 on nine sets, the best of all (`features_quality.md`).

    References
    ----------
    C. Ding, H. Peng, Minimum redundancy feature selection from microarray gene expression data,
    Journal of Bioinformatics and Computational Biology 3 (2), 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.mrmr import MRMR
    >>> X = np.array([[0.0, 0, 3], [0, 0, 4], [9, 9, 3], [9, 9, 4]] * 3)
    >>> MRMR(criterion="mid").fit(X, [0, 1, 2, 3] * 3).ranking_
    array([1, 3, 2])
    """

    limits: ClassVar[Limits] = {
        "criterion": CRITERIA,
        "depth": (Whole(1), None),
        "n_bins": (Whole(2, MOST_BINS), None),
    }

    criterion: str = "fcq"
    depth: int | None = None
    n_bins: int | None = None
    discrete_features: ArrayLike | None = None

    def _score(self, X: Any, y: Any) -> Floats:
        n, d = X.shape
        names = self._named(d)
        low, high = bounds(X)
        constant = low == high
        redundancy: _Correlation | _Information
        if self.criterion.startswith("fc"):
            fisher = column_relevance(X, y, nominal=names).fisher
            k = int(y.max()) + 1
            self.relevance_ = np.minimum(fisher, FISHER_LIMIT) * max(n - k, 1) / (k - 1)
            redundancy = _Correlation(X)
        else:
            redundancy = _Information(X, names, self.n_bins or default_bins(n))
            self.relevance_ = redundancy.with_codes(y.astype(np.uint16))
        quotient = self.criterion.endswith("q")
        depth = self._depth(d, int((~constant).sum()))
        order = np.empty(depth, dtype=np.int64)
        total, free = np.zeros(d), ~constant
        worth = self.relevance_
        for step in range(depth):
            order[step] = chosen = int(np.argmax(np.where(free, worth, -np.inf)))
            free[chosen] = False
            total += redundancy.with_column(chosen)
            mean = total / (step + 1)
            worth = (
                self.relevance_ / np.maximum(mean, LEAST_REDUNDANCY)
                if quotient
                else self.relevance_ - mean
            )
        rest = np.flatnonzero(free)
        rest = rest[np.argsort(-worth[rest], kind="stable")]
        scores = np.zeros(d)
        ranked = np.concatenate([order, rest])
        scores[ranked] = (d - np.arange(len(ranked))) / d
        return scores

    def _depth(self, d: int, usable: int) -> int:
        if self.depth is not None:
            return min(int(self.depth), usable)
        kept = 0 if self.n_features_to_select is None else self._count_to_select(d)
        return min(max(kept, DEFAULT_DEPTH), usable)


class _Correlation:
    """Absolute correlations of all columns with one of them."""

    def __init__(self, X: Any) -> None:
        kind = np.float32 if X.dtype == np.float32 else np.float64
        n, d = X.shape
        self._rows = np.empty((d, n), dtype=kind)
        width = max(1, BLOCK_VALUES // n)
        for start in range(0, d, width):
            block = dense_rows(X, slice(start, start + width)).copy()
            block -= block.min(axis=1, keepdims=True)
            block /= np.maximum(block.max(axis=1, keepdims=True), 1e-300)
            block -= block.mean(axis=1, keepdims=True)
            length = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
            self._rows[start : start + width] = block / np.maximum(length, 1e-300)

    def with_column(self, j: int) -> Floats:
        # not BLAS, whose bits depend on a row's place and on threads: copies have to tie
        products = np.einsum("ij,j->i", self._rows, self._rows[j])
        correlations: Floats = np.abs(products).astype(np.float64)
        return correlations


class _Information:
    """Mutual information of all columns, cut into bins, with one of them, in nats."""

    def __init__(self, X: Any, names: NDArray[np.bool_] | None, bins: int) -> None:
        n, d = X.shape
        levels = bins
        coded: dict[int, NDArray[np.int64]] = {}
        for j in () if names is None else np.flatnonzero(names):
            column = int(j)
            coded[column] = np.unique(dense_column(X, column), return_inverse=True)[1]
            levels = max(levels, int(coded[column].max()) + 1)
        self._codes = np.empty((d, n), dtype=np.uint8 if levels <= 256 else np.uint16)
        self._levels = levels
        counts = np.arange(n + 1, dtype=np.float64)
        self._weight = counts * np.log(np.maximum(counts, 1.0))
        width = max(1, BLOCK_VALUES // n)
        for start in range(0, d, width):
            block = dense_rows(X, slice(start, start + width)).copy()
            block -= block.min(axis=1, keepdims=True)
            span = block.max(axis=1, keepdims=True)
            place = block * (bins / np.where(span > 0, span, 1.0))
            self._codes[start : start + width] = np.minimum(place, bins - 1)
        for column, code in coded.items():
            self._codes[column] = code
        self._own = self._sums(self._codes, levels)

    def with_column(self, j: int) -> Floats:
        return self.with_codes(self._codes[j])

    def with_codes(self, codes: NDArray[Any]) -> Floats:
        """Return I(x_j; codes) = log n + (sum over joint - sums over margins) / n."""
        n = len(codes)
        other = int(codes.max()) + 1
        own = self._sums(codes[None], other)[0]
        joint = np.empty(len(self._codes))
        width = max(1, BLOCK_VALUES // max(n, self._levels * other))
        for start in range(0, len(joint), width):
            block = self._codes[start : start + width].astype(np.int64)
            joint[start : start + width] = self._sums(
                block * other + codes.astype(np.int64), self._levels * other
            )
        information: Floats = np.log(n) + (joint - self._own - own) / n
        return np.maximum(information, 0.0)

    def _sums(self, codes: NDArray[Any], levels: int) -> Floats:
        """Sum of c log c over the counts c of each row of codes."""
        sums = np.empty(len(codes))
        width = max(1, BLOCK_VALUES // max(codes.shape[1], levels))
        for start in range(0, len(codes), width):
            block = codes[start : start + width].astype(np.int64)
            m = len(block)
            cells = block + np.arange(m)[:, None] * levels
            counts = np.bincount(cells.ravel(), minlength=m * levels).reshape(m, levels)
            sums[start : start + m] = self._weight[counts].sum(axis=1)
        return sums
