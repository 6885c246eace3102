"""What can be computed on a similarity graph, as its methods."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index.algorithms import centrality
from assay.index.vectors.checks import id_order
from assay.storage.errors import IdError

if TYPE_CHECKING:
    from assay.index.algorithms.communities import Communities
    from assay.index.algorithms.eigenvector import EigenvectorCentrality

_T = TypeVar("_T", bound=np.generic)


class GraphAlgorithms:
    """Methods of `SimilarityGraph`; each says where its formula, cost and source are.

    Whatever depends on the order of nodes runs on the nodes in order of id, so that the order of
    the rows can't change a bit of the result.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    neighbors: NDArray[np.int32]
    _ids: pl.Series | None

    def degree(self) -> NDArray[np.int64]:
        """Return the number of edges of every node."""
        return self.indptr[1:] - self.indptr[:-1]

    def hubness(self) -> NDArray[np.int64]:
        """Return on how many rows' lists of neighbours each row stands; see `centrality.hubness`."""
        return centrality.hubness(self.neighbors)

    def connected_components(self) -> NDArray[np.int32]:
        """Label the components in order of their first node; see `centrality`."""
        return centrality.connected_components(self.indptr, self.indices)

    def core_number(self) -> NDArray[np.int32]:
        """Return every node's core number; see `centrality.core_number`."""
        return centrality.core_number(self.indptr, self.indices)

    def triangles(self) -> NDArray[np.int64]:
        """Return in how many triangles every node lies; see `clustering.triangles`."""
        from assay.index.algorithms import clustering

        return clustering.triangles(self.indptr, self.indices)

    def clustering(self) -> NDArray[np.float64]:
        """Return every node's clustering coefficient; see `clustering.clustering`."""
        from assay.index.algorithms import clustering

        return clustering.clustering(self.indptr, self.indices)

    def pagerank(
        self, alpha: float = 0.85, tol: float = 1e-8, personalization: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return every node's PageRank over the weights; see `centrality.pagerank`.

        Sums run in order of id, so that the order of the rows can't change a bit.
        """
        order, graph = self._in_order_of_id()
        start = None if personalization is None else np.asarray(personalization)[order]
        ranks = centrality.pagerank(
            graph.indptr,
            graph.indices,
            graph.data,
            alpha=alpha,
            tol=tol,
            personalization=start,
            symmetric=True,
        )
        return _put_back(ranks, order)

    def personalized_pagerank(
        self, ids: ArrayLike, alpha: float = 0.85, tol: float = 1e-8
    ) -> NDArray[np.float64]:
        """Return every node's PageRank for walks that start at the nodes `ids`."""
        start = np.zeros(len(self.indptr) - 1)
        start[self.positions(ids)] = 1.0
        return self.pagerank(alpha, tol, start)

    def eigenvector_centrality(
        self, per_component: bool = True, tol: float = 1e-8
    ) -> EigenvectorCentrality:
        """Return the eigenvector centrality over the weights; see `eigenvector`."""
        from assay.index.algorithms.eigenvector import eigenvector_centrality

        order, graph = self._in_order_of_id()
        found = eigenvector_centrality(
            graph.indptr, graph.indices, graph.data, per_component=per_component, tol=tol
        )
        components = self.connected_components()
        # which of the components in order of id each component in order of rows is
        first = np.unique(components, return_index=True)[1]
        values = found.eigenvalues[_put_back(found.components, order)[first]]
        scores = _put_back(found.scores, order)
        return replace(found, scores=scores, components=components, eigenvalues=values)

    def label_propagation(self, random_state: int = 0) -> NDArray[np.int32]:
        """Label communities by label propagation; see `label_propagation`."""
        from assay.index.algorithms.label_propagation import in_order_of_first, label_propagation

        order, graph = self._in_order_of_id()
        labels = label_propagation(
            graph.indptr, graph.indices, graph.data, random_state=random_state
        )
        return in_order_of_first(_put_back(labels, order))

    def communities(self, resolution: float = 1.0, random_state: int = 0) -> Communities:
        """Label communities of high modularity; see `communities.communities`."""
        from assay.index.algorithms.communities import communities
        from assay.index.algorithms.label_propagation import in_order_of_first

        order, graph = self._in_order_of_id()
        found = communities(
            graph.indptr,
            graph.indices,
            graph.data,
            resolution=resolution,
            random_state=random_state,
        )
        labels = in_order_of_first(_put_back(found.labels, order))
        return replace(found, labels=labels)

    def neighborhood(self, ids: ArrayLike, size: int, method: str = "flow") -> NDArray[np.int64]:
        """Return the positions of the nodes `ids`, then of those that belong with them most.

        `size` in all, best first; see `local_clusters.neighborhood`. Where ids are not in order,
        the first call keeps a copy of the graph in order of id: 8 bytes per entry.
        """
        from assay.index.algorithms.local_clusters import neighborhood

        order, graph = self._kept_in_order_of_id
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        seeds = place[self.positions(ids)]
        return order[
            neighborhood(graph.indptr, graph.indices, graph.data, seeds, size, method=method)
        ]

    def positions(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Return where the nodes `ids` are; without ids, positions are ids.

        Raises
        ------
        IdError
            An id that the graph does not have.
        """
        n = len(self.indptr) - 1
        if self._ids is None:
            asked = np.atleast_1d(np.asarray(ids))
            if asked.dtype.kind not in "iu":
                raise IdError("This graph has no ids; give positions, which are integers.")
            unknown = asked[(asked < 0) | (asked >= n)]
            if len(unknown):
                raise IdError(f"There is no position {int(unknown[0])} among {n} nodes.")
            return asked.astype(np.int64)
        named = pl.Series("sample_id", np.atleast_1d(np.asarray(ids)).tolist()).cast(pl.String)
        rows = self._ids.is_in(named.implode()).arg_true()
        at = dict(zip(self._ids.gather(rows).to_list(), rows.to_list(), strict=True))
        missing = [name for name in named if name not in at]
        if missing:
            raise IdError(f"{len(missing)} ids are not in the graph: {missing[0]!r}, ...")
        return np.array([at[name] for name in named], np.int64)

    def _in_order_of_id(self) -> tuple[NDArray[np.int64], sparse.csr_array]:
        """Return the nodes in order of id, and the graph with the nodes in that order."""
        n = len(self.indptr) - 1
        graph = sparse.csr_array((self.weights, self.indices, self.indptr), shape=(n, n))
        order = id_order(self._ids, n)
        if not np.array_equal(order, np.arange(n)):
            graph = graph[order][:, order]
            graph.sort_indices()
        return order, graph

    @cached_property
    def _kept_in_order_of_id(self) -> tuple[NDArray[np.int64], sparse.csr_array]:
        return self._in_order_of_id()


def _put_back(values: NDArray[_T], order: NDArray[np.int64]) -> NDArray[_T]:
    """Return `values`, which are those of the nodes `order`, in order of the nodes."""
    found = np.empty_like(values)
    found[order] = values
    return found
