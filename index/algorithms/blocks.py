"""A graph's rows block by block, so that its edges may lie in files that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.storage.disk.pages import mapping, release

# 2 MiB of columns and weights, which stay in a core's cache while they are used
ENTRIES = 262_144
# bytes of a graph that what passes over it many times, or in no order, may take into memory
HELD = 2**28


def fits(*arrays: NDArray[Any]) -> bool:
    """Return whether arrays are small enough to be held in memory: 256 MiB together."""
    return sum(array.nbytes for array in arrays) <= HELD


def held(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return arrays in memory where they fit, else as they are; those in memory are not copied."""
    if not fits(*arrays):
        return arrays
    copies = tuple(a if mapping(a) is None else np.array(a) for a in arrays)
    for array in arrays:
        release(mapping(array))
    return copies


class Block(NamedTuple):
    """Some rows of a graph in compressed sparse rows.

    Attributes
    ----------
    first : int
        The graph's row that is row 0 of the block.
    indptr : int[rows + 1]
        As in the whole graph: subtract ``indptr[0]``.
    arrays : tuple of arrays
        The entries of the rows in each of the graph's arrays.
    """

    first: int
    indptr: NDArray[Any]
    arrays: tuple[NDArray[Any], ...]


class EdgeBlocks:
    """The rows of a graph, in blocks that are in memory one at a time.

    Parameters
    ----------
    indptr : int[n + 1]
    *arrays : arrays of length ``indptr[-1]``
        Columns, and where wanted weights, of the entries. Those that are memory-mapped are copied
        block by block into one place, and their pages let go; arrays in memory are never copied,
        and make one block unless `entries` is given.
    entries : int, optional
        Entries of a block, at least one row.

    Examples
    --------
    >>> blocks = EdgeBlocks(np.array([0, 2, 3, 4]), np.array([1, 2, 0, 0]), entries=2)
    >>> [(block.first, block.arrays[0].tolist()) for block in blocks]
    [(0, [1, 2]), (1, [0, 0])]
    """

    def __init__(
        self, indptr: NDArray[Any], *arrays: NDArray[Any], entries: int | None = None
    ) -> None:
        self._indptr, self._arrays = indptr, arrays
        self._mappings = [found for a in (indptr, *arrays) if (found := mapping(a)) is not None]
        if entries is None:
            entries = ENTRIES if self._mappings else len(arrays[0])
        starts = [0]
        while starts[-1] < len(indptr) - 1:
            here = starts[-1]
            last = int(np.searchsorted(indptr, indptr[here] + entries, side="right")) - 1
            starts.append(min(max(here + 1, last), len(indptr) - 1))
        self.starts = np.array(starts)
        """The first row of each block, and the number of all rows."""
        most = max((int(indptr[b] - indptr[a]) for a, b in pairwise(starts)), default=0)
        self._room = [None if mapping(a) is None else np.empty(most, a.dtype) for a in arrays]

    def __iter__(self) -> Iterator[Block]:
        """Yield every block in order of its rows; it is valid until the next one."""
        for place in range(len(self.starts) - 1):
            yield self[place]

    def __getitem__(self, place: int) -> Block:
        """Return a block, valid until the next one."""
        first, end = int(self.starts[place]), int(self.starts[place + 1])
        indptr = self._indptr[first : end + 1]
        if mapping(indptr) is not None:
            indptr = np.array(indptr)
        low, high = int(indptr[0]), int(indptr[-1])
        arrays = []
        for array, room in zip(self._arrays, self._room, strict=True):
            part = array[low:high]
            if room is not None:
                room[: high - low] = part
                part = room[: high - low]
            arrays.append(part)
        for mapped in self._mappings:
            release(mapped)
        return Block(first, indptr, tuple(arrays))


def row_parts(table: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of a table of neighbors, part by part where it is memory-mapped, else at once.

    Examples
    --------
    >>> [part.tolist() for part in row_parts(np.array([[1], [0]]))]
    [[[1], [0]]]
    """
    mapped = mapping(table)
    if mapped is None:
        yield np.asarray(table)
        return
    size = max(1, ENTRIES // max(1, table.shape[1]))
    for begin in range(0, len(table), size):
        part = np.array(table[begin : begin + size])
        release(mapped)
        yield part
