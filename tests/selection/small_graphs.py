"""Small similarity graphs by brute force, for tests of what is done on a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from assay.selection.contract.inputs import GraphView


class SmallGraph(GraphView):
    """A similarity graph written down by hand."""


def from_dense(similarity: np.ndarray, ids: Any = None) -> SmallGraph:
    """Return the graph with an edge wherever `similarity` is not 0 (it must be symmetric)."""
    dense = np.array(similarity, dtype=np.float32)
    np.fill_diagonal(dense, 0)
    n = len(dense)
    matrix = csr_matrix(dense)
    matrix.sort_indices()
    k = int(max(1, np.diff(matrix.indptr).max(initial=1)))
    neighbors = np.full((n, k), -1, dtype=np.int32)
    similarities = np.full((n, k), -np.inf, dtype=np.float32)
    for row in range(n):
        found = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        found = found[np.argsort(-dense[row, found], kind="stable")]
        neighbors[row, : len(found)] = found
        similarities[row, : len(found)] = dense[row, found]
    return SmallGraph(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
        neighbors,
        similarities,
        ids=ids,
    )


def knn(X: np.ndarray, k: int, ids: Any = None) -> SmallGraph:
    """Return the cosine kNN graph of X; equal similarities are decided by id."""
    X = np.asarray(X, dtype=np.float64)
    n = len(X)
    k_here = min(k, n - 1)
    rank = np.arange(n) if ids is None else np.argsort(np.argsort(np.asarray(ids)))
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    similarity = np.round((unit[:, None, :] * unit[None, :, :]).sum(axis=2), 5).astype(np.float32)
    neighbors = np.full((n, k), -1, dtype=np.int32)
    similarities = np.full((n, k), -np.inf, dtype=np.float32)
    edges = np.zeros((n, n), dtype=np.float32)
    for row in range(n):
        others = np.delete(np.arange(n), row)
        best = others[np.lexsort((rank[others], -similarity[row, others]))][:k_here]
        neighbors[row, :k_here] = best
        similarities[row, :k_here] = similarity[row, best]
        edges[row, best] = similarity[row, best]
    edges = np.where(np.abs(edges) >= np.abs(edges.T), edges, edges.T)
    matrix = csr_matrix(edges)
    matrix.sort_indices()
    return SmallGraph(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float32),
        neighbors,
        similarities,
        ids=ids,
    )
