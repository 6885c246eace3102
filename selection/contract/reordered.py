"""A similarity graph with its rows in canonical order."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.graph.reordering import reordered_edges


class ReorderedGraph:
    """A similarity graph whose row i is row ``order[i]`` of another; it holds no ids and no vectors.

    Edges, neighbors and similarities are put in order when they are first asked for: methods that
    go by edges alone pay for no lists, and those that go by lists for no edges. Edges that lie in
    mapped files are put in order in files.

    Parameters
    ----------
    graph : Graph of `assay.selection.contract.inputs`
    order : int64[n]
    """

    ids = None
    sample_ids = None
    vectors = None

    def __init__(self, graph: Any, order: NDArray[np.int64]) -> None:
        self._graph, self._order = graph, order
        self.metric, self.robust = graph.metric, graph.robust

    @property
    def indptr(self) -> NDArray[Any]:
        return self._edges[0]

    @property
    def indices(self) -> NDArray[Any]:
        return self._edges[1]

    @property
    def weights(self) -> NDArray[Any]:
        return self._edges[2]

    @cached_property
    def neighbors(self) -> NDArray[Any]:
        lists: NDArray[Any] = self._rank[np.asarray(self._graph.neighbors)[self._order]]
        return lists

    @cached_property
    def similarities(self) -> NDArray[Any]:
        taken: NDArray[Any] = self._graph.similarities[self._order]
        return taken

    def lists_of(self, rows: slice | NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the neighbors and similarities of some rows."""
        neighbors, similarities = self._graph.lists_of(self._order[rows])
        return self._rank[neighbors], similarities

    def distances(self) -> NDArray[np.float32]:
        """Return float32[n, k]: how unlike each of `neighbors` is."""
        return np.asarray(1 - self.similarities, dtype=np.float32)

    @cached_property
    def _rank(self) -> NDArray[Any]:
        """The row here of each row of the other graph; the last place is that of none, -1."""
        n = len(self._order)
        rank = np.empty(n + 1, self._graph.indices.dtype)
        rank[self._order] = np.arange(n)
        rank[n] = -1
        return rank

    @cached_property
    def _edges(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        graph = self._graph
        return reordered_edges(graph.indptr, graph.indices, graph.weights, self._order)
