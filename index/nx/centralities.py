"""Centralities of networkx, over arrays."""

from __future__ import annotations

from collections.abc import Hashable
from math import hypot
from typing import Any

import networkx as nx
import numpy as np

from assay.index.algorithms import centrality, eigenvector
from assay.index.algorithms.hits import hits as hubs_and_authorities
from assay.index.algorithms.katz import katz
from assay.index.nx.graph import BackendGraph, CSRGraph
from assay.index.nx.values import by_node, not_negative
from assay.storage.errors import AssayError, ConvergenceError

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
    weights = not_negative(graph.values(weight))
    start = None
    if personalization is not None:
        start = np.array([personalization.get(node, 0) for node in graph], dtype=np.float64)
        if not start.sum():
            raise ZeroDivisionError
        not_negative(start)
    if max_iter < 1 or not tol > 0:
        raise nx.PowerIterationFailedConvergence(max_iter)
    # the limit does not depend on nstart, and is reached whatever max_iter is
    return by_node(
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
        solution = eigenvector.eigenvector_centrality(
            graph.indptr,
            graph.indices,
            not_negative(graph.values(weight)),
            per_component=False,
            tol=min(tol, _LEAST_RESIDUAL),
        )
    except AssayError as error:
        raise nx.PowerIterationFailedConvergence(max_iter) from error
    if not solution.participation:
        return dict.fromkeys(graph, len(graph) ** -0.5)
    return by_node(graph, solution.scores)


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
    return by_node(graph, hubs), by_node(graph, authorities)


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
    return by_node(graph, scores)


def degree_centrality(G: BackendGraph) -> dict[Any, float]:
    graph = CSRGraph.of(G)
    if len(graph) <= 1:
        return dict.fromkeys(graph, 1)
    degree = np.diff(graph.indptr)
    # an edge from a node to itself has two ends there
    ends = graph.indices if graph.directed else graph.indices[graph.loops]
    degree = degree + np.bincount(ends, minlength=len(graph))
    return by_node(graph, degree * (1.0 / (len(graph) - 1)))
