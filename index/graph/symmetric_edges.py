"""The edges of a graph from lists of nearest neighbors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.graph.edge_weights import directed_weights, least_weight
from assay.index.vectors.mapped import is_large, room_beside
from assay.storage.compiling import njit
from assay.storage.disk.pages import mapping, release

Edges = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

SYMMETRISE = ("union", "mutual")
_CHUNK = 65_536
# rows whose edges are made at a time, of lists in files and in memory, and how many blocks at most
_BLOCK, _IN_MEMORY = 131_072, 8
_MOST_BLOCKS = 16
# longer lists are sorted by NumPy's method, which takes k log k
_LONG = 64


def symmetric_edges(
    neighbors: NDArray[np.int32],
    distances: NDArray[np.float32],
    metric: str,
    how: str = "union",
    weights: str = "similarity",
) -> Edges:
    """Join rows one of which ('union'), or both of which ('mutual'), list the other.

    Parameters
    ----------
    neighbors : int32[n, k]
        Directed neighbors without the row itself, -1 where there are fewer.
    distances : float32[n, k]
        Their distances.
    metric : {'cosine', 'l2', 'ip'}
    how : {'union', 'mutual'}
    weights : {'similarity', 'self_tuning', 'fuzzy'}
        How distances turn into weights; see `directed_weights`. Of the fuzzy weights a and b of the
        two directions, a + b - a b is taken ('union') or a b ('mutual'); the others are equal.

    Returns
    -------
    indptr int64[n + 1], indices int32[entries] ascending in each row, weights float32[entries]

    Notes
    -----
    A block of rows at a time, each with those that list one of them, so that what is written at random
    places stays in the processor's caches; O(n k (k + blocks)). Beside the edges 24 bytes per neighbor of
    a block. Lists in large mapped files make edges in nameless files.
    """
    n = len(neighbors)
    in_files = is_large(neighbors)
    size = max(_BLOCK * (1 if in_files else _IN_MEMORY), -(-n // _MOST_BLOCKS))
    values = distances
    if weights != "similarity":
        values = directed_weights(neighbors, distances, metric, weights)
    lists = _Lists(neighbors, values, metric, weights)
    listed = np.zeros(n, np.int64)
    for _, others, _ in lists.chunks(slice(0, n)):
        _count(others, listed)
    indptr = np.zeros(n + 1, np.int64)
    room = None
    if in_files:
        most = 2 * neighbors.size
        room = (
            room_beside(neighbors, (most,), np.int32),
            room_beside(neighbors, (most,), np.float32),
        )
    parts: list[Any] = []
    end = 0
    for begin in range(0, n, size):
        block = slice(begin, min(n, begin + size))
        counts, *found = lists.edges(block, listed[block], how)
        start, end = end, end + int(counts.sum())
        indptr[begin + 1 : block.stop + 1] = start + np.cumsum(counts)
        if room is None:
            parts.append(found)
            continue
        for whole, part in zip(room, found, strict=True):
            whole[start:end] = part
            release(mapping(whole))
    if room is not None:
        return indptr, room[0][:end], room[1][:end]
    if len(parts) == 1:
        return indptr, *parts[0]
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    indices, data = (np.concatenate([nothing[i], *(part[i] for part in parts)]) for i in (0, 1))
    return indptr, indices, data


class _Lists(NamedTuple):
    """Neighbors and what they weigh, or their distances, which tell the similarities."""

    neighbors: NDArray[np.int32]
    values: NDArray[np.float32]
    metric: str
    kind: str

    def edges(
        self, block: slice, listed: NDArray[np.int64], how: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Return how many edges each row of a block has, their ends and what they weigh.

        `listed` counts how often each of its rows is listed.
        """
        width = block.stop - block.start
        starts = np.concatenate([[0], np.cumsum(listed)])
        listers = np.empty(starts[-1], np.int32)
        values = np.empty(starts[-1], np.float32)
        ends = starts[:-1].copy()
        for first, neighbors, own in self.chunks(slice(0, len(self.neighbors))):
            _enter(neighbors, own, first, block.start, ends, listers, values)
        weights = self._weights(listers, values)
        most = starts[-1] + width * self.neighbors.shape[1]
        indices, data = np.empty(most, np.int32), np.empty(most, np.float32)
        counts = np.empty(width, np.int64)
        end = 0
        least = least_weight(self.kind, self.metric)
        for first, neighbors, own in self.chunks(block):
            at = first - block.start
            part = slice(at, at + len(neighbors))
            end = _join(
                neighbors, self._weights(neighbors, own), starts[at : part.stop + 1], listers,
                weights, how == "union", self.kind == "fuzzy", least, counts[part], indices, data,
                end,
            )  # fmt: skip
        for array in (indices, data):
            array.resize(end, refcheck=False)
        return counts, indices, data

    def chunks(self, rows: slice) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.float32]]]:
        """Yield the first of some rows, their neighbors and values, a few rows at a time."""
        for begin in range(rows.start, rows.stop, _CHUNK):
            part = slice(begin, min(rows.stop, begin + _CHUNK))
            yield begin, np.asarray(self.neighbors[part]), np.asarray(self.values[part])
            for array in (self.neighbors, self.values):
                release(mapping(array))

    def _weights(
        self, neighbors: NDArray[np.int32], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if self.kind != "similarity":
            return values
        return directed_weights(neighbors, values, self.metric, self.kind)


@njit(cache=True, nogil=True)
def _count(neighbors, counts):  # type: ignore[no-untyped-def]
    """Count how often each row is listed; -1 is none."""
    for row in range(neighbors.shape[0]):
        for t in range(neighbors.shape[1]):
            if neighbors[row, t] >= 0:
                counts[neighbors[row, t]] += 1


@njit(cache=True, nogil=True)
def _enter(neighbors, weights, first, start, ends, listers, values):  # type: ignore[no-untyped-def]
    """Write who lists the rows from `start` on, ascending, behind what is there of each."""
    for row in range(neighbors.shape[0]):
        for t in range(neighbors.shape[1]):
            place = neighbors[row, t] - start
            if 0 <= place < len(ends):
                at = ends[place]
                listers[at] = first + row
                values[at] = weights[row, t]
                ends[place] = at + 1


@njit(cache=True, nogil=True)
def _join(  # type: ignore[no-untyped-def]
    neighbors, weights, starts, listers, values, union, fuzzy, least, counts, indices, data, end
):
    """Write the edges of some rows, ascending, from `end` on; return where they end.

    An edge that weighs nothing, as a product that is too small, is left out.
    """
    zero = np.float32(0.0)
    ends = np.empty(neighbors.shape[1], np.int32)
    own = np.empty(neighbors.shape[1], np.float32)
    for row in range(neighbors.shape[0]):
        size = 0
        if neighbors.shape[1] > _LONG:
            for t in np.argsort(neighbors[row]):
                if neighbors[row, t] >= 0:
                    ends[size], own[size] = neighbors[row, t], weights[row, t]
                    size += 1
        else:
            for t in range(neighbors.shape[1]):
                other = neighbors[row, t]
                if other < 0:
                    continue
                at = size
                while at > 0 and ends[at - 1] > other:
                    ends[at], own[at] = ends[at - 1], own[at - 1]
                    at -= 1
                ends[at], own[at] = other, weights[row, t]
                size += 1
        begin = end
        i, j = 0, starts[row]
        while i < size or j < starts[row + 1]:
            there, back = zero, zero
            if j == starts[row + 1] or (i < size and ends[i] < listers[j]):
                other, there = ends[i], own[i]
                i += 1
            elif i == size or listers[j] < ends[i]:
                other, back = listers[j], values[j]
                j += 1
            else:
                other, there, back = ends[i], own[i], values[j]
                i += 1
                j += 1
            if fuzzy:
                both = there * back
                weight = there + back - both if union else both
            else:
                weight = max(there, back) if union else min(there, back)
            if weight != zero:
                indices[end] = other
                data[end] = max(weight, least) if fuzzy else weight
                end += 1
        counts[row] = end - begin
    return end
