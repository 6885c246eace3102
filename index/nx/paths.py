"""Unweighted shortest paths and breadth-first walks of networkx, over arrays."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from math import ceil
from typing import Any

import networkx as nx
import numpy as np

from assay.index.algorithms.traversal import BreadthFirst, breadth_first
from assay.index.nx.graph import BackendGraph, CSRGraph


def single_source_shortest_path_length(
    G: BackendGraph, source: Any, cutoff: float | None = None
) -> dict[Any, int]:
    graph = _graph_with(G, source, f"Source {source} is not in G")
    return _lengths(graph, _visited(graph, [source], cutoff))


def single_target_shortest_path_length(
    G: BackendGraph, target: Any, cutoff: float | None = None
) -> dict[Any, int]:
    graph = _graph_with(G, target, f"Target {target} is not in G")
    return _lengths(graph, _visited(graph, [target], cutoff, backward=True))


def all_pairs_shortest_path_length(
    G: BackendGraph, cutoff: float | None = None
) -> Iterator[tuple[Any, dict[Any, int]]]:
    graph = CSRGraph.of(G)
    for node in graph:
        yield node, _lengths(graph, _visited(graph, [node], cutoff))


def single_source_shortest_path(
    G: BackendGraph, source: Any, cutoff: float | None = None
) -> dict[Any, list[Any]]:
    graph = _graph_with(G, source, f"Source {source} not in G")
    return _paths(graph, _visited(graph, [source], cutoff))


def single_target_shortest_path(
    G: BackendGraph, target: Any, cutoff: float | None = None
) -> dict[Any, list[Any]]:
    graph = _graph_with(G, target, f"Target {target} not in G")
    return _paths(graph, _visited(graph, [target], cutoff, backward=True), backward=True)


def all_pairs_shortest_path(
    G: BackendGraph, cutoff: float | None = None
) -> Iterator[tuple[Any, dict[Any, list[Any]]]]:
    graph = CSRGraph.of(G)
    for node in graph:
        yield node, _paths(graph, _visited(graph, [node], cutoff))


def bidirectional_shortest_path(G: BackendGraph, source: Any, target: Any) -> list[Any]:
    graph = _graph_with(G, source, f"Source {source} is not in G")
    _graph_with(graph, target, f"Target {target} is not in G")
    visited = _visited(graph, [source])
    reached = np.flatnonzero(visited.nodes == graph.place(target))
    if not len(reached):
        raise nx.NetworkXNoPath(f"No path between {source} and {target}.")
    parent = dict(zip(visited.nodes.tolist(), visited.parents.tolist(), strict=True))
    path = [graph.place(target)]
    while parent[path[-1]] >= 0:
        path.append(parent[path[-1]])
    return [graph.nodes[row] for row in reversed(path)]


def has_path(G: BackendGraph, source: Any, target: Any) -> bool:
    try:
        bidirectional_shortest_path(G, source, target)
    except nx.NetworkXNoPath:
        return False
    return True


def shortest_path(
    G: BackendGraph,
    source: Any = None,
    target: Any = None,
    weight: Hashable = None,
    method: str = "dijkstra",
) -> Any:
    _check_method(method)
    if source is not None and target is not None:
        return bidirectional_shortest_path(G, source, target)
    if source is not None:
        return single_source_shortest_path(G, source)
    if target is not None:
        return single_target_shortest_path(
            _graph_with(G, target, f"Source {target} not in G"), target
        )
    return all_pairs_shortest_path(G)


def shortest_path_length(
    G: BackendGraph,
    source: Any = None,
    target: Any = None,
    weight: Hashable = None,
    method: str = "dijkstra",
) -> Any:
    _check_method(method)
    if source is not None and target is not None:
        return len(bidirectional_shortest_path(G, source, target)) - 1
    if source is not None:
        return single_source_shortest_path_length(G, source)
    if target is not None:
        return single_target_shortest_path_length(
            _graph_with(G, target, f"Source {target} is not in G"), target
        )
    return all_pairs_shortest_path_length(G)


def bfs_edges(
    G: BackendGraph,
    source: Any,
    reverse: bool = False,
    depth_limit: int | None = None,
    sort_neighbors: Callable[..., Any] | None = None,
) -> Iterator[tuple[Any, Any]]:
    graph = CSRGraph.of(G)
    _check_node(graph, source, "digraph" if graph.directed else "graph")
    visited = _visited(graph, [source], depth_limit, backward=reverse)
    nodes, parents = visited.nodes[1:].tolist(), visited.parents[1:].tolist()
    for node, parent in zip(nodes, parents, strict=True):
        yield graph.nodes[parent], graph.nodes[node]


def bfs_predecessors(
    G: BackendGraph,
    source: Any,
    depth_limit: int | None = None,
    sort_neighbors: Callable[..., Any] | None = None,
) -> Iterator[tuple[Any, Any]]:
    for parent, node in bfs_edges(G, source, depth_limit=depth_limit):
        yield node, parent


def bfs_successors(
    G: BackendGraph,
    source: Any,
    depth_limit: int | None = None,
    sort_neighbors: Callable[..., Any] | None = None,
) -> Iterator[tuple[Any, list[Any]]]:
    parent = source
    children: list[Any] = []
    for above, node in bfs_edges(G, source, depth_limit=depth_limit):
        if above != parent:
            yield parent, children
            parent, children = above, []
        children.append(node)
    yield parent, children


def bfs_layers(G: BackendGraph, sources: Any) -> Iterator[list[Any]]:
    graph = CSRGraph.of(G)
    starts = [sources] if sources in graph else list(set(sources))
    for node in starts:
        _check_node(graph, node)
    if starts:
        visited = _visited(graph, starts)
        nodes = [graph.nodes[row] for row in visited.nodes.tolist()]
        ends = np.cumsum(np.bincount(visited.distances)).tolist()
        for first, end in zip([0, *ends], ends, strict=False):
            yield nodes[first:end]


def descendants_at_distance(G: BackendGraph, source: Any, distance: int) -> set[Any]:
    graph = CSRGraph.of(G)
    _check_node(graph, source)
    visited = _visited(graph, [source], max(distance, 0))
    rows = visited.nodes[visited.distances == distance].tolist()
    return {graph.nodes[row] for row in rows}


def _graph_with(G: BackendGraph, node: Any, message: str) -> CSRGraph:
    """Return the graph over arrays, or raise `NodeNotFound` where it lacks the node."""
    graph = CSRGraph.of(G)
    if node not in graph:
        raise nx.NodeNotFound(message)
    return graph


def _visited(
    graph: CSRGraph, sources: list[Any], cutoff: float | None = None, backward: bool = False
) -> BreadthFirst:
    """Search from the sources, along the edges or against them, to the greatest distance."""
    indptr, indices = graph.backward() if backward else (graph.indptr, graph.indices)
    n = len(graph)
    depth = None if cutoff is None or cutoff >= n else max(0, ceil(cutoff))
    return breadth_first(indptr, indices, [graph.place(node) for node in sources], depth=depth)


def _lengths(graph: CSRGraph, visited: BreadthFirst) -> dict[Any, int]:
    nodes = [graph.nodes[row] for row in visited.nodes.tolist()]
    return dict(zip(nodes, visited.distances.tolist(), strict=True))


def _paths(graph: CSRGraph, visited: BreadthFirst, backward: bool = False) -> dict[Any, list[Any]]:
    """Return the path from the source to each node, or from each node to it (`backward`)."""
    paths: dict[int, list[Any]] = {}
    for row, parent in zip(visited.nodes.tolist(), visited.parents.tolist(), strict=True):
        node = [graph.nodes[row]]
        before = paths[parent] if parent >= 0 else []
        paths[row] = node + before if backward else before + node
    return {graph.nodes[row]: path for row, path in paths.items()}


def _check_node(graph: CSRGraph, node: Any, what: str = "graph") -> None:
    if node not in graph:
        raise nx.NetworkXError(f"The node {node} is not in the {what}.")


def _check_method(method: str) -> None:
    if method not in ("dijkstra", "bellman-ford"):
        raise ValueError(f"method not supported: {method}")
