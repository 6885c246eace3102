"""How much each column says about the classes: Fisher score, mutual information, deviation.

Columns are read in blocks, so that memory beyond the input is a few MB. The values of each class
are sorted before they are added up: a column's figures depend only on which values each class
holds, to the last bit, not on the order of the rows, the other columns or the input's layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BLOCK_VALUES = 1 << 18  # 2 MiB
EMPTY_CELL = 1e-5  # FSLib's stand-in for an empty bin
ZERO_SPREAD = 1e4  # FSLib's stand-in for a class variance of zero


class Relevance(NamedTuple):
    """Figures of d columns, float64[d] each.

    Attributes
    ----------
    fisher
        Fisher score; infinite where every class is constant and the classes differ.
    mutual_information
        Normalised mutual information with the classes.
    deviation
        Standard deviation, n - 1 in the denominator.
    span
        Largest less smallest value; 0 marks a constant column.
    """

    fisher: Floats
    mutual_information: Floats
    deviation: Floats
    span: Floats


def default_bins(n: int) -> int:
    """Number of histogram bins for n rows: a tenth of n, at least 10 and at most 20."""
    return 20 if n > 200 else max(n // 10, 10)


def fisher_score(X: NDArray[Any], y: Counts) -> Floats:
    """Fisher score of every column: variance between the classes over variance within them.

    F_j = sum_c n_c (mu_cj - mu_j)^2 / sum_c n_c s_cj^2, s_cj^2 with n_c in the denominator: the F
    statistic of a one-way analysis of variance less its factor (n - k) / (k - 1). 0 for constant
    columns, infinity where every class is constant and the classes differ. X and y as in
    `column_relevance`; O(n d log n) time, O(block) memory. See R. O. Duda, P. E. Hart, D. G. Stork,
    Pattern Classification, 2nd ed., 2001, section 3.8.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.relevance import fisher_score
    >>> fisher_score(np.array([[0.0, 1], [1, 2], [4, 1], [5, 2]]), np.array([0, 0, 1, 1]))
    array([16.,  0.])
    """
    sizes = np.bincount(y)
    score = np.empty(X.shape[1])
    for columns, block, classes in _blocks(X, y, 1):
        score[columns] = _ratio(*_scatter(sizes, *_moments(block, classes)))
    return score


def normalized_mutual_information(
    X: NDArray[Any],
    y: Counts,
    *,
    n_bins: int | None = None,
    nominal: NDArray[np.bool_] | None = None,
) -> Floats:
    """Normalised mutual information 2 I(x_j; y) / (H(x_j) + H(y)) of every column with the classes.

    A numeric column is cut into `n_bins` bins of equal width, each closed on the left; a nominal
    one has one bin per value. All entropies come from one table of counts, so that the result lies
    in [0, 1]: 0 for independent counts, 1 where bins and classes are the same partition.
    Parameters as in `column_relevance`; O(n d log n) time, O(block) memory.

    References
    ----------
    T. M. Cover, J. A. Thomas, Elements of Information Theory, 2nd ed., 2006, chapter 2.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.relevance import normalized_mutual_information
    >>> X = np.array([[3.0, 1], [3, 2], [8, 1], [8, 2]])
    >>> normalized_mutual_information(X, np.array([0, 0, 1, 1])).round(12)
    array([1., 0.])
    """
    bins = n_bins or default_bins(len(y))
    sizes, weight = np.bincount(y), _entropy_weights(len(y))
    information = np.empty(X.shape[1])
    for columns, block, classes in _blocks(X, y, bins):
        table = _count(_equal_width_bins(block, bins), classes, bins)
        information[columns] = _class_information(table, sizes, weight)
    for j in () if nominal is None else np.flatnonzero(nominal):
        information[j] = _class_information(_value_table(X[:, j], y)[None], sizes, weight)[0]
    return information


def column_relevance(
    X: NDArray[Any],
    y: Counts,
    *,
    estimator: str = "nmi",
    n_bins: int | None = None,
    nominal: NDArray[np.bool_] | None = None,
) -> Relevance:
    """Fisher score, mutual information, deviation and span of every column, in one pass.

    For a nominal column, F / (1 + F) is the share of the classes' Gini impurity that its L levels
    explain, less what they would explain by chance, 1 - (1 - tau) (n - 2) / (n - L), and the
    deviation is the root of half the levels' Gini impurity. With two classes, a column of two values
    has the same figures as a name and as a number.

    Parameters
    ----------
    X : array of shape (n, d)
        Finite numbers.
    y : int64[n]
        Class of each row, 0 ... n_classes - 1, each present.
    estimator : {"nmi", "fslib"}
        "nmi": as `fisher_score` and `normalized_mutual_information`. "fslib": as FSLib 5.0 computes
        numeric columns, for reproducing published rankings: the Fisher score is
        (mu_1 - mu_0)^2 / (s_1^2 + s_0^2), n - 1 in the variances, and nearly 0 where both vanish;
        in the mutual information the column's own histogram has bins closed on the right, the joint
        one bins closed on the left with accumulated edges, and an empty bin counts 1e-5, so that it
        can exceed 1. Both are for two classes; for more they are averaged over each class against
        the rest, weighted by the share of the class.
    n_bins : int, optional
        Default: `default_bins(n)`, a tenth of n, at least 10 and at most 20.
    nominal : bool[d], optional
        Columns whose values are names, not amounts.

    Notes
    -----
    O(n d log n) time, O(block) memory beside the result.

    References
    ----------
    G. Roffo, S. Melzi, Ranking to learn: feature ranking and selection via eigenvector centrality,
    NFMCP 2016. L. A. Goodman, W. H. Kruskal, Measures of association for cross classifications,
    JASA 49, 1954 (tau).

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.relevance import column_relevance
    >>> figures = column_relevance(np.array([[0.0], [1], [4], [5]]), np.array([0, 0, 1, 1]))
    >>> figures.fisher, figures.span
    (array([16.]), array([5.]))
    """
    n, d = X.shape
    bins = n_bins or default_bins(n)
    sizes, weight = np.bincount(y), _entropy_weights(n)
    result = Relevance(np.empty(d), np.empty(d), np.empty(d), np.empty(d))
    for columns, block, classes in _blocks(X, y, bins):
        mean, scatter = _moments(block, classes)
        between, within = _scatter(sizes, mean, scatter)
        if estimator == "fslib":
            fisher, information = _fslib_figures(block, classes, sizes, mean, scatter, bins)
        else:
            fisher = _ratio(between, within)
            table = _count(_equal_width_bins(block, bins), classes, bins)
            information = _class_information(table, sizes, weight)
        result.fisher[columns] = fisher
        result.deviation[columns] = np.sqrt((between + within) / (n - 1))
        result.span[columns] = span = block.max(axis=1) - block.min(axis=1)
        result.mutual_information[columns] = np.where(span > 0, information, 0.0)
    for j in () if nominal is None else np.flatnonzero(nominal):
        table = _value_table(X[:, j], y)
        result.fisher[j] = _nominal_fisher(table, sizes)
        result.mutual_information[j] = _class_information(table[None], sizes, weight)[0]
        share = table.sum(axis=0) / n
        result.deviation[j] = np.sqrt((share * (1.0 - share)).sum() / 2 * (n / (n - 1)))
        result.span[j] = float(len(share) > 1)
    return result


def _blocks(X: NDArray[Any], y: Counts, bins: int) -> Iterator[tuple[slice, Floats, list[slice]]]:
    """Yield blocks of columns as rows of an array, the values of each class sorted and adjacent."""
    n, d = X.shape
    by_class = np.argsort(y, kind="stable")
    ends = np.cumsum(np.bincount(y))
    classes = [slice(end - size, end) for end, size in zip(ends, np.bincount(y), strict=True)]
    width = max(1, BLOCK_VALUES // max(n, bins * len(ends)))
    for start in range(0, d, width):
        columns = slice(start, min(start + width, d))
        values = np.ascontiguousarray(X.T[columns], dtype=np.float64)
        block = np.take(values, by_class, axis=1)
        for rows in classes:
            block[:, rows].sort(axis=1)
        yield columns, block, classes


def _moments(block: Floats, classes: list[slice]) -> tuple[Floats, Floats]:
    """Return means, less the column's minimum, and sums of squared deviations, per class."""
    low = block.min(axis=1)
    mean, scatter = np.empty((2, len(classes), len(block)))
    for c, rows in enumerate(classes):
        # differences to the smallest value: exactly 0 where a class is constant
        smallest = block[:, rows.start]
        above = block[:, rows] - smallest[:, None]
        mean_above = above.mean(axis=1)
        scatter[c] = np.square(above - mean_above[:, None]).sum(axis=1)
        mean[c] = (smallest - low) + mean_above
    return mean, scatter


