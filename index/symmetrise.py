"""Symmetric weighted edges from directed nearest neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.storage.errors import ConfigError

Edges = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

SYMMETRISE = ("union", "mutual")
# least weight of an edge, so that edges of dissimilar rows stay in the graph
_LEAST = {"cosine": 1e-6, "ip": 1e-6, "l2": float(np.finfo(np.float32).tiny)}


def check_symmetrise(how: str) -> None:
    """Raise unless `how` is one of `SYMMETRISE`."""
    if how not in SYMMETRISE:
        raise ConfigError(f"symmetrise must be one of {', '.join(SYMMETRISE)}, not {how!r}.")


def similarities_of(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return 1 - d (cosine), 1 / (1 + d) (l2) or -d (ip); infinite distances become -inf."""
    one = np.float32(1.0)
    if metric == "l2":
        return np.where(np.isinf(distances), np.float32(-np.inf), one / (one + distances))
    return one - distances if metric == "cosine" else -distances


def symmetric_edges(
    neighbors: NDArray[np.int32], distances: NDArray[np.float32], metric: str, how: str = "union"
) -> Edges:
    """Join rows one of which ('union'), or both of which ('mutual'), list the other.

    Parameters
    ----------
    neighbors : int32[n, k]
        Directed neighbours without the row itself, -1 where there are fewer.
    distances : float32[n, k]
        Their distances.
    metric : {'cosine', 'l2', 'ip'}
        How distances turn into weights: as similarities, with a least weight above 0.
    how : {'union', 'mutual'}

    Returns
    -------
    indptr int64[n + 1], indices int32[entries] ascending in each row, weights float32[entries]

    Notes
    -----
    Time and memory grow with n k; at its peak 32 bytes per neighbour.
    """
    n = len(neighbors)
    there = neighbors >= 0
    weights = np.maximum(similarities_of(distances[there], metric), np.float32(_LEAST[metric]))
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    directed = sparse.csr_array((weights, neighbors[there], indptr), shape=(n, n))
    directed.sort_indices()
    backward = directed.T.tocsr()
    both = directed.maximum(backward) if how == "union" else directed.minimum(backward)
    both.sort_indices()
    return both.indptr.astype(np.int64), both.indices.astype(np.int32), both.data
