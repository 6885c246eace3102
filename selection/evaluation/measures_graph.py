"""How well a selection represents the pool on the similarity graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Graph, Rows


class Representation:
    r"""Share of facility location that a selection reaches on a similarity graph.

    .. math:: \frac{f(S)}{f(V)}, \quad f(S) = \sum_i \max_{j \in S} s_{ij}

    with s the similarity on the edges of the symmetrised graph, 0 where there is no edge (and for
    negative similarities), and s_ii the larger of 1 and the row's best edge: the objective of
    `FacilityLocationSelector`. V is all rows.

    Parameters
    ----------
    graph : SimilarityGraph

    Notes
    -----
    Time O(edges of the chosen rows + n log n), memory O(n + edges). Terms are added in order of
    size, so the order of the rows does not matter.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], k=1)
    >>> round(Representation(graph)(np.array([0, 2])), 6)
    1.0
    """

    def __init__(self, graph: Graph) -> None:
        self._indptr = np.asarray(graph.indptr, dtype=np.int64)
        self._indices = np.asarray(graph.indices)
        self._weights = np.asarray(graph.weights)
        n = len(self._indptr) - 1
        self._own = np.ones(n, dtype=np.float32)
        filled = np.flatnonzero(np.diff(self._indptr))
        if len(filled):
            best = np.maximum.reduceat(self._weights, self._indptr[:-1][filled])
            self._own[filled] = np.maximum(1, best)
        self._all = _total(self._own)

    def __call__(self, rows: Rows) -> float:
        """Return f(rows) / f(V)."""
        best = np.zeros(len(self._own), dtype=np.float32)
        best[rows] = self._own[rows]
        starts = self._indptr[:-1][rows]
        degrees = self._indptr[1:][rows] - starts
        ends = np.cumsum(degrees)
        places = np.repeat(starts - (ends - degrees), degrees) + np.arange(degrees.sum())
        np.maximum.at(best, self._indices[places], self._weights[places])
        return _total(best) / self._all


def _total(values: NDArray[np.float32]) -> float:
    return float(np.sort(values).sum(dtype=np.float64))
