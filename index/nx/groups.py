"""Connected components and communities of networkx, over arrays."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from assay.index.algorithms.centrality import connected_components as component_labels
from assay.index.algorithms.communities import communities
from assay.index.algorithms.traversal import breadth_first
from assay.index.nx.graph import BackendGraph, CSRGraph
from assay.index.nx.values import not_negative


def connected_components(G: BackendGraph) -> Iterator[set[Any]]:
    graph = CSRGraph.of(G)
    yield from _groups(graph, component_labels(graph.indptr, graph.indices))


def number_connected_components(G: BackendGraph) -> int:
    graph = CSRGraph.of(G)
    labels = component_labels(graph.indptr, graph.indices)
    return int(labels.max(initial=-1)) + 1


def is_connected(G: BackendGraph) -> bool:
    if not len(G):
        raise nx.NetworkXPointlessConcept("Connectivity is undefined for the null graph.")
    return number_connected_components(G) == 1


def node_connected_component(G: BackendGraph, n: Any) -> set[Any]:
    graph = CSRGraph.of(G)
    if n not in graph:
        raise KeyError(n)
    visited = breadth_first(graph.indptr, graph.indices, [graph.place(n)])
    return {graph.nodes[row] for row in visited.nodes.tolist()}


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
        not_negative(graph.values(weight)),
        resolution=resolution,
        random_state=_state(seed),
    )
    return list(_groups(graph, result.labels))


def _groups(graph: CSRGraph, labels: NDArray[np.integer]) -> Iterator[set[Any]]:
    """Return the nodes of each label, in order of the labels."""
    ends = np.cumsum(np.bincount(labels)).tolist()
    rows = np.argsort(labels, kind="stable").tolist()
    nodes = rows if isinstance(graph.nodes, range) else [graph.nodes[row] for row in rows]
    for first, end in zip([0, *ends], ends, strict=False):
        yield set(nodes[first:end])


def _state(seed: Any) -> Any:
    """Return what NumPy takes as a seed: networkx turns an int into a `random.Random`."""
    return seed.getrandbits(32) if isinstance(seed, random.Random) else seed
