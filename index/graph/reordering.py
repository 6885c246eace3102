"""The edges of a graph with its nodes in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64
from numpy.typing import DTypeLike, NDArray

from assay.index.algorithms.blocks import EdgeBlocks, fits
from assay.index.vectors.mapped import scratch_room
from assay.storage.compiling import njit, prefetch
from assay.storage.disk.pages import mapping, release

# how many entries and rows ahead memory is asked for, and at which bytes of a row
_AHEAD, _ROWS_AHEAD, _STARTS_AHEAD, _LINES = 64, 4, 12, (0, 64)
# longer rows are sorted by NumPy's method, which takes n log n
_LONG = 64


def reordered_edges(
    indptr: NDArray[np.integer],
    indices: NDArray[np.integer],
    weights: NDArray[np.floating],
    order: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return the edges of the graph whose node i is node ``order[i]`` of this one.

    Parameters
    ----------
    indptr, indices, weights : arrays
        A graph in compressed sparse rows. Memory-mapped ones are read block by block, and new ones
        of more than 256 MiB then lie in nameless files.
    order : int[n]
        Every node once.

    Returns
    -------
    indptr int64[n + 1], indices and weights of the types given, columns ascending in each row

    Notes
    -----
    One pass over the edges. Memory beside the result: 28 bytes per node.

    Examples
    --------
    >>> path = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]), np.array([0.5, 0.5, 0.2, 0.2])
    >>> [part.tolist() for part in reordered_edges(*path, np.array([1, 0, 2]))]
    [[0, 2, 3, 4], [1, 2, 0, 0], [0.5, 0.2, 0.5, 0.2]]
    """
    n = len(order)
    rank = np.empty(n, indices.dtype)
    rank[order] = np.arange(n, dtype=indices.dtype)
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(np.diff(indptr)[order], out=starts[1:])
    in_files = mapping(indices) is not None and not fits(indptr, indices, weights)
    columns = _room(len(indices), indices.dtype, in_files)
    values = _room(len(indices), weights.dtype, in_files)
    for block in EdgeBlocks(indptr, indices, weights):
        _place(block.indptr, *block.arrays, block.first, rank, starts, columns, values)
        release(mapping(columns))
        release(mapping(values))
    return starts, columns, values


def _room(length: int, dtype: DTypeLike, in_files: bool) -> NDArray[Any]:
    if not in_files or not length:
        return np.empty(length, dtype)
    return np.asarray(scratch_room((1, length), dtype, None)[0])


@njit(cache=True, nogil=True)
def _place(indptr, indices, weights, first, rank, starts, columns, values):  # type: ignore[no-untyped-def]
    """Write the rows of a block where they belong, each sorted by its new columns."""
    rows, ranks, bounds = len(indptr) - 1, rank.ctypes.data, starts.ctypes.data
    for i in range(rows):
        low, high = indptr[i] - indptr[0], indptr[i + 1] - indptr[0]
        start = starts[rank[first + i]]
        if i + _STARTS_AHEAD < rows:
            later = int64(rank[first + i + _STARTS_AHEAD])
            prefetch(bounds + later * starts.itemsize)  # type: ignore[call-arg]
        if i + _ROWS_AHEAD < rows:
            later = starts[rank[first + i + _ROWS_AHEAD]]
            for line in _LINES:
                prefetch(columns.ctypes.data + later * columns.itemsize + line)  # type: ignore[call-arg]
                prefetch(values.ctypes.data + later * values.itemsize + line)
        if high - low > _LONG:
            order = np.argsort(rank[indices[low:high]])
            for at in range(high - low):
                columns[start + at] = rank[indices[low + order[at]]]
                values[start + at] = weights[low + order[at]]
            continue
        for e in range(low, high):
            if e + _AHEAD < len(indices):
                prefetch(ranks + int64(indices[e + _AHEAD]) * rank.itemsize)  # type: ignore[call-arg]
            column, value = rank[indices[e]], weights[e]
            at = start + e - low
            while at > start and columns[at - 1] > column:
                columns[at] = columns[at - 1]
                values[at] = values[at - 1]
                at -= 1
            columns[at] = column
            values[at] = value
