"""Native algorithms on a graph of nearest neighbors against networkx, igraph and networkit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
from common.timing import timed

from assay.index import SimilarityGraph
from assay.index.algorithms.centrality import connected_components, core_number, pagerank
from assay.index.algorithms.clustering import clustering
from assay.index.algorithms.eigenvector import eigenvector_centrality

Works = dict[str, Callable[[], Any]]
# networkx stops at a change of 1e-6 for every node: after a few steps where there are many
LOOSE = "PageRank as far as networkx goes"


def _native(graph: SimilarityGraph) -> Works:
    edges = graph.indptr, graph.indices
    loose = 1e-6 * len(graph)
    return {
        LOOSE: lambda: pagerank(*edges, graph.weights, tol=loose),
        "PageRank": lambda: pagerank(*edges, graph.weights),
        "core number": lambda: core_number(*edges),
        "components": lambda: connected_components(*edges),
        "clustering": lambda: clustering(*edges),
        "eigenvector": lambda: eigenvector_centrality(*edges, graph.weights, per_component=False),
    }


def _networkx(graph: SimilarityGraph) -> Works:
    nx = import_module("networkx")
    G = graph.to_networkx()
    return {
        LOOSE: lambda: nx.pagerank(G, backend="networkx"),
        "core number": lambda: nx.core_number(G, backend="networkx"),
        "components": lambda: list(nx.connected_components(G, backend="networkx")),
    }


def _igraph(graph: SimilarityGraph) -> Works:
    igraph = import_module("igraph")
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    upper = rows < graph.indices
    ends = np.stack([rows[upper], graph.indices[upper]], axis=1)
    G = igraph.Graph(n=len(graph), edges=ends)
    weights = graph.weights[upper].tolist()
    return {
        "PageRank": lambda: G.pagerank(weights=weights),
        "core number": G.coreness,
        "components": G.connected_components,
        "clustering": lambda: G.transitivity_local_undirected(mode="zero"),
        "eigenvector": lambda: G.eigenvector_centrality(weights=weights, scale=False),
    }


def _networkit(graph: SimilarityGraph) -> Works:
    nk = import_module("networkit")
    nk.setNumberOfThreads(1)
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    upper = rows < graph.indices
    ends = rows[upper], graph.indices[upper].astype(np.int64)
    weights = graph.weights[upper].astype(np.float64)
    G = nk.GraphFromCoo((weights, ends), n=len(graph), weighted=True, directed=False)
    plain = nk.GraphFromCoo((weights, ends), n=len(graph), weighted=False, directed=False)
    plain.indexEdges()
    central = nk.centrality
    return {
        "PageRank": lambda: central.PageRank(G, 0.85, 1e-8).run(),
        "core number": lambda: central.CoreDecomposition(plain).run(),
        "components": lambda: nk.components.ConnectedComponents(plain).run(),
        "clustering": lambda: central.LocalClusteringCoefficient(plain, True).run(),
        "eigenvector": lambda: central.EigenvectorCentrality(G, 1e-8).run(),
    }


def compare(graph: SimilarityGraph, repeats: int) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return CPU seconds[algorithm][library], medians after a first run, and what was missing."""
    makers = {"networkx": _networkx, "igraph": _igraph, "networkit": _networkit}
    libraries, missing = {"assay": _native(graph)}, []
    for name, make in makers.items():
        try:
            libraries[name] = make(graph)
        except ImportError:
            missing.append(f"{name} (not installed)")
    seconds: dict[str, dict[str, float]] = {}
    for algorithm in libraries["assay"]:
        runs: dict[str, list[float]] = {name: [] for name in libraries}
        for turn in range(repeats + 1):
            for name, works in libraries.items():
                # networkx takes seconds and has nothing to warm up
                if algorithm not in works or (turn == 0 and name == "networkx"):
                    continue
                with contextlib.suppress(RuntimeError):
                    spent = timed(works[algorithm])[1].cpu
                    if turn:
                        runs[name].append(spent)
        seconds[algorithm] = {name: median(took) for name, took in runs.items() if took}
    return seconds, missing
