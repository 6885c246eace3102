"""Symmetric weighted edges from directed nearest neighbors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.graph.edge_weights import directed_weights, least_weight
from assay.index.vectors.mapped import is_large, room_beside
from assay.storage.disk.pages import mapping, release

Edges = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

SYMMETRISE = ("union", "mutual")
_CHUNK = 65_536
# rows whose edges are made at a time, so many blocks at most
_BLOCK = 131_072
_MOST_BLOCKS = 16


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
    A block of rows at a time, each with those that list one of them: beside the edges 32 bytes per
    neighbor of a block. Lists in large mapped files make edges in nameless files.
    """
    n = len(neighbors)
    size = max(_BLOCK, -(-n // _MOST_BLOCKS))
    by_pair = None
    if weights != "similarity":
        by_pair = directed_weights(neighbors, distances, metric, weights)
    indptr = np.zeros(n + 1, np.int64)
    room = None
    if is_large(neighbors):
        most = 2 * neighbors.size
        room = (
            room_beside(neighbors, (most,), np.int32),
            room_beside(neighbors, (most,), np.float32),
        )
    parts: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
    end = 0
    for begin in range(0, n, size):
        block = slice(begin, min(n, begin + size))
        listing = _Listing(neighbors, distances, metric, weights, by_pair)
        both = _joined(listing.of(block), listing.by_others(block), metric, how, weights)
        found = both.indices.astype(np.int32), both.data
        start, end = end, end + len(both.data)
        indptr[begin + 1 : block.stop + 1] = start + both.indptr[1:]
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


class _Listing(NamedTuple):
    """Neighbors and what they weigh: from distances, or `by_pair` where that takes the whole."""

    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    metric: str
    kind: str
    by_pair: NDArray[np.float32] | None

    def of(self, block: slice) -> sparse.csr_array:
        """Return what the rows of a block list."""
        rows = self.neighbors[block]
        listed = rows >= 0
        indptr = np.concatenate([[0], np.cumsum(listed.sum(axis=1))])
        values = self._weigh(block, listed)
        shape = (len(rows), len(self.neighbors))
        directed = sparse.csr_array((values, rows[listed], indptr), shape=shape)
        directed.sort_indices()
        self._release()
        return directed

    def by_others(self, block: slice) -> sparse.csr_array:
        """Return who lists the rows of a block."""
        n, width = len(self.neighbors), block.stop - block.start
        found = []
        for begin in range(0, n, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            rows = self.neighbors[part]
            # negative numbers become large ones
            which = (rows - np.int32(block.start)).view(np.uint32) < width
            lister = (begin + np.nonzero(which)[0]).astype(np.int32)
            found.append((rows[which] - np.int32(block.start), lister, self._weigh(part, which)))
            self._release()
        listed, lister, values = (np.concatenate([part[i] for part in found]) for i in range(3))
        return sparse.coo_array((values, (listed, lister)), shape=(width, n)).tocsr()

    def _weigh(self, rows: slice, which: NDArray[np.bool_]) -> NDArray[np.float32]:
        if self.by_pair is not None:
            return np.asarray(self.by_pair[rows][which])
        near, far = self.neighbors[rows][which], self.distances[rows][which]
        return directed_weights(near, far, self.metric, self.kind)

    def _release(self) -> None:
        for array in (self.neighbors, self.distances):
            release(mapping(array))


def _joined(
    directed: sparse.csr_array, backward: sparse.csr_array, metric: str, how: str, weights: str
) -> sparse.csr_array:
    """Return the edges of some rows, from what they list and who lists them."""
    if weights == "fuzzy":
        both = directed * backward
        if how == "union":
            both = directed + backward - both
        both.data = np.maximum(both.data, least_weight(weights, metric))
    else:
        both = directed.maximum(backward) if how == "union" else directed.minimum(backward)
    both.sort_indices()
    return both
