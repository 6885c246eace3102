"""Functions of networkx over graphs in compressed sparse rows, with networkx's signatures.

Results, errors and their conditions are networkx's, whose documentation applies; see
`assay.index.nx.info` for what differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator
from math import ceil, hypot
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.algorithms import centrality, eigenvector
from assay.index.algorithms import clustering as triangle
from assay.index.algorithms.communities import communities
from assay.index.algorithms.hits import hits as hubs_and_authorities
from assay.index.algorithms.katz import katz
from assay.index.algorithms.traversal import BreadthFirst, breadth_first
from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx.graph import CSRGraph
from assay.storage.errors import AssayError, ConvergenceError

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
    _refuse_loops(graph)
    if graph.directed:
        # a pair of edges in both directions counts twice
        matrix = graph.to_scipy()
        both = sparse.hstack([matrix, matrix.T], format="csr")
        return _named(graph, centrality.core_number(both.indptr, both.indices % len(graph)))
    return _named(graph, centrality.core_number(graph.indptr, graph.indices))


def k_core(
    G: BackendGraph, k: int | None = None, core_number: dict[Any, int] | None = None
) -> nx.Graph:
    return _core_subgraph(G, k, core_number, lambda cores, k: cores >= k)


def k_shell(
    G: BackendGraph, k: int | None = None, core_number: dict[Any, int] | None = None
) -> nx.Graph:
    return _core_subgraph(G, k, core_number, lambda cores, k: cores == k)


def k_crust(
    G: BackendGraph, k: int | None = None, core_number: dict[Any, int] | None = None
) -> nx.Graph:
    return _core_subgraph(G, k, core_number, lambda cores, k: cores <= k, above=-1)


def k_corona(G: BackendGraph, k: int, core_number: dict[Any, int] | None = None) -> nx.Graph:
    graph = _with_ids(G)
    cores = _cores(graph, core_number)
    row = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    inside = np.bincount(row[cores[graph.indices] >= k], minlength=len(graph))
    return _node_subgraph(graph, (cores == k) & (inside == k))


def k_truss(G: BackendGraph, k: int) -> nx.Graph:
    graph = _with_ids(G)
    _refuse_loops(graph)
    kept = triangle.truss_edges(graph.indptr, graph.indices, k)
    joined = np.zeros(len(graph), np.bool_)
    joined[graph.indices[kept]] = True
    return graph.subgraph(joined, kept).to_networkx()


def connected_components(G: BackendGraph) -> Iterator[set[Any]]:
    graph = CSRGraph.of(G)
    yield from _groups(graph, centrality.connected_components(graph.indptr, graph.indices))


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


def square_clustering(G: BackendGraph, nodes: Any = None) -> Any:
    graph = CSRGraph.of(G)
    return _chosen(graph, triangle.square_clustering(*graph.without_loops()), nodes)


def hits(
    G: BackendGraph,
    max_iter: int = 100,
    tol: float = 1.0e-8,
    nstart: dict[Any, float] | None = None,
    normalized: bool = True,
) -> tuple[dict[Any, float], dict[Any, float]]:
    graph = CSRGraph.of(G)
    if not len(graph):
        return {}, {}
    if max_iter <= 0:
        raise nx.PowerIterationFailedConvergence(max_iter)
    try:
        hubs, authorities = hubs_and_authorities(
            graph.indptr,
            graph.indices,
            graph.values("weight"),
            start=None if nstart is None else list(nstart.values()),
            max_iter=max_iter,
            tol=tol,
        )
    except ConvergenceError as error:
        raise nx.PowerIterationFailedConvergence(max_iter) from error
    if normalized:
        hubs, authorities = hubs / hubs.sum(), authorities / authorities.sum()
    return _named(graph, hubs), _named(graph, authorities)


def katz_centrality(
    G: BackendGraph,
    alpha: float = 0.1,
    beta: Any = 1.0,
    max_iter: int = 1000,
    tol: float = 1.0e-6,
    nstart: dict[Any, float] | None = None,
    normalized: bool = True,
    weight: Hashable = None,
) -> dict[Any, float]:
    graph = CSRGraph.of(G)
    if not len(graph):
        return {}
    offset: Any
    try:
        offset = float(beta)
    except (TypeError, ValueError) as error:
        if set(beta) != set(graph):
            raise nx.NetworkXError("beta dictionary must have a value for every node") from error
        offset = [float(beta[node]) for node in graph]
    try:
        scores = katz(
            graph.indptr,
            graph.indices,
            graph.values(weight),
            alpha=alpha,
            beta=offset,
            start=None if nstart is None else [nstart[node] for node in graph],
            max_iter=max_iter,
            tol=tol,
        )
    except AssayError as error:
        raise nx.PowerIterationFailedConvergence(max_iter) from error
    if normalized:
        scores = scores / (hypot(*scores.tolist()) or 1.0)
    return _named(graph, scores)


def louvain_communities(
    G: BackendGraph,
    weight: Hashable = "weight",
    resolution: float = 1,
    threshold: float = 0.0000001,
    max_level: int | None = None,
    seed: Any = None,
) -> list[set[Any]]:
    return leiden_communities(G, weight, resolution, max_level, seed)


def leiden_communities(
    G: BackendGraph,
    weight: Hashable = "weight",
    resolution: float = 1,
    max_level: int | None = None,
    seed: Any = None,
) -> list[set[Any]]:
    graph = CSRGraph.of(G)
    result = communities(
        graph.indptr,
        graph.indices,
        _not_negative(graph.values(weight)),
        resolution=resolution,
        random_state=_state(seed),
    )
    return list(_groups(graph, result.labels))


def single_source_shortest_path_length(
    G: BackendGraph, source: Any, cutoff: float | None = None
) -> dict[Any, int]:
    graph = CSRGraph.of(G)
    if source not in graph:
        raise nx.NodeNotFound(f"Source {source} is not in G")
    return _lengths(graph, _visited(graph, [source], cutoff))


def single_target_shortest_path_length(
    G: BackendGraph, target: Any, cutoff: float | None = None
) -> dict[Any, int]:
    graph = CSRGraph.of(G)
    if target not in graph:
        raise nx.NodeNotFound(f"Target {target} is not in G")
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
    graph = CSRGraph.of(G)
    if source not in graph:
        raise nx.NodeNotFound(f"Source {source} not in G")
    return _paths(graph, _visited(graph, [source], cutoff))


def single_target_shortest_path(
    G: BackendGraph, target: Any, cutoff: float | None = None
) -> dict[Any, list[Any]]:
    graph = CSRGraph.of(G)
    if target not in graph:
        raise nx.NodeNotFound(f"Target {target} not in G")
    return _paths(graph, _visited(graph, [target], cutoff, backward=True), backward=True)


def all_pairs_shortest_path(
    G: BackendGraph, cutoff: float | None = None
) -> Iterator[tuple[Any, dict[Any, list[Any]]]]:
    graph = CSRGraph.of(G)
    for node in graph:
        yield node, _paths(graph, _visited(graph, [node], cutoff))


def bidirectional_shortest_path(G: BackendGraph, source: Any, target: Any) -> list[Any]:
    graph = CSRGraph.of(G)
    for name, node in (("Source", source), ("Target", target)):
        if node not in graph:
            raise nx.NodeNotFound(f"{name} {node} is not in G")
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
        graph = CSRGraph.of(G)
        if target not in graph:
            raise nx.NodeNotFound(f"Source {target} not in G")
        return single_target_shortest_path(graph, target)
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
        graph = CSRGraph.of(G)
        if target not in graph:
            raise nx.NodeNotFound(f"Source {target} is not in G")
        return single_target_shortest_path_length(graph, target)
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


def node_connected_component(G: BackendGraph, n: Any) -> set[Any]:
    graph = CSRGraph.of(G)
    if n not in graph:
        raise KeyError(n)
    return {graph.nodes[row] for row in _visited(graph, [n]).nodes.tolist()}


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


def _state(seed: Any) -> Any:
    """Return what NumPy takes as a seed: networkx turns an int into a `random.Random`."""
    return seed.getrandbits(32) if isinstance(seed, random.Random) else seed


def _refuse_loops(graph: CSRGraph) -> None:
    if graph.loops.any():
        raise nx.NetworkXNotImplemented(
            "Input graph has self loops which is not permitted; "
            "Consider using G.remove_edges_from(nx.selfloop_edges(G))."
        )


def _with_ids(G: BackendGraph) -> CSRGraph:
    """Return the graph with the ids of its samples, which its subgraphs keep."""
    graph = CSRGraph.of(G)
    if isinstance(G, SimilarityGraph):
        ids = range(len(G)) if G.ids is None else G.ids
        graph.sample_ids = [str(name) for name in ids]
    return graph


def _cores(graph: CSRGraph, cores: dict[Any, int] | None) -> NDArray[np.int64]:
    known = core_number(graph) if cores is None else cores
    return np.array([known[node] for node in graph], np.int64)


def _core_subgraph(
    G: BackendGraph,
    k: int | None,
    core_number: dict[Any, int] | None,
    keep: Callable[[NDArray[np.int64], int], NDArray[np.bool_]],
    above: int = 0,
) -> nx.Graph:
    """Return the nodes whose core number `keep` takes; k is the highest (plus `above`) by default."""
    graph = _with_ids(G)
    cores = _cores(graph, core_number)
    if k is None:
        k = max(cores.tolist()) + above
    return _node_subgraph(graph, keep(cores, k))


def _node_subgraph(graph: CSRGraph, nodes: NDArray[np.bool_]) -> nx.Graph:
    return graph.subgraph(nodes, np.ones(len(graph.indices), np.bool_)).to_networkx()


def _groups(graph: CSRGraph, labels: NDArray[np.integer]) -> Iterator[set[Any]]:
    """Return the nodes of each label, in order of the labels."""
    ends = np.cumsum(np.bincount(labels)).tolist()
    rows = np.argsort(labels, kind="stable").tolist()
    nodes = rows if isinstance(graph.nodes, range) else [graph.nodes[row] for row in rows]
    for first, end in zip([0, *ends], ends, strict=False):
        yield set(nodes[first:end])


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
