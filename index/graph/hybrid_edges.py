"""Edges of a graph of texts: near by their vectors, or by the rare words that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.embedding.text import HashedTextEmbedder
from assay.index.graph.symmetric_edges import Edges
from assay.index.search.sparse_index import SparseIndex
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import NEIGHBORS, check_parameters

# how a graph says that its edges also join texts by their words
HYBRID = "hybrid"
# what such a graph can't be without
_FIXED = {"metric": "cosine", "symmetrise": "union", "weights": "similarity", "robust": None}


def vectors_of_texts(
    texts: Any, ids: Any, vectors: Any, kind: str, k: int, settings: Mapping[str, Any]
) -> Any:
    """Check what `SimilarityGraph.from_texts` was given, and return the vectors, or make some.

    Raises
    ------
    ConfigError, InputError
        A parameter does not fit the kind, or there is not one vector for each text.
    """
    check_parameters(kind=(kind, HYBRID, "dense"), k=(k, NEIGHBORS))
    for name, only in _FIXED.items():
        if kind == HYBRID and settings.get(name, only) != only:
            raise ConfigError(
                f"A hybrid graph has {name}={only!r}, not {settings[name]!r}: leave {name} out, or take "
                "kind='dense'."
            )
    if vectors is None:
        seed = settings.get("random_state", 0)
        return HashedTextEmbedder(random_state=seed).fit(texts, ids=ids).encode(texts)
    if len(texts) != len(vectors):
        raise InputError(
            f"There are {len(texts)} texts and {len(vectors)} vectors; give one vector for each text."
        )
    return vectors


def join_by_words(graph: Any, texts: Any, ids: Any, k: int, threads: int | None) -> None:
    """Join the texts of a graph of their vectors to `k` by their words, too."""
    cosines, positions = SparseIndex.from_texts(texts, ids=ids).neighbors(k, threads=threads)
    dense = graph.indptr, graph.indices, graph.weights
    graph.indptr, graph.indices, graph.weights = hybrid_edges(dense, cosines, positions)
    graph.report_ |= {
        "kind": HYBRID,
        "edges": len(graph.indices) // 2,
        "edges_by_vectors": len(dense[1]) // 2,
        "without_words": int((positions < 0).all(axis=1).sum()),
    }


def hybrid_edges(
    dense: Edges, cosines: NDArray[np.floating], positions: NDArray[np.integer]
) -> Edges:
    r"""Add to edges between near vectors those between texts that share rare words.

    .. math:: w_{ij} = \tfrac{1}{2} (d_{ij} + s_{ij})

    with d the weight of the edge between the vectors and s the cosine of the words, 0 where one does not
    list the pair: what both list weighs most.

    Parameters
    ----------
    dense : Edges
        Symmetric edges of the vectors.
    cosines : float[n, k]
    positions : int[n, k]
        The texts nearest to each by their words, without the text itself; -1 where there are fewer.

    Notes
    -----
    Time and memory O(edges).

    Examples
    --------
    >>> dense = np.array([0, 1, 2, 2]), np.array([1, 0]), np.array([0.5, 0.5])
    >>> edges = hybrid_edges(dense, np.array([[0.9], [0.0], [0.9]]), np.array([[2], [-1], [0]]))
    >>> edges[1].tolist(), edges[2].astype(float).round(2).tolist()
    ([1, 2, 0, 0], [0.25, 0.45, 0.25, 0.45])
    """
    n = len(positions)
    joined = (positions >= 0) & (cosines > 0)
    indptr = np.concatenate([[0], np.cumsum(joined.sum(axis=1))])
    directed = sparse.csr_array(
        (cosines[joined].astype(np.float64), positions[joined], indptr), shape=(n, n)
    )
    directed.sort_indices()
    by_words = directed.maximum(directed.T.tocsr())
    by_vectors = sparse.csr_array((dense[2].astype(np.float64), dense[1], dense[0]), shape=(n, n))
    both = sparse.csr_array((by_vectors + by_words) / 2)
    both.sort_indices()
    return (
        both.indptr.astype(np.int64),
        both.indices.astype(np.int32),
        both.data.astype(np.float32),
    )