def _weighted_sum(weights: Any, terms: Floats) -> Floats:
    # one row after the other: a reduction's order would depend on the width of the block
    total = np.zeros(terms.shape[1])
    for weight, term in zip(weights, terms, strict=True):
        total += weight * term
    return total


def _scatter(sizes: Counts, mean: Floats, scatter: Floats) -> tuple[Floats, Floats]:
    """Return the sums of squares between and within classes."""
    centre = _weighted_sum(sizes, mean) / sizes.sum()
    within = _weighted_sum(np.ones(len(sizes)), scatter)
    return _weighted_sum(sizes, (mean - centre) ** 2), within


def _ratio(numerator: Any, denominator: Any) -> Floats:
    """Divide; x / 0 is infinity, 0 / 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator > 0, numerator / denominator, 0.0)


def _equal_width_bins(block: Floats, bins: int) -> Counts:
    low = block.min(axis=1, keepdims=True)
    width = block.max(axis=1, keepdims=True) - low
    place = (block - low) * (bins / np.where(width > 0, width, 1.0))
    bin_of: Counts = np.minimum(place, bins - 1).astype(np.int64)
    return bin_of


def _count(bin_of: Counts, groups: list[slice], bins: int) -> Counts:
    """Return counts[m, group, bin]; a group is a run of rows."""
    m, k = len(bin_of), len(groups)
    cell = bin_of + np.arange(m)[:, None] * (k * bins)
    for group, rows in enumerate(groups):
        cell[:, rows] += group * bins
    return np.bincount(cell.ravel(), minlength=m * k * bins).reshape(m, k, bins)


def _value_table(column: NDArray[Any], y: Counts) -> Counts:
    """Return counts[class, value] of one nominal column."""
    values, code = np.unique(column, return_inverse=True)
    k = int(y.max()) + 1
    return np.bincount(y * len(values) + code, minlength=k * len(values)).reshape(k, len(values))


def _nominal_fisher(table: Counts, sizes: Counts) -> float:
    """Return the Fisher score of a nominal column from its counts[class, value]."""
    of_value = table.sum(axis=0)
    n, levels = int(of_value.sum()), len(of_value)
    if levels in (1, n):
        return 0.0
    left = n - (table**2 / of_value).sum()
    unexplained = left / (n - (sizes**2).sum() / n) * (n - 2) / (n - levels)
    return float(_ratio(1.0 - unexplained, unexplained))


def _entropy_weights(n: int) -> Floats:
    counts = np.arange(n + 1, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1.0))


def _entropy(table: Counts, weight: Floats) -> Floats:
    """Return the entropies of counts[m, ...], each m summing to n = len(weight) - 1."""
    n = len(weight) - 1
    entropy: Floats = np.log(n) - weight[table.reshape(len(table), -1)].sum(axis=1) / n
    return entropy


def _class_information(table: Counts, sizes: Counts, weight: Floats) -> Floats:
    """Return the normalised mutual information of counts[m, class, bin]."""
    own = _entropy(table.sum(axis=1), weight)
    of_class = _entropy(sizes[None], weight)
    return 2.0 * np.maximum(own + of_class - _entropy(table, weight), 0.0) / (own + of_class)


def _accumulated_bins(block: Floats, bins: int) -> Counts:
    """FSLib's joint bins: closed on the left, each edge the previous one plus the width."""
    edge = block.min(axis=1, keepdims=True)
    width = (block.max(axis=1, keepdims=True) - edge) / bins
    bin_of = np.zeros(block.shape, dtype=np.int64)
    for _ in range(bins - 1):
        edge = edge + width
        bin_of += block >= edge
    return bin_of


