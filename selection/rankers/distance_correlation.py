"""Distance correlation of every column with the classes or with a number."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d

from assay.selection.contract.inputs import Floats
from assay.selection.rankers._distance_kernels import paired_distances
from assay.selection.rankers.base import LIMIT, FeatureRanker
from assay.selection.rankers.joint_dependence import forward_search
from assay.selection.tables.blocks import dense_rows
from assay.selection.tables.moments import Counts
from assay.selection.tables.relevance import BLOCK_VALUES
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.limits import Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class DistanceCorrelation(FeatureRanker):
    """Rank columns by distance correlation with the classes, or with a number.

    With a_ij = |x_i - x_j|, b_ij = 1 where rows i and j differ in class and 0 elsewhere (or
    b_ij = |y_i - y_j|), and A, B these distances less the means of their rows and columns,

        R = sqrt(sum A_ij B_ij / sqrt(sum A_ij^2 sum B_ij^2)),

    in [0, 1], and with unlimited data 0 only for independence: it sees any relation, not only
    monotone ones, and needs no bins.

    Parameters
    ----------
    target : {"classes", "numbers"}, default "classes"
        What y holds.
    search : {"marginal", "forward"}, default "marginal"
        "marginal": each column by itself. "forward": as DisCo, columns are added one after the
        other, always that one with which the columns chosen have, all together, the largest
        affine-invariant distance correlation (distances are taken after whitening). Columns that
        are linear combinations of chosen ones add nothing and are not chosen.
    max_rows : int, default 1024
        Rows that take part in the forward search, whose time and memory grow with their square; of
        more rows those whose contents hash smallest.

    Attributes
    ----------
    scores_ : float64[d]
        R. With "forward": for chosen columns 1 + the share of chosen columns that were chosen no
        earlier, for others R of the columns chosen together with them.
    classes_, n_features_in_, feature_names_in_, n_features_, validation_, missing_
        As `FeatureRanker` (`classes_` only where the target is classes).

    Raises
    ------
    NonFiniteError
        X, or a numeric y, holds NaN or infinite values.
    InputError
        All rows have one class or one number.

    Notes
    -----
    Marginal: O(n log n) time per column, from sorted values and prefix sums (for numbers a Fenwick
    tree besides), and O(block) memory; the distances are never built. R does not depend on units,
    the order of the rows or the other columns. Forward: O(k d r^2) time for r rows, two arrays of
    r x r numbers and one of r x d. The authors of DisCo compare only rows about which a classifier
    trained on the columns chosen so far is unsure; here all rows are compared. With few rows and
    many columns the search finds what is so by chance: with some 50 rows of 2,000 columns, the
    columns of "marginal" were much the more accurate.

    Claims
    ------
    paper
        0 only for independence. DisCo-FFS: a forward search finds physics features like the best
        black box's.
    here
        Exact distance correlation, marginal or forward.
    deviates
        All rows are compared, not the confusing window; classes by 0/1 distances.
    measured
        83.0 at k = 50 on nine sets (`features_quality.md`); 106 times as fast as its definition
        (`features.md`).

    References
    ----------
    G. J. Szekely, M. L. Rizzo, N. K. Bakirov, Measuring and testing dependence by correlation of
    distances, Annals of Statistics 35, 2007. R. Das, G. Kasieczka, D. Shih, Feature selection with
    distance correlation, Physical Review D 109, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection import DistanceCorrelation
    >>> x = np.arange(-3.0, 4)
    >>> X = np.column_stack([x, x**2])
    >>> DistanceCorrelation().fit(X, np.abs(x) > 1).scores_.round(2)
    array([0.47, 0.86])
    >>> DistanceCorrelation(target="numbers").fit(X, x**2).scores_.round(2)
    array([0.51, 1.  ])
    """

    limits: ClassVar[Limits] = {
        "target": ("classes", "numbers"),
        "search": ("marginal", "forward"),
        "max_rows": (Whole(2),),
    }

    target: str = "classes"
    search: str = "marginal"
    max_rows: int = 1024

    @property
    def _by_column(self) -> bool:  # type: ignore[override]
        return self.search == "marginal" and self.target == "classes"

    def fit(self, X: Any, y: ArrayLike | None = None) -> DistanceCorrelation:
        """Score and rank the columns of X against y, classes or numbers as `target` says."""
        if self.target == "classes" or y is None:
            super().fit(X, y)
            return self
        self._values, codes = np.unique(_numbers(y), return_inverse=True)
        if len(self._values) < 2:
            raise InputError(
                f"All {len(codes)} rows have one number, {self._values.tolist()[0]!r}; "
                "DistanceCorrelation needs at least 2 to compare."
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The number of unique classes")
            super().fit(X, codes)
        del self.classes_, self._values
        return self

    def _target(self, codes: Counts) -> NDArray[Any]:
        return self._values[codes] if self.target == "numbers" else codes

    def _score(self, X: Any, y: Any) -> Floats:
        if self.search == "forward":
            steps = self._count_to_select(X.shape[1])
            return forward_search(X, self._target(y), steps, int(self.max_rows))
        return self._score_figures(self._figures(X, y, None))

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        if self.target == "classes":
            return class_distance_correlation(X, y)[None]
        return numeric_distance_correlation(X, self._values[y])[None]


def class_distance_correlation(X: Any, y: Counts) -> Floats:
    """Distance correlation of every column with the classes; see `DistanceCorrelation`.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
        Finite numbers.
    y : int64[n]
        Class of each row, 0 ... n_classes - 1, each present, at least two.

    Returns
    -------
    float64[d]
        0 for constant columns.

    Notes
    -----
    O(n log n) time per column, O(block) memory. The sum over pairs of unlike classes is that over
    all pairs less those within the classes, both sums of sorted values.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.distance_correlation import class_distance_correlation
    >>> class_distance_correlation(np.array([[0.0], [0], [1], [1]]), np.array([0, 0, 1, 1]))
    array([1.])
    """
    n, sizes = len(y), np.bincount(y)
    by_class = np.argsort(y, kind="stable")
    ends = np.cumsum(sizes)
    classes = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    unlike = np.repeat(n - sizes, sizes).astype(np.float64)
    total_unlike = float(unlike.sum())
    variance = total_unlike / n**2 + (total_unlike / n**2) ** 2 - 2 * (unlike**2).sum() / n**3
    result = np.empty(X.shape[1])
    for columns, block in _blocks(X, by_class):
        pairs = np.zeros(len(block))
        for rows in classes:
            block[:, rows].sort(axis=1)
            pairs -= _pair_sum(block[:, rows])
        order = np.argsort(block, axis=1, kind="stable")
        distances, own_variance = _row_distances(np.take_along_axis(block, order, axis=1))
        total = distances.sum(axis=1)
        pairs += total
        both = (distances * unlike[order]).sum(axis=1)
        covariance = pairs / n**2 + total * total_unlike / n**4 - 2 * both / n**3
        result[columns] = _correlation(covariance, own_variance, variance)
    return result


def numeric_distance_correlation(X: Any, y: Floats) -> Floats:
    """Distance correlation of every column with a number; see `DistanceCorrelation`.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
        Finite numbers.
    y : float64[n]
        Finite numbers.

    Returns
    -------
    float64[d]
        0 for constant columns.

    Notes
    -----
    O(n log n) time per column, O(block) memory. The sum of |x_i - x_j| |y_i - y_j| is taken in order
    of x with prefix sums in a Fenwick tree over the ranks of y.

    References
    ----------
    X. Huo, G. J. Szekely, Fast computing for distance covariance, Technometrics 58, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.distance_correlation import numeric_distance_correlation
    >>> numeric_distance_correlation(np.array([[0.0], [1], [3]]), np.array([4.0, 2, -2])).round(12)
    array([1.])
    """
    n = len(y)
    by_number = np.argsort(y, kind="stable")
    number = y[by_number] / 2 - y.min() / 2
    number /= max(number[-1], np.finfo(np.float64).tiny)
    own, variance = _row_distances(number[None])
    own_total = float(own.sum())
    result = np.empty(X.shape[1])
    for columns, block in _blocks(X, by_number):
        for start, stop in _runs(number):
            block[:, start:stop].sort(axis=1)
        order = np.argsort(block, axis=1, kind="stable")
        ascending = np.take_along_axis(block, order, axis=1)
        distances, own_variance = _row_distances(ascending)
        pairs = paired_distances(ascending, order, number)
        both = (distances * own[0][order]).sum(axis=1)
        covariance = pairs / n**2 + distances.sum(axis=1) * own_total / n**4 - 2 * both / n**3
        result[columns] = _correlation(covariance, own_variance, float(variance[0]))
    return result


def _numbers(y: ArrayLike) -> Floats:
    try:
        numbers = np.asarray(column_or_1d(y), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y is not one number per row: {error}") from None
    if not (np.abs(numbers) <= LIMIT).all():
        raise NonFiniteError(
            f"y holds NaN, infinite values or values beyond {LIMIT:.0e}; leave those rows out."
        )
    return numbers


def _blocks(X: Any, rows: Counts) -> Any:
    """Yield blocks of columns as rows of an array, each brought to [0, 1]."""
    n, d = X.shape
    width = max(1, BLOCK_VALUES // n)
    for start in range(0, d, width):
        columns = slice(start, min(start + width, d))
        block = np.take(dense_rows(X, columns), rows, axis=1)
        block -= block.min(axis=1, keepdims=True)
        span = block.max(axis=1, keepdims=True)
        block /= np.where(span > 0, span, 1.0)
        yield columns, block


def _runs(ascending: Floats) -> list[tuple[int, int]]:
    """Return start and end of each run of more than one equal value."""
    edges = np.flatnonzero(np.concatenate([[True], np.diff(ascending) != 0, [True]]))
    long = np.flatnonzero(np.diff(edges) > 1)
    return list(zip(edges[long].tolist(), edges[long + 1].tolist(), strict=True))


def _pair_sum(ascending: Floats) -> Floats:
    """Return the sum of |x_i - x_j| over all i, j of each row."""
    n = ascending.shape[1]
    total: Floats = (ascending * (4.0 * np.arange(n) - 2.0 * (n - 1))).sum(axis=1)
    return total


def _row_distances(ascending: Floats) -> tuple[Floats, Floats]:
    """Return sum_j |x_i - x_j| of each value, and the distance variance of each row."""
    n = ascending.shape[1]
    total = ascending.sum(axis=1, keepdims=True)
    distances = ascending * (2.0 * np.arange(1, n + 1) - n)
    distances += total - 2.0 * np.cumsum(ascending, axis=1)
    squares = 2.0 * (n * np.square(ascending).sum(axis=1) - total[:, 0] ** 2)
    mean = distances.sum(axis=1) / n**2
    return distances, squares / n**2 + mean**2 - 2.0 * np.square(distances).sum(axis=1) / n**3


def _correlation(covariance: Floats, variance: Floats, other: float) -> Floats:
    product = np.maximum(variance, 0.0) * other
    ratio = np.divide(
        covariance, np.sqrt(product), out=np.zeros_like(covariance), where=product > 0
    )
    result: Floats = np.sqrt(np.clip(ratio, 0.0, 1.0))
    return result
