"""Symmetric weighted edges from directed nearest neighbors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.graph.edge_weights import directed_weights, least_weight

Edges = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]

SYMMETRISE = ("union", "mutual")


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
    Time and memory grow with n k; at its peak 32 bytes per neighbor.
    """
    n = len(neighbors)
    listed = neighbors >= 0
    values = directed_weights(neighbors, distances, metric, weights)[listed]
    indptr = np.concatenate([[0], np.cumsum(listed.sum(axis=1))])
    directed = sparse.csr_array((values, neighbors[listed], indptr), shape=(n, n))
    del values, listed
    directed.sort_indices()
    backward = directed.T.tocsr()
    if weights == "fuzzy":
        both = directed * backward
        if how == "union":
            both = directed + backward - both
        both.data = np.maximum(both.data, least_weight(weights, metric))
    else:
        both = directed.maximum(backward) if how == "union" else directed.minimum(backward)
    both.sort_indices()
    return both.indptr.astype(np.int64), both.indices.astype(np.int32), both.data