def _right_closed_bins(block: Floats, bins: int) -> Counts:
    """Bins of MATLAB's `hist`: closed on the right, rounded as its two branches round."""
    low = block.min(axis=1, keepdims=True)
    width = block.max(axis=1, keepdims=True) - low

    def centre(k: int) -> Any:
        return (width * (2 * k + 1) + 2 * bins * low) / (2 * bins)

    if bins > 10:
        first_cut = (centre(0) + centre(1)) / 2
        step = (centre(bins - 1) - centre(0)) / (bins - 1)
        place = np.ceil((block - first_cut) / np.where(step > 0, step, 1.0))
        bin_of: Counts = np.clip(place, 0, bins - 1).astype(np.int64)
        return bin_of
    bin_of = np.zeros(block.shape, dtype=np.int64)
    for k in range(bins - 1):
        bin_of += block > (centre(k) + centre(k + 1)) / 2
    return bin_of


def _fslib_figures(
    block: Floats, classes: list[slice], sizes: Counts, mean: Floats, scatter: Floats, bins: int
) -> tuple[Floats, Floats]:
    """Return FSLib's Fisher scores and mutual informations."""
    n = block.shape[1]
    share = _count(_right_closed_bins(block, bins), [slice(0, n)], bins)[:, 0] / n
    share[share == 0] = EMPTY_CELL
    own_entropy = -(share * np.log(share)).sum(axis=1)
    joint = _count(_accumulated_bins(block, bins), classes, bins)
    fisher, information = np.zeros(len(block)), np.zeros(len(block))
    for c, prior in [(1, 1.0)] if len(sizes) == 2 else enumerate(sizes / n):
        rest = np.arange(len(sizes)) != c
        n_rest = n - sizes[c]
        mean_rest = _weighted_sum(sizes[rest], mean[rest]) / n_rest
        scatter_rest = sum(_scatter(sizes[rest], mean[rest], scatter[rest]))
        variance = scatter[c] / max(sizes[c] - 1, 1) + scatter_rest / max(n_rest - 1, 1)
        variance[variance == 0] = ZERO_SPREAD
        fisher += prior * (mean[c] - mean_rest) ** 2 / variance
        mutual, class_entropy = np.zeros(len(block)), 0.0
        for counts, size in ((joint[:, c], sizes[c]), (joint[:, rest].sum(axis=1), n_rest)):
            cell = np.where(counts == 0, EMPTY_CELL, counts) / n
            mutual += (cell * np.log(cell / (share * (size / n)))).sum(axis=1)
            class_entropy -= size / n * np.log(size / n)
        information += prior * 2.0 * mutual / (own_entropy + class_entropy)
    return fisher, information
