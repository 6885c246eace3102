"""Similarity of rows by what else they are similar to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assay.index.graph.edge_weights import similarities_of
from assay.index.knn.nearest_neighbors import NearestNeighbors
from assay.index.threads import thread_count
from assay.index.vectors.exact import run_threads
from assay.storage.compiling import njit

CANDIDATES = 50
_CHUNK = 8_192


def context_neighbors(
    neighbors: NDArray[np.int32], similarities: NDArray[np.float32], k: int, threads: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    r"""Choose for each row the k candidates with the greatest cosine times context.

    Row i of W holds the similarities of i to its candidates, negative ones as 0, and 1 for itself.
    Two rows share a context as far as they are similar to the same rows:

    .. math:: s_{ij} = W_{ij} \, \frac{W_i \cdot W_j}{\lVert W_i \rVert \, \lVert W_j \rVert}

    Where noise brings rows of different kinds near to each other, their other neighbors differ, so
    that such pairs fall behind.

    Parameters
    ----------
    neighbors : int32[n, c]
        Candidates of each row, nearest first, without the row itself; -1 where there are fewer.
    similarities : float32[n, c]
        Their cosines.
    k : int
        How many to keep; at most c.
    threads : int
        Does not change the result.

    Returns
    -------
    neighbors int32[n, k], scores float32[n, k]
        Greatest score first, equal ones as they were given; -1 and -inf where there are fewer.

    Notes
    -----
    Costs n c**2 look-ups; memory is 4 n bytes per thread and 8 c per row.

    References
    ----------
    Wang et al., "Robust Graph Structure Learning via Multiple Statistical Tests", NeurIPS 2022:
    the attention of that paper without its trained weights.

    Examples
    --------
    Row 0 is as similar to row 1 as to row 2, but shares a neighbor with row 1 only.

    >>> neighbors = np.array([[1, 2, 3], [0, 3, -1], [0, -1, -1], [0, 1, -1]], np.int32)
    >>> similarities = np.array([[.9, .9, .5], [.9, .5, 0], [.9, 0, 0], [.5, .5, 0]], np.float32)
    >>> context_neighbors(neighbors, similarities, 1)[0][0].tolist()
    [1]
    """
    n = len(neighbors)
    listed = neighbors >= 0
    weights = np.where(listed, np.maximum(similarities, np.float32(0)), np.float32(0))
    lengths = np.sqrt(1.0 + np.einsum("ij,ij->i", weights, weights, dtype=np.float64))
    scores = np.empty_like(weights)

    def work(begin: int) -> None:
        _context(neighbors, weights, lengths, begin, min(begin + _CHUNK, n), scores)

    run_threads(work, range(0, n, _CHUNK), threads)
    scores[~listed] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(neighbors, best, axis=1), np.take_along_axis(scores, best, axis=1)


def with_context(nearest: NearestNeighbors, k: int, threads: int | None) -> NearestNeighbors:
    """Return the k neighbors of the greatest score, at a distance of 1 less the score."""
    similarities = similarities_of(nearest.distances, "cosine")
    usable = thread_count() if threads is None else threads
    neighbors, scores = context_neighbors(nearest.neighbors, similarities, k, usable)
    report = nearest.report | {"k": k}
    return replace(nearest, neighbors=neighbors, distances=1 - scores, report=report)


@njit(cache=True, nogil=True)
def _context(neighbors, weights, lengths, begin, end, scores):  # type: ignore[no-untyped-def]
    candidates = neighbors.shape[1]
    row = np.zeros(len(neighbors), np.float32)
    for i in range(begin, end):
        row[i] = 1.0
        for t in range(candidates):
            if neighbors[i, t] >= 0:
                row[neighbors[i, t]] = weights[i, t]
        for t in range(candidates):
            j = neighbors[i, t]
            if j < 0:
                continue
            total = np.float64(row[j])
            for u in range(candidates):
                if neighbors[j, u] >= 0:
                    total += np.float64(weights[j, u]) * np.float64(row[neighbors[j, u]])
            scores[i, t] = weights[i, t] * total / (lengths[i] * lengths[j])
        row[i] = 0.0
        for t in range(candidates):
            if neighbors[i, t] >= 0:
                row[neighbors[i, t]] = 0.0
