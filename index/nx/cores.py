"""Core numbers of networkx and the subgraphs of cores and trusses, over arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.algorithms import centrality
from assay.index.algorithms.clustering import truss_edges
from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx.graph import BackendGraph, CSRGraph
from assay.index.nx.values import by_node


def core_number(G: BackendGraph) -> dict[Any, int]:
    graph = CSRGraph.of(G)
    _refuse_loops(graph)
    if graph.directed:
        # a pair of edges in both directions counts twice
        matrix = graph.to_scipy()
        both = sparse.hstack([matrix, matrix.T], format="csr")
        return by_node(graph, centrality.core_number(both.indptr, both.indices % len(graph)))
    return by_node(graph, centrality.core_number(graph.indptr, graph.indices))


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
    kept = truss_edges(graph.indptr, graph.indices, k)
    joined = np.zeros(len(graph), np.bool_)
    joined[graph.indices[kept]] = True
    return graph.subgraph(joined, kept).to_networkx()


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


def _with_ids(G: BackendGraph) -> CSRGraph:
    """Return the graph with the ids of its samples, which its subgraphs keep."""
    graph = CSRGraph.of(G)
    if isinstance(G, SimilarityGraph):
        ids = range(len(G)) if G.ids is None else G.ids
        graph.sample_ids = [str(name) for name in ids]
    return graph


def _refuse_loops(graph: CSRGraph) -> None:
    if graph.loops.any():
        raise nx.NetworkXNotImplemented(
            "Input graph has self loops which is not permitted; "
            "Consider using G.remove_edges_from(nx.selfloop_edges(G))."
        )
