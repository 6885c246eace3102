"""Feature ranking by eigenvector centrality (ECFS), without the graph's matrix."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.inner_validation import choose_alpha
from assay.selection.tables.moments import Relevance
from assay.selection.tables.relevance import column_relevance
from assay.storage.limits import Flag, Limits, Number, Whole

DEFAULT_ALPHA = 0.98
ALPHAS = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95, DEFAULT_ALPHA, 1.0)
VALIDATED_COUNTS = (10, 50, 100, 200)
TOLERANCE = 1e-13
EQUAL = 1e-6  # standardized columns differ in deviation by rounding only
MAX_ITERATIONS = 10_000
FISHER_LIMIT = 1e10  # in place of infinity where Fisher scores are used as they are


@dataclass(kw_only=True, eq=False, repr=False)
class ECFS(FeatureRanker):
    """Rank columns by eigenvector centrality in the complete graph of columns (ECFS).

    A column's score is its entry in the leading eigenvector of A = alpha K + (1 - alpha) S, where
    K_ij = u_i u_j joins columns that tell the classes apart and S_ij = max(s_i, s_j) columns that
    spread, each brought to [0, 1] by its smallest and largest entry. u_i is the mean of a Fisher
    term and of the normalized mutual information with the classes, s_i the deviation.

    Parameters
    ----------
    n_features_to_select
    alpha : float or "cv", default 0.98
        Share of relevance against spread, in [0, 1]; at 1 the ranking is that of u. "cv" chooses
        among 0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98 and 1 by an inner cross-validation of the nearest
        class mean and the 5 nearest rows, on the columns that are to be kept (the best 10, 50, 100
        and 200 where no count is given); another than 0.98 is taken only where it is more accurate
        by over one standard error. It takes five times as long. Measured by
        `benchmarks/features_quality.py` on nine public data sets: columns kept at 0.98 are on
        average as accurate as those of the F test and of mutual information or a little more; less
        alpha helps some sets and harms word counts. The authors' 0.5, without normalization, comes
        close to a ranking by deviation and is on average no better than columns drawn at random.
    relevance : {"nmi", "fslib"}, default "nmi"
        "nmi": Fisher score and mutual information over all classes, from consistent counts.
        "fslib": FSLib 5.0's formulas, averaged over one class against the rest (weighted by the
        share of the class) where there are more than two.
    normalize : bool, default True
        Use F / (1 + F), the share of variance between the classes, for the Fisher score F, and
        divide each deviation by the span of its column, so that both terms of u lie in [0, 1] and
        the ranking does not depend on the columns' units. False takes both as they are.
    n_bins : int, optional
        Bins of the histograms. Default: a tenth of the rows, at least 10 and at most 20.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) whose values are names rather than amounts.
    missing

    Attributes
    ----------
    scores_ : float64[d]
        Entries of the eigenvector, of unit length.
    alpha_ : float
        alpha, as given or chosen.
    n_features_, validation_, missing_
        As `FeatureRanker`.
    ranking_ : int64[d]
        Rank of each column, 1 the best. Ties go by the order of the columns, constant columns last.
    classes_, n_features_in_, feature_names_in_
        As in scikit-learn.

    Raises
    ------
    ConfigError
        A parameter is not what it may be.
    NonFiniteError
        X holds NaN or infinite values.
    InputError
        All rows have one class.

    Notes
    -----
    O(n d log n + steps d) time; O(block + d) memory beside X: the d x d matrix is never built.
    Sparse X takes O(z log z) time for z stored values instead of O(n d log n).
    `relevance="fslib", normalize=False, alpha=0.5` gives the scores of the authors' code, which
    defines neither more than two classes nor columns that are all alike. A term of A whose entries
    are all equal is left out; a constant column has relevance and deviation 0. The scores do not
    depend on the order of the rows, and are permuted with the columns, to the last bit.

    Claims
    ------
    paper
        Robust rankings by eigenvector centrality in a graph of columns, on seven sets.
    here
        The same graph, never built, normalized to units.
    deviates
        Default alpha and relevance were chosen on benchmarks; the authors' are options, equal to
        1e-14.
    measured
        83.9 at k = 50 on nine sets; the authors' default 72.9, mutual information 83.5
        (`features_quality.md`).

    References
    ----------
    G. Roffo, S. Melzi, Ranking to learn: feature ranking and selection via eigenvector centrality,
    NFMCP 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from assay.selection import ECFS
    >>> X, y = load_iris(return_X_y=True)
    >>> ranker = ECFS(n_features_to_select=2).fit(X, y)
    >>> ranker.ranking_
    array([3, 4, 1, 2])
    >>> ranker.transform(X).shape
    (150, 2)
    """

    limits: ClassVar[Limits] = {
        "normalize": (Flag(),),
        "alpha": (Number("[0, 1]"), "cv"),
        "relevance": ("nmi", "fslib"),
        "n_bins": (Whole(2, 4_096), None),
    }

    alpha: float | str = DEFAULT_ALPHA
    relevance: str = "nmi"
    normalize: bool = True
    n_bins: int | None = None
    discrete_features: ArrayLike | None = None

    _by_column = True

    @property
    def _streams(self) -> bool:  # type: ignore[override]
        return self.relevance == "nmi"

    def _score(self, X: Any, y: Any) -> Floats:
        named = self._named(X.shape[1])
        if self.alpha != "cv":
            return self._score_figures(self._figures(X, y, named))
        d = X.shape[1]
        counts = [count for count in VALIDATED_COUNTS if count < d] or [max(1, d // 2)]
        if self.n_features_to_select is not None and not self._automatic:
            counts = [self._count_to_select(d)]

        def scores_of(rows: NDArray[np.int64]) -> Any:
            return partial(self._centrality, self._figures(X[rows], y[rows], named))

        choice = choose_alpha(scores_of, X, y, ALPHAS, DEFAULT_ALPHA, counts)
        self.validation_ = choice.tried
        self.alpha_ = float(choice.value)
        return self._centrality(self._figures(X, y, named), self.alpha_)

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        bins = self.n_bins
        figures = column_relevance(X, y, estimator=self.relevance, n_bins=bins, nominal=named)
        return np.array(figures)

    def _relevance_figures(self, relevance: Relevance, y: Any) -> Floats:
        return np.array(relevance)

    def _score_figures(self, figures: Floats) -> Floats:
        self.alpha_ = float(self.alpha)
        return self._centrality(figures, self.alpha_)

    def _centrality(self, figures: Floats, alpha: float) -> Floats:
        fisher, information, deviation, span = figures
        if self.normalize:
            fisher = 1.0 - 1.0 / (1.0 + fisher)
            deviation = deviation / np.where(span > 0, span, 1.0)
        relevance = (np.minimum(fisher, FISHER_LIMIT) + information) / 2
        return leading_eigenvector(relevance, deviation, alpha)


def leading_eigenvector(relevance: Floats, deviation: Floats, alpha: float) -> Floats:
    """Leading eigenvector of the feature graph, of unit length and without negative entries.

    The graph's matrix is A = alpha K + (1 - alpha) S with K_ij = u_i u_j and S_ij = max(s_i, s_j),
    each brought to [0, 1] by its smallest and largest entry. With the columns in order of s,
    A v = a u (u'v) + b sum(v) + c (s * cumsum(v) + rest of cumsum(s * v)), so that a step of the
    power iteration costs O(d).

    Parameters
    ----------
    relevance : float64[d]
        u, not negative.
    deviation : float64[d]
        s, not negative.
    alpha : float
        Share of K. A term whose entries are all equal, up to a millionth, says nothing and is left
        out; where nothing is left, all entries of the result are equal.

    Returns
    -------
    float64[d]
        Permuting the columns permutes it, to the last bit.

    Warns
    -----
    ConvergenceWarning
        The entries still moved by more than 1e-13 of the largest after 10,000 steps.

    Notes
    -----
    O(d log d + steps d) time, usually 10 to 30 steps, and seven arrays of d numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.ecfs import leading_eigenvector
    >>> leading_eigenvector(np.array([0.0, 1.0]), np.array([1.0, 1.0]), 0.5)
    array([0., 1.])
    """
    low, high = relevance.min() ** 2, relevance.max() ** 2
    least, most = deviation.min(), deviation.max()
    a = alpha / (high - low) if high - low > EQUAL * high else 0.0
    c = (1 - alpha) / (most - least) if most - least > EQUAL * most else 0.0
    u, s = np.sqrt(a) * relevance, c * (deviation - least)
    order = np.argsort(s)
    tied = bool((np.diff(s[order]) == 0).any())
    if tied:
        order = np.lexsort((u, s))  # one order of summation, whatever the order of the columns
    u, s = u[order], s[order]
    v = np.ones(len(u))
    if a > 0.0 or c > 0.0:
        v = _iterate(v, u, s, -a * low)
    if tied:
        # equal columns get equal entries, to the last bit
        first = np.append(True, (np.diff(u) != 0) | (np.diff(s) != 0))
        v = v[np.maximum.accumulate(np.where(first, np.arange(len(v)), 0))]
    v = np.maximum(v, 0.0)  # rounding
    v /= np.sqrt(np.square(v).sum())
    result = np.empty_like(v)
    result[order] = v
    return result


def _iterate(v: Floats, u: Floats, s: Floats, b: float) -> Floats:
    """Power iteration on uu' + b 11' + max(s_i, s_j), s ascending; v is overwritten."""
    w, buffer = np.empty_like(v), np.empty_like(v)
    shift, last_change, last_largest = 0.0, np.inf, 0.0
    for _ in range(MAX_ITERATIONS):
        projection = np.multiply(u, v, out=buffer).sum()  # not BLAS, whose bits depend on threads
        np.cumsum(v, out=w)
        total = w[-1]
        w *= s
        np.cumsum(np.multiply(s, v, out=buffer), out=buffer)
        w -= buffer
        w += buffer[-1] + b * total
        w += np.multiply(u, projection, out=buffer)
        if shift > 0.0:
            w += np.multiply(v, shift, out=buffer)
        largest = w.max()
        w /= largest
        change = np.abs(np.subtract(w, v, out=buffer), out=buffer).max()
        v, w = w, v
        if change <= TOLERANCE:
            return v
        if shift == 0.0 and change > 0.5 * last_change:
            # an eigenvalue near -lambda (one deviation far above the rest) makes v swing; two
            # steps together still grow by lambda squared
            shift = 0.5 * np.sqrt(largest * last_largest)
        last_change, last_largest = change, largest
    warnings.warn(
        f"The power iteration moved by {change:.1e} in its last of {MAX_ITERATIONS} steps, more "
        f"than {TOLERANCE:.0e}: columns with nearly equal scores may be out of order.",
        ConvergenceWarning,
        stacklevel=2,
    )
    return v
