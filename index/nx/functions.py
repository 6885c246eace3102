"""Functions of networkx over graphs in compressed sparse rows, with networkx's signatures.

Results, errors and their conditions are networkx's, whose documentation applies; see
`assay.index.nx.info` for what differs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.algorithms import centrality, eigenvector
from assay.index.algorithms import clustering as triangle
from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx.graph import CSRGraph
from assay.storage.errors import AssayError

BackendGraph = CSRGraph | SimilarityGraph

# the loosest bounds at which iterations stop, whatever the number of nodes
_LEAST_CHANGE = 1e-6
_LEAST_RESIDUAL = 1e-8


def pagerank(
    G: BackendGraph,
    alpha: float = 0.85,
    personalization: dict[Any, float] | None = None,
    max_iter: int = 100,
    tol: float = 1.0e-6,
    nstart: dict[Any, float] | None = None,
    weight: Hashable = "weight",
    dangling: dict[Any, float] | None = None,
) -> dict[Any, float]:
    graph = CSRGraph.of(G)
    if not len(graph):
        return {}
    weights = _not_negative(graph.values(weight))
    start = None
    if personalization is not None:
        start = np.array([personalization.get(node, 0) for node in graph], dtype=np.float64)
        if not start.sum():
            raise ZeroDivisionError
        _not_negative(start)
    if max_iter < 1 or not tol > 0:
        raise nx.PowerIterationFailedConvergence(max_iter)
    # the limit does not depend on nstart, and is reached whatever max_iter is
    return _named(
        graph,
        centrality.pagerank(
            graph.indptr,
            graph.indices,
            weights,
            alpha=alpha,
            tol=min(tol, _LEAST_CHANGE),
            personalization=start,
            symmetric=not graph.directed,
        ),
    )


def eigenvector_centrality(
    G: BackendGraph,
    max_iter: int = 100,
    tol: float = 1.0e-6,
    nstart: dict[Any, float] | None = None,
    weight: Hashable = None,
) -> dict[Any, float]:
    graph = CSRGraph.of(G)
    if not len(graph):
        raise nx.NetworkXPointlessConcept("cannot compute centrality for the null graph")
    if max_iter < 1 or not tol > 0:
        raise nx.PowerIterationFailedConvergence(max_iter)
    try:
        found = eigenvector.eigenvector_centrality(
            graph.indptr,
            graph.indices,
            _not_negative(graph.values(weight)),
            per_component=False,
            tol=min(tol, _LEAST_RESIDUAL),
        )
    except AssayError as error:
        raise nx.PowerIterationFailedConvergence(max_iter) from error
    if not found.participation:
        return dict.fromkeys(graph, len(graph) ** -0.5)
    return _named(graph, found.scores)


def core_number(G: BackendGraph) -> dict[Any, int]:
    graph = CSRGraph.of(G)
    if graph.loops.any():
        raise nx.NetworkXNotImplemented(
            "Input graph has self loops which is not permitted; "
            "Consider using G.remove_edges_from(nx.selfloop_edges(G))."
        )
    if graph.directed:
        # a pair of edges in both directions counts twice
        matrix = graph.to_scipy()
        both = sparse.hstack([matrix, matrix.T], format="csr")
        return _named(graph, centrality.core_number(both.indptr, both.indices % len(graph)))
    return _named(graph, centrality.core_number(graph.indptr, graph.indices))


def connected_components(G: BackendGraph) -> Iterator[set[Any]]:
    graph = CSRGraph.of(G)
    labels = centrality.connected_components(graph.indptr, graph.indices)
    ends = np.cumsum(np.bincount(labels)).tolist()
    rows = np.argsort(labels, kind="stable").tolist()
    nodes = rows if isinstance(graph.nodes, range) else [graph.nodes[row] for row in rows]
    for first, end in zip([0, *ends], ends, strict=False):
        yield set(nodes[first:end])


def number_connected_components(G: BackendGraph) -> int:
    graph = CSRGraph.of(G)
    labels = centrality.connected_components(graph.indptr, graph.indices)
    return int(labels.max(initial=-1)) + 1


def is_connected(G: BackendGraph) -> bool:
    if not len(G):
        raise nx.NetworkXPointlessConcept("Connectivity is undefined for the null graph.")
    return number_connected_components(G) == 1


def degree_centrality(G: BackendGraph) -> dict[Any, float]:
    graph = CSRGraph.of(G)
    if len(graph) <= 1:
        return dict.fromkeys(graph, 1)
    degree = np.diff(graph.indptr)
    # an edge from a node to itself has two ends there
    ends = graph.indices if graph.directed else graph.indices[graph.loops]
    degree = degree + np.bincount(ends, minlength=len(graph))
    return _named(graph, degree * (1.0 / (len(graph) - 1)))


def triangles(G: BackendGraph, nodes: Any = None) -> Any:
    graph = CSRGraph.of(G)
    return _chosen(graph, triangle.triangles(*graph.without_loops()), nodes)


def clustering(G: BackendGraph, nodes: Any = None, weight: Hashable = None) -> Any:
    graph = CSRGraph.of(G)
    return _chosen(graph, triangle.clustering(*graph.without_loops()), nodes)


def average_clustering(
    G: BackendGraph, nodes: Any = None, weight: Hashable = None, count_zeros: bool = True
) -> float:
    values: list[float] = list(clustering(G, nodes).values())
    if not count_zeros:
        values = [value for value in values if value > 0]
    return sum(values) / len(values)


def transitivity(G: BackendGraph) -> float:
    return triangle.transitivity(*CSRGraph.of(G).without_loops())


def _not_negative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (weights >= 0).all():
        raise NotImplementedError("Weights are negative or NaN.")
    return weights


def _named(graph: CSRGraph, values: NDArray[Any]) -> dict[Any, Any]:
    return dict(zip(graph.nodes, values.tolist(), strict=True))


def _chosen(graph: CSRGraph, values: NDArray[Any], nodes: Any) -> Any:
    """Return the value of a node, or a dict of those of some nodes or all (None)."""
    if nodes is None:
        return _named(graph, values)
    if nodes in graph:
        return values[graph.place(nodes)].item()
    try:
        return {node: values[graph.place(node)].item() for node in nodes if node in graph}
    except TypeError as error:
        raise nx.NetworkXError(f"{nodes!r} is not a node or a sequence of nodes.") from error
