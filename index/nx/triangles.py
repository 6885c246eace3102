"""Triangles, squares and clustering of networkx, over arrays."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import networkx as nx
from numpy.typing import NDArray

from assay.index.algorithms import clustering as triangle
from assay.index.nx.graph import BackendGraph, CSRGraph
from assay.index.nx.values import by_node


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


def square_clustering(G: BackendGraph, nodes: Any = None) -> Any:
    graph = CSRGraph.of(G)
    return _chosen(graph, triangle.square_clustering(*graph.without_loops()), nodes)


def _chosen(graph: CSRGraph, values: NDArray[Any], nodes: Any) -> Any:
    """Return the value of a node, or a dict of those of some nodes or all (None)."""
    if nodes is None:
        return by_node(graph, values)
    if nodes in graph:
        return values[graph.place(nodes)].item()
    try:
        return {node: values[graph.place(node)].item() for node in nodes if node in graph}
    except TypeError as error:
        raise nx.NetworkXError(f"{nodes!r} is not a node or a sequence of nodes.") from error
