"""Moments and counts of sparse columns by class, from the stored values alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from assay.selection.contract.inputs import Floats
from assay.selection.tables.moments import Counts, Parts

BLOCK_VALUES = 1 << 19


def sparse_parts(X: Any, y: Counts, bins: int | None) -> Iterator[tuple[slice, Parts]]:
    """Yield blocks of columns with their parts; without `bins` their tables are empty.

    Stored values are sorted within column and class, and the zeros of a class enter each sum once,
    times their number: a column's parts depend only on which values each class holds.

    Parameters
    ----------
    X : csc_array of shape (n, d)
        Without duplicates and stored zeros (`by_columns`).
    y : int64[n]
        Class of each row, each present.
    bins : int, optional
        Bins of equal width.

    Notes
    -----
    O(z log z + d k bins) time for z stored values and k classes; O(block) memory.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csc_array
    >>> from assay.selection.tables.sparse_relevance import sparse_parts
    >>> X = csc_array(np.array([[0.0], [2.0], [0.0], [0.0]]))
    >>> ((_, parts),) = sparse_parts(X, np.array([0, 0, 1, 1]), 2)
    >>> parts.scatter.ravel(), parts.table.tolist()
    (array([2., 0.]), [[[1, 1], [2, 0]]])
    """
    d, sizes = X.shape[1], np.bincount(y)
    k = len(sizes)
    start = 0
    while start < d:
        within = np.searchsorted(X.indptr, X.indptr[start] + BLOCK_VALUES, side="right") - 1
        most = max(1, BLOCK_VALUES // (k * (bins or 1)))
        stop = min(d, max(int(within), start + 1), start + most)
        yield slice(start, stop), _parts(X, y, sizes, start, stop, bins)
        start = stop


def sorted_by_class(X: Any, y: Counts) -> Any:
    """Return X with the rows in order of class and the values of each class in ascending order.

    Values move within their column and class only; zeros come after the stored values.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csc_array
    >>> from assay.selection.tables.sparse_relevance import sorted_by_class
    >>> sorted_by_class(csc_array([[3.0], [0], [1], [2]]), np.array([1, 0, 1, 1])).toarray().ravel()
    array([0., 1., 2., 3.])
    """
    sizes = np.bincount(y)
    k, d = len(sizes), X.shape[1]
    group = np.repeat(np.arange(d), np.diff(X.indptr)) * k + y[X.indices]
    order = np.lexsort((X.data, group))
    group = group[order]
    count = np.bincount(group, minlength=d * k)
    place = np.arange(len(group)) - (np.cumsum(count) - count)[group]
    row = (np.cumsum(sizes) - sizes)[group % k] + place
    return csc_array((X.data[order], row, X.indptr), shape=X.shape)


def _parts(X: Any, y: Counts, sizes: Counts, start: int, stop: int, bins: int | None) -> Parts:
    m, k = stop - start, len(sizes)
    stored = slice(X.indptr[start], X.indptr[stop])
    values = X.data[stored].astype(np.float64)
    group = np.repeat(np.arange(m), np.diff(X.indptr[start : stop + 1])) * k + y[X.indices[stored]]
    order = np.lexsort((values, group))
    values, group = values[order], group[order]
    count = np.bincount(group, minlength=m * k)
    zeros = np.tile(sizes, m) - count
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    filled = count > 0
    smallest, largest = np.full(m * k, np.inf), np.full(m * k, -np.inf)
    smallest[filled] = values[first[filled]]
    largest[filled] = values[(first + count - 1)[filled]]
    smallest = np.where(zeros > 0, np.minimum(smallest, 0.0), smallest)
    largest = np.where(zeros > 0, np.maximum(largest, 0.0), largest)

    def total(of_values: Floats, of_zero: Floats) -> Floats:
        sums: Floats = np.bincount(group, of_values, minlength=m * k) + zeros * of_zero
        return sums

    # differences to the smallest value: exactly 0 where a class is constant
    above = total(values - smallest[group], -smallest) / np.tile(sizes, m)
    scatter = total(
        np.square(values - smallest[group] - above[group]), np.square(-smallest - above)
    )
    low = smallest.reshape(m, k).min(axis=1)
    span = largest.reshape(m, k).max(axis=1) - low
    mean = (smallest.reshape(m, k) - low[:, None] + above.reshape(m, k)).T
    table = np.zeros((m, 0, 0), dtype=np.int64)
    if bins is not None:
        scale = bins / np.where(span > 0, span, 1.0)
        column = group // k
        place = np.minimum((values - low[column]) * scale[column], bins - 1).astype(np.int64)
        cells = np.bincount(group * bins + place, minlength=m * k * bins)
        of_zero = np.clip((0.0 - low) * scale, 0, bins - 1).astype(np.int64)
        cells[np.arange(m * k) * bins + np.repeat(of_zero, k)] += zeros
        table = cells.reshape(m, k, bins)
    return Parts(np.ascontiguousarray(mean), scatter.reshape(m, k).T.copy(), span, table)
