"""How much each column says about the classes: Fisher score, mutual information, deviation.

Columns are read in blocks, so that memory beyond the input is a few MB. The values of each class
are sorted before they are added up: a column's figures depend only on which values each class
holds, to the last bit, not on the order of the rows, the other columns or the input's layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from assay.selection.contract.inputs import Floats
from assay.selection.tables.blocks import dense_column, dense_rows
from assay.selection.tables.fslib_relevance import fslib_figures
from assay.selection.tables.moments import (
    Counts,
    Parts,
    Relevance,
    between_and_within,
    class_information,
    count_cells,
    entropy_weights,
    equal_width_bins,
    finish,
    moments,
    nominal_fisher,
    ratio,
    value_table,
)
from assay.selection.tables.sparse_relevance import sparse_parts

BLOCK_VALUES = 1 << 18  # 2 MiB


def default_bins(n: int) -> int:
    """Number of histogram bins for n rows: a tenth of n, at least 10 and at most 20."""
    return 20 if n > 200 else max(n // 10, 10)


def fisher_score(X: Any, y: Counts) -> Floats:
    """Fisher score of every column: variance between the classes over variance within them.

    F_j = sum_c n_c (mu_cj - mu_j)^2 / sum_c n_c s_cj^2, s_cj^2 with n_c in the denominator: the F
    statistic of a one-way analysis of variance less its factor (n - k) / (k - 1). 0 for constant
    columns, infinity where every class is constant and the classes differ. X and y as in
    `column_relevance`; O(n d log n) time, O(block) memory. See R. O. Duda, P. E. Hart, D. G. Stork,
    Pattern Classification, 2nd ed., 2001, section 3.8.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.relevance import fisher_score
    >>> fisher_score(np.array([[0.0, 1], [1, 2], [4, 1], [5, 2]]), np.array([0, 0, 1, 1]))
    array([16.,  0.])
    """
    sizes = np.bincount(y)
    score = np.empty(X.shape[1])
    if issparse(X):
        for columns, parts in sparse_parts(X, y, None):
            score[columns] = ratio(*between_and_within(sizes, parts.mean, parts.scatter))
        return score
    for columns, block, classes in class_blocks(X, y, 1):
        score[columns] = ratio(*between_and_within(sizes, *moments(block, classes)))
    return score


def normalized_mutual_information(
    X: Any,
    y: Counts,
    *,
    n_bins: int | None = None,
    nominal: NDArray[np.bool_] | None = None,
) -> Floats:
    """Normalized mutual information 2 I(x_j; y) / (H(x_j) + H(y)) of every column with the classes.

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
    >>> from assay.selection.tables.relevance import normalized_mutual_information
    >>> X = np.array([[3.0, 1], [3, 2], [8, 1], [8, 2]])
    >>> normalized_mutual_information(X, np.array([0, 0, 1, 1])).round(12)
    array([1., 0.])
    """
    bins = n_bins or default_bins(len(y))
    sizes, weight = np.bincount(y), entropy_weights(len(y))
    information = np.empty(X.shape[1])
    if issparse(X):
        for columns, parts in sparse_parts(X, y, bins):
            information[columns] = class_information(parts.table, sizes, weight)
    else:
        for columns, block, classes in class_blocks(X, y, bins):
            table = count_cells(equal_width_bins(block, bins), classes, bins)
            information[columns] = class_information(table, sizes, weight)
    for j in () if nominal is None else np.flatnonzero(nominal):
        table = value_table(dense_column(X, j), y)
        information[j] = class_information(table[None], sizes, weight)[0]
    return information


def column_relevance(
    X: Any,
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
    X : array or csc_array of shape (n, d)
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
    O(n d log n) time, O(block) memory beside the result. A sparse X takes O(z log z) time for z
    stored values, except under "fslib", which makes it dense by blocks of columns.

    References
    ----------
    G. Roffo, S. Melzi, Ranking to learn: feature ranking and selection via eigenvector centrality,
    NFMCP 2016. L. A. Goodman, W. H. Kruskal, Measures of association for cross classifications,
    JASA 49, 1954 (tau).

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.relevance import column_relevance
    >>> figures = column_relevance(np.array([[0.0], [1], [4], [5]]), np.array([0, 0, 1, 1]))
    >>> figures.fisher, figures.span
    (array([16.]), array([5.]))
    """
    n, d = X.shape
    bins = n_bins or default_bins(n)
    sizes, weight = np.bincount(y), entropy_weights(n)
    result = Relevance(np.empty(d), np.empty(d), np.empty(d), np.empty(d))
    if issparse(X) and estimator != "fslib":
        for columns, parts in sparse_parts(X, y, bins):
            for all_of, some in zip(result, finish(parts, sizes, weight), strict=True):
                all_of[columns] = some
    else:
        for columns, block, classes in class_blocks(X, y, bins):
            low, high = block.min(axis=1), block.max(axis=1)
            mean, scatter = moments(block, classes)
            table = np.empty((len(block), 0), dtype=np.int64)
            if estimator != "fslib":
                table = count_cells(equal_width_bins(block, bins), classes, bins)
            relevance = finish(Parts(mean, scatter, high - low, table), sizes, weight)
            if estimator == "fslib":
                fisher, information = fslib_figures(block, classes, sizes, mean, scatter, bins)
                relevance = relevance._replace(
                    fisher=fisher, mutual_information=np.where(relevance.span > 0, information, 0.0)
                )
            for all_of, some in zip(result, relevance, strict=True):
                all_of[columns] = some
    for j in () if nominal is None else np.flatnonzero(nominal):
        table = value_table(dense_column(X, j), y)
        result.fisher[j] = nominal_fisher(table, sizes)
        result.mutual_information[j] = class_information(table[None], sizes, weight)[0]
        share = table.sum(axis=0) / n
        result.deviation[j] = np.sqrt((share * (1.0 - share)).sum() / 2 * (n / (n - 1)))
        result.span[j] = float(len(share) > 1)
    return result


def class_blocks(X: Any, y: Counts, bins: int) -> Iterator[tuple[slice, Floats, list[slice]]]:
    """Yield blocks of columns as rows of an array, the values of each class sorted and adjacent."""
    n, d = X.shape
    by_class = np.argsort(y, kind="stable")
    ends = np.cumsum(np.bincount(y))
    classes = [slice(end - size, end) for end, size in zip(ends, np.bincount(y), strict=True)]
    width = max(1, BLOCK_VALUES // max(n, bins * len(ends)))
    for start in range(0, d, width):
        columns = slice(start, min(start + width, d))
        block = np.take(dense_rows(X, columns), by_class, axis=1)
        for rows in classes:
            block[:, rows].sort(axis=1)
        yield columns, block, classes
