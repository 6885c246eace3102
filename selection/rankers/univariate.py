"""scikit-learn's filters for classes as rankers: F test, mutual information by neighbors, chi-square."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.feature_selection import chi2, mutual_info_classif

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import bounds, dense_column
from assay.selection.tables.moments import Relevance
from assay.selection.tables.relevance import class_blocks, fisher_score
from assay.selection.tables.sparse_relevance import sorted_by_class
from assay.storage.errors import InputError
from assay.storage.limits import SEED, Limits, Whole

LARGEST = float(np.finfo(np.float64).max)


class FTest(FeatureRanker):
    """Rank columns by the F statistic of a one-way analysis of variance (`f_classif`).

    F = (variance between the classes / (k - 1)) / (variance within them / (n - k)).

    Attributes
    ----------
    scores_ : float64[d]
        F; the largest float where every class is constant and the classes differ.

    Notes
    -----
    O(n d log n) time, O(block) memory; sparse X takes O(z log z) for z stored values. It is
    (n - k) / (k - 1) times the Fisher score, from differences to the class means: scikit-learn's
    function, from sums of squares, loses digits where a column's mean is far above its deviation.

    Claims
    ------
    paper
        The F test of equal means.
    here
        scikit-learn's ranking, from differences to means.
    deviates
        Nothing.
    measured
        83.4 at k = 50 on nine sets (`features_quality.md`).

    References
    ----------
    R. A. Fisher, Statistical Methods for Research Workers, 1925.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from assay.selection import FTest
    >>> FTest(n_features_to_select=2).fit(*load_iris(return_X_y=True)).ranking_
    array([3, 4, 1, 2])
    """

    _by_column = True
    _streams = True

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        return self._statistic(fisher_score(X, y), y)

    def _relevance_figures(self, relevance: Relevance, y: Any) -> Floats:
        return self._statistic(relevance.fisher, y)

    def _statistic(self, fisher: Floats, y: Any) -> Floats:
        k = int(y.max()) + 1
        with np.errstate(over="ignore"):
            return np.minimum(fisher * (max(len(y) - k, 1) / (k - 1)), LARGEST)[None]


@dataclass(kw_only=True, eq=False, repr=False)
class NeighborInformation(FeatureRanker):
    """Rank columns by mutual information estimated from neighbors (`mutual_info_classif`).

    Parameters
    ----------
    n_neighbors : int, default 3
        scikit-learn's; more give a smoother estimate.
    discrete_features : bool[d] or array of int, optional
        Columns (mask or positions) whose values are names; theirs is the information of the counts.
    random_state : int, default 0
        Seed of the noise that scikit-learn adds so that no two values are equal.

    Attributes
    ----------
    scores_ : float64[d]
        Nats, from 0.

    Notes
    -----
    O(n log n) time per column, some milliseconds: a hundred times that of a histogram. Every column
    is given to scikit-learn by itself, with the same noise and the rows in order of its values and
    classes, so that its score depends neither on other columns nor on the order of the rows.

    The estimate is not corrected for chance: with a class of few rows, a column that says nothing
    may get more than one that says little (with 100 positives of 20,000 a constant gets .005 nats,
    where the labels hold .031). So a consensus leaves it out unless it is named; `OutRank` is
    corrected.

    Claims
    ------
    paper
        An estimate of mutual information between numbers and classes without bins.
    here
        scikit-learn's estimate, column by column.
    deviates
        Independent of other columns and of the rows' order.
    measured
        4 of madelon's 20 columns among the first 20 (`features_quality.md`).

    References
    ----------
    B. C. Ross, Mutual information between discrete and continuous data sets, PLoS ONE 9, 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from assay.selection import NeighborInformation
    >>> sorted(NeighborInformation(2).fit(*load_iris(return_X_y=True)).ranking_[2:].tolist())
    [1, 2]
    """

    _by_column = True

    limits: ClassVar[Limits] = {
        "n_neighbors": (Whole(1),),
        "random_state": SEED,
    }

    n_neighbors: int = 3
    discrete_features: ArrayLike | None = None
    random_state: int = 0

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        if np.bincount(y).max() < 2:
            raise InputError(
                f"All {len(y)} labels are different; information by neighbors needs two rows of a "
                "class. Is the label a column of ids?"
            )
        scores = np.empty(X.shape[1])
        for j in range(len(scores)):
            column = dense_column(X, j).astype(np.float64)
            order = np.lexsort((y, column))
            scores[j] = mutual_info_classif(
                column[order, None],
                y[order],
                discrete_features=bool(named is not None and named[j]),
                n_neighbors=int(self.n_neighbors),
                random_state=int(self.random_state) % 2**32,
            )[0]
        return scores[None]


@dataclass(kw_only=True, eq=False, repr=False)
class ChiSquared(FeatureRanker):
    """Rank columns of counts by how far their sums per class are from chance (`chi2`).

    With o_c the sum of a column over class c, e_c the column's sum times the share of the class,
    the score is sum_c (o_c - e_c)^2 / e_c.

    Parameters
    ----------
    negative : {"shift", "raise"}, default "shift"
        Columns with values below 0, for which the statistic is not defined: count them from their
        smallest value, or refuse them, as scikit-learn does.

    Attributes
    ----------
    scores_ : float64[d]
        The statistic; 0 for columns of zeros.

    Raises
    ------
    InputError
        Values below 0 and ``negative="raise"``; or as `FeatureRanker`.

    Notes
    -----
    O(n d) time, O(block) memory; sparse columns without negative values stay sparse. It grows with
    a column's unit, so that columns have to be counts, or of one unit.

    Claims
    ------
    paper
        The test of independence of counts.
    here
        scikit-learn's statistic.
    deviates
        Nothing.
    measured
        81.9 at k = 50 on nine sets (`features_quality.md`).

    References
    ----------
    K. Pearson, On the criterion that a given system of deviations ... can be reasonably supposed to
    have arisen from random sampling, Philosophical Magazine 50, 1900.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection import ChiSquared
    >>> ChiSquared().fit(np.array([[4, 1], [4, 0], [0, 1], [0, 0]]), [0, 0, 1, 1]).scores_
    array([8., 0.])
    """

    _by_column = True

    limits: ClassVar[Limits] = {
        "negative": ("shift", "raise"),
    }

    negative: str = "shift"

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        low, high = bounds(X)
        below = low < 0
        if below.any() and self.negative == "raise":
            bad = ", ".join(map(str, np.flatnonzero(below)[:10]))
            raise InputError(
                f"Column {bad} holds values below 0, for which chi-square is not defined; use "
                "negative='shift', or another ranker."
            )
        scores = np.empty(X.shape[1])
        if issparse(X) and not below.any():
            scores[:] = self._statistic(sorted_by_class(X, y), np.sort(y))
        else:
            for columns, block, _ in class_blocks(X, y, 1):
                block -= np.minimum(low[columns], 0.0)[:, None]
                # sparse, since BLAS would add up copies of a column in different order
                scores[columns] = self._statistic(csr_array(block.T), np.sort(y))
        scores[low == high] = 0.0
        return scores[None]

    def _statistic(self, X: Any, y: Any) -> Floats:
        with np.errstate(all="ignore"):
            statistic: Floats = np.nan_to_num(chi2(X, y)[0], nan=0.0, posinf=LARGEST)
        return statistic
