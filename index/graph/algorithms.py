"""Functions of a similarity graph; `SimilarityGraph` calls each as a method.

Whatever depends on the order of nodes runs on the nodes in order of id, so that the order of the
rows can't change a bit of the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index.algorithms import centrality
from assay.index.algorithms.communities import Communities
from assay.index.algorithms.communities import communities as modular_communities
from assay.index.algorithms.eigenvector import EigenvectorCentrality
from assay.index.algorithms.eigenvector import eigenvector_centrality as eigenvector
from assay.index.algorithms.flow_diffusion import neighborhood as local_cluster
from assay.index.algorithms.label_propagation import in_order_of_first
from assay.index.algorithms.label_propagation import label_propagation as propagated_labels
from assay.index.vectors.checks import id_order
from assay.storage.errors import IdError

_T = TypeVar("_T", bound=np.generic)


class Graph(Protocol):
    """An undirected graph with symmetric weights, whose nodes may have ids."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    sample_ids: pl.Series | None


class OrderedGraph(NamedTuple):
    """The nodes in order of id, and the adjacency matrix with the nodes in that order."""

    nodes: NDArray[np.int64]
    adjacency: sparse.csr_array


def ordered_by_id(graph: Graph) -> OrderedGraph:
    """Sort the nodes by id; a graph in order is not copied."""
    n = len(graph.indptr) - 1
    adjacency = sparse.csr_array((graph.weights, graph.indices, graph.indptr), shape=(n, n))
    nodes = id_order(graph.sample_ids, n)
    if not np.array_equal(nodes, np.arange(n)):
        adjacency = adjacency[nodes][:, nodes]
        adjacency.sort_indices()
    return OrderedGraph(nodes, adjacency)


def positions(graph: Graph, ids: ArrayLike) -> NDArray[np.int64]:
    """Return the positions of the nodes `ids`; without ids, positions are ids.

    Raises
    ------
    IdError
        An id that the graph does not have.
    """
    n = len(graph.indptr) - 1
    if graph.sample_ids is None:
        nodes = np.atleast_1d(np.asarray(ids))
        if nodes.dtype.kind not in "iu":
            raise IdError("This graph has no ids; give positions, which are integers.")
        unknown = nodes[(nodes < 0) | (nodes >= n)]
        if len(unknown):
            raise IdError(f"There is no position {int(unknown[0])} among {n} nodes.")
        return nodes.astype(np.int64)
    named = pl.Series("sample_id", np.atleast_1d(np.asarray(ids)).tolist()).cast(pl.String)
    rows = graph.sample_ids.is_in(named.implode()).arg_true()
    row_of = dict(zip(graph.sample_ids.gather(rows).to_list(), rows.to_list(), strict=True))
    missing = [name for name in named if name not in row_of]
    if missing:
        raise IdError(f"{len(missing)} ids are not in the graph: {missing[0]!r}, ...")
    return np.array([row_of[name] for name in named], np.int64)


def pagerank(
    graph: Graph, alpha: float, tol: float, personalization: ArrayLike | None
) -> NDArray[np.float64]:
    """Return every node's PageRank over the weights; see `centrality.pagerank`."""
    nodes, adjacency = ordered_by_id(graph)
    start = None if personalization is None else np.asarray(personalization)[nodes]
    ranks = centrality.pagerank(
        adjacency.indptr,
        adjacency.indices,
        adjacency.data,
        alpha=alpha,
        tol=tol,
        personalization=start,
        symmetric=True,
    )
    return _put_back(ranks, nodes)


def personalized_pagerank(
    graph: Graph, ids: ArrayLike, alpha: float, tol: float
) -> NDArray[np.float64]:
    """Return every node's PageRank for walks that start at the nodes `ids`."""
    start = np.zeros(len(graph.indptr) - 1)
    start[positions(graph, ids)] = 1.0
    return pagerank(graph, alpha, tol, start)


def eigenvector_centrality(graph: Graph, per_component: bool, tol: float) -> EigenvectorCentrality:
    """Return the eigenvector centrality over the weights; see `eigenvector`."""
    nodes, adjacency = ordered_by_id(graph)
    result = eigenvector(
        adjacency.indptr, adjacency.indices, adjacency.data, per_component=per_component, tol=tol
    )
    components = centrality.connected_components(graph.indptr, graph.indices)
    # which of the components in order of id each component in order of rows is
    first = np.unique(components, return_index=True)[1]
    values = result.eigenvalues[_put_back(result.components, nodes)[first]]
    scores = _put_back(result.scores, nodes)
    return replace(result, scores=scores, components=components, eigenvalues=values)


def label_propagation(graph: Graph, random_state: int) -> NDArray[np.int32]:
    """Label communities by label propagation; see `label_propagation`."""
    nodes, adjacency = ordered_by_id(graph)
    labels = propagated_labels(
        adjacency.indptr, adjacency.indices, adjacency.data, random_state=random_state
    )
    return in_order_of_first(_put_back(labels, nodes))


def communities(graph: Graph, resolution: float, random_state: int) -> Communities:
    """Label communities of high modularity; see `communities.communities`."""
    nodes, adjacency = ordered_by_id(graph)
    result = modular_communities(
        adjacency.indptr,
        adjacency.indices,
        adjacency.data,
        resolution=resolution,
        random_state=random_state,
    )
    return replace(result, labels=in_order_of_first(_put_back(result.labels, nodes)))


def neighborhood(
    ordered: OrderedGraph, seeds: NDArray[np.int64], size: int, method: str
) -> NDArray[np.int64]:
    """Return the nodes at the positions `seeds`, then those that belong with them most."""
    nodes, adjacency = ordered
    place = np.empty_like(nodes)
    place[nodes] = np.arange(len(nodes))
    cluster = local_cluster(
        adjacency.indptr, adjacency.indices, adjacency.data, place[seeds], size, method=method
    )
    return nodes[cluster]


def _put_back(values: NDArray[_T], nodes: NDArray[np.int64]) -> NDArray[_T]:
    """Return `values`, which belong to `nodes`, in order of the nodes."""
    in_order = np.empty_like(values)
    in_order[nodes] = values
    return in_order
