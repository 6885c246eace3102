"""A similarity graph reads as a networkx graph whose nodes are the ids that were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.index import SimilarityGraph
from assay.storage.errors import ConfigError, InputError

X = np.random.default_rng(3).normal(size=(40, 5)).astype(np.float32)
IDS: dict[str, Any] = {
    "text": [f"s{(7 * i) % 40}" for i in range(40)],
    "numbers": [1000 - 3 * i for i in range(40)],
    "none": None,
}


@pytest.fixture(params=list(IDS))
def graph(request: pytest.FixtureRequest) -> SimilarityGraph:
    return SimilarityGraph.from_vectors(X, ids=IDS[request.param], k=4)


def plain(graph: SimilarityGraph) -> nx.Graph:
    """Return the graph built edge by edge from its matrix."""
    matrix = graph.to_scipy().tocoo()
    names = (
        range(40)
        if graph.ids is None
        else ([int(i) for i in graph.ids] if graph.numbered else list(graph.ids))
    )
    copy = nx.Graph()
    copy.add_nodes_from((name, {"sample_id": str(name)}) for name in names)
    copy.add_weighted_edges_from(
        (names[u], names[v], float(w)) for u, v, w in zip(*matrix.coords, matrix.data, strict=True)
    )
    return copy


def same(one: nx.Graph, other: nx.Graph) -> bool:
    return nx.utils.graphs_equal(one, other)


def test_it_reads_as_the_graph_of_its_edges(graph: SimilarityGraph) -> None:
    copy = plain(graph)
    assert list(graph) == list(graph.nodes) == list(graph.nodes()) == list(copy)
    assert dict(graph.nodes(data=True)) == dict(copy.nodes(data=True))
    assert {frozenset(e) for e in graph.edges} == {frozenset(e) for e in copy.edges}
    assert len(graph.edges) == graph.number_of_edges() == copy.number_of_edges() == graph.size()
    assert len(list(graph.edges(data="weight"))) == copy.number_of_edges()
    assert dict(graph.degree) == dict(graph.degree()) == dict(copy.degree)
    assert dict(graph.degree(weight="weight")) == pytest.approx(dict(copy.degree(weight="weight")))
    assert (
        graph.degree().tolist() == np.asarray(graph.degree()).tolist() == graph.degrees().tolist()
    )
    assert graph.size("weight") == pytest.approx(copy.size("weight"), rel=1e-5)
    for node in copy:
        assert node in graph
        assert graph.has_node(node)
        assert set(graph.neighbors(node)) == set(copy.neighbors(node))
        assert dict(graph[node]) == dict(graph.adj[node]) == dict(copy[node])
        assert graph.degree[node] == copy.degree[node]
        assert dict(graph.degree([node])) == {node: copy.degree[node]}
    for u, v in [(u, v) for u in list(copy)[:8] for v in copy]:
        assert graph.has_edge(u, v) == copy.has_edge(u, v)
        assert graph.get_edge_data(u, v) == copy.get_edge_data(u, v)
    assert {u: dict(rows) for u, rows in graph.adjacency()} == dict(copy.adjacency())


def test_networkx_copies_it(graph: SimilarityGraph) -> None:
    assert same(nx.Graph(graph), plain(graph))
    assert same(graph.to_networkx(), plain(graph))
    some = [*list(graph)[5:20], "not there"]
    assert same(graph.subgraph(some), nx.Graph(plain(graph).subgraph(some)))
    assert graph.subgraph([]).number_of_nodes() == 0


def test_results_are_keyed_by_the_nodes(graph: SimilarityGraph) -> None:
    copy = plain(graph)
    nodes = list(copy)
    for u, v in ((nodes[0], nodes[30]), (nodes[12], nodes[3])):
        assert len(nx.shortest_path(graph, u, v)) == len(nx.shortest_path(copy, u, v))
        assert set(nx.shortest_path(graph, u, v)) <= set(nodes)
        weighted = nx.shortest_path(graph, u, v, weight="weight")
        assert weighted == nx.shortest_path(copy, u, v, weight="weight")
    found, expected = nx.pagerank(graph, tol=1e-12), nx.pagerank(copy, tol=1e-12)
    assert found == pytest.approx(expected, abs=1e-8)
    assert nx.core_number(graph) == nx.core_number(copy)
    assert nx.clustering(graph) == pytest.approx(nx.clustering(copy))
    assert nx.betweenness_centrality(graph) == pytest.approx(nx.betweenness_centrality(copy))
    components = {frozenset(c) for c in nx.connected_components(graph)}
    assert components == {frozenset(c) for c in nx.connected_components(copy)}
    with pytest.raises(nx.NodeNotFound):
        nx.shortest_path(graph, "nobody", nodes[0])


def test_what_is_not_there(graph: SimilarityGraph) -> None:
    for node in ("nobody", -1, 10**6, 1.5, None, [1]):
        assert node not in graph
    with pytest.raises(KeyError):
        graph["nobody"]
    with pytest.raises(nx.NetworkXError):
        graph.neighbors("nobody")
    assert not graph.has_edge("nobody", next(iter(graph)))


def test_arrays_stay_arrays(graph: SimilarityGraph) -> None:
    assert graph.neighbors.shape == (40, 4)
    assert np.asarray(graph.neighbors).dtype == np.int32
    assert graph.neighbors[3].tolist() == np.asarray(graph.neighbors)[3].tolist()


def test_it_is_drawn(graph: SimilarityGraph) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    figure = pyplot.figure()
    nx.draw(graph)
    assert len(figure.axes[0].collections) == 2  # nodes and edges
    pyplot.close(figure)


def test_save_makes_its_folder_and_keeps_the_nodes(graph: SimilarityGraph, tmp_path: Path) -> None:
    graph.save(tmp_path / "deep" / "graph")
    again = SimilarityGraph.load(tmp_path / "deep" / "graph")
    assert list(again) == list(graph)
    assert same(nx.Graph(again), nx.Graph(graph))


@given(st.integers(0, 39), st.sampled_from(["cosine", "l2", "ip"]), st.integers(1, 50))
def test_a_query_compares_every_row(row: int, metric: str, k: int) -> None:
    graph = SimilarityGraph.from_vectors(X, ids=IDS["text"], k=3, metric=metric)
    query = X[row] + 0.25
    nodes, similarities = graph.query(query, k=k)
    assert len(nodes) == min(k, 40)
    exact = X.astype(float) @ query
    if metric == "cosine":
        exact /= np.linalg.norm(X, axis=1) * np.linalg.norm(query)
    elif metric == "l2":
        exact = 1 / (1 + np.linalg.norm(X - query, axis=1))
    order = np.argsort(-exact)[:k]
    assert nodes == [IDS["text"][i] for i in order]
    assert np.allclose(similarities, exact[order], atol=1e-5)


def test_queries_that_can_not_be(tmp_path: Path) -> None:
    graph = SimilarityGraph.from_vectors(X, k=3)
    assert len(graph.query(X[0])[0]) == 3
    with pytest.raises(InputError):
        graph.query([1.0, 2.0])
    with pytest.raises(InputError, match="one vector"):
        graph.query(X[:2])
    with pytest.raises(ConfigError, match="k"):
        graph.query(X[0], k=0)
    graph.vectors = None
    with pytest.raises(ConfigError, match="no vectors"):
        graph.query(X[0])
