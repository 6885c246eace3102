"""Graphs of given edges: the scores are those of networkx on the same edges."""

from __future__ import annotations

import networkx as nx
import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.storage.errors import ColumnError, ConfigError, IdError, InputError
from tests.data import shared

RNG = np.random.default_rng(0)
N = 60
IDS = [f"r{i:02}" for i in RNG.permutation(N)]
ENDS = RNG.integers(0, N, (200, 2))
WEIGHTS = RNG.random(200) + 0.1
EDGES = pl.DataFrame(
    {
        "source": [IDS[i] for i in ENDS[:, 0]],
        "target": [IDS[j] for j in ENDS[:, 1]],
        "weight": WEIGHTS,
    }
)


def oracle(weighted: bool = True) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(IDS)
    for a, b, weight in EDGES.iter_rows():
        if a != b:
            had = graph.edges.get((a, b), {"weight": 0.0})["weight"]
            graph.add_edge(a, b, weight=max(had, weight) if weighted else 1.0)
    return graph


@pytest.mark.parametrize("weighted", [True, False])
def test_scores_are_those_of_networkx(weighted: bool) -> None:
    edges = EDGES if weighted else EDGES.drop("weight")
    graph, expected = SimilarityGraph.from_edges(edges, ids=IDS), oracle(weighted)
    assert graph.number_of_edges() == expected.number_of_edges()
    np.testing.assert_allclose(
        graph.to_scipy().toarray(), nx.to_numpy_array(expected, nodelist=IDS), rtol=1e-6
    )
    pagerank = nx.pagerank(expected, tol=1e-12, max_iter=1000)
    np.testing.assert_allclose(graph.pagerank(), [pagerank[name] for name in IDS], atol=1e-7)
    cores = nx.core_number(expected)
    assert graph.core_number().tolist() == [cores[name] for name in IDS]
    assert nx.clustering(graph) == pytest.approx(nx.clustering(expected))
    report = graph.report_
    assert report["given"] == 200
    assert report["loops"] == (ENDS[:, 0] == ENDS[:, 1]).sum()
    assert report["edges"] + report["loops"] + report["repeated"] == 200


def test_attributes_weigh_edges_by_a_gaussian() -> None:
    X = RNG.normal(size=(N, 4)).astype(np.float32)
    graph = SimilarityGraph.from_edges(EDGES, ids=IDS, vectors=X, attribute_weight="gaussian")
    squares = ((X[ENDS[:, 0]].astype(float) - X[ENDS[:, 1]]) ** 2).sum(axis=1)
    expected = np.exp(-squares / np.median(squares))
    adjacency = graph.to_scipy().toarray()
    for (i, j), weight in zip(ENDS, expected, strict=True):
        if i != j:
            assert adjacency[i, j] == pytest.approx(max(weight, 1e-6), rel=1e-5)


def test_lists_hold_the_heaviest_and_nothing_depends_on_the_order() -> None:
    graph = SimilarityGraph.from_edges(EDGES.drop("weight"), ids=IDS, k=2)
    neighbors = {
        name: sorted(other)[:2] for name, other in ((n, list(oracle().adj[n])) for n in IDS)
    }
    found = {
        IDS[i]: [IDS[j] for j in row if j >= 0] for i, row in enumerate(np.asarray(graph.neighbors))
    }
    assert found == neighbors
    order = RNG.permutation(N)
    mixed = EDGES.drop("weight").sample(fraction=1, shuffle=True, seed=1)
    moved = SimilarityGraph.from_edges(mixed, ids=[IDS[i] for i in order], k=2)
    np.testing.assert_array_equal(moved.pagerank(), graph.pagerank()[order])
    np.testing.assert_array_equal(moved.similarities, graph.similarities[order])


def test_a_graph_is_kept_and_refuses_updates(tmp_path) -> None:
    graph = SimilarityGraph.from_edges(EDGES, ids=IDS)
    graph.save(tmp_path)
    again = SimilarityGraph.load(tmp_path)
    assert again.report_ == graph.report_
    assert again.robust == "edges"
    np.testing.assert_array_equal(again.weights, graph.weights)
    with pytest.raises(ConfigError, match="no vectors"):
        graph.query(np.zeros(3))
    with pytest.raises(InputError, match="given edges"):
        graph.insert(np.zeros((1, 3)), ids=["new"])


def test_smoothing_is_the_mean_with_the_neighbors() -> None:
    graph = SimilarityGraph.from_edges(EDGES, ids=IDS)
    X = RNG.normal(size=(N, 3))
    A = graph.to_scipy().toarray().astype(float) + np.eye(N)
    expected = np.linalg.matrix_power(A / A.sum(axis=1, keepdims=True), 3) @ X.astype(np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(graph.smooth(X, 3), expected, atol=1e-6)
    with pytest.raises(InputError, match="one vector for each"):
        graph.smooth(X[:5])


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_smoothed_features_tell_more_of_the_kind(name: str) -> None:
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    parts = np.load(shared(f"graphs/{name}_x.npz"))
    X = csr_array(
        (parts["data"], parts["indices"], parts["indptr"]), shape=parts["shape"]
    ).toarray()
    nodes = pl.read_parquet(shared(f"graphs/{name}_nodes.parquet"))
    edges = pl.read_parquet(shared(f"graphs/{name}_edges.parquet"))
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    smoothed = SimilarityGraph.from_edges(edges, ids=nodes["node"]).smooth(X)
    y = nodes["label"].to_numpy()
    labeled = np.flatnonzero(y >= 0)
    order = np.random.default_rng(0).permutation(labeled)
    train, test = order[: len(order) // 10], order[len(order) // 10 :]
    plain, better = (
        LogisticRegression(C=10).fit(V[train], y[train]).score(V[test], y[test])
        for V in (X, smoothed)
    )
    assert better >= plain + 0.06


def test_whole_numbers_and_two_columns_of_any_name_are_ends() -> None:
    edges = pl.DataFrame({"src": [1, 2], "dst": [2, 3]})
    graph = SimilarityGraph.from_edges(edges, ids=[1, 2, 3])
    assert sorted(graph.edges) == [(1, 2), (2, 3)]


def test_what_can_not_be_used_is_named() -> None:
    def joined(frame, **settings):
        return SimilarityGraph.from_edges(frame, ids=["a", "b"], **settings)

    one = {"source": ["a"], "target": ["b"]}
    with pytest.raises(ColumnError, match="target"):
        joined({"source": ["a"], "to": ["b"], "weight": [1.0]})
    with pytest.raises(InputError, match="'x'"):
        joined({"source": ["a"], "target": ["x"]})
    for weight in (0.0, float("nan"), None):
        with pytest.raises(InputError, match="above 0"):
            joined({**one, "weight": pl.Series([weight], dtype=pl.Float64)})
    with pytest.raises(InputError, match="numbers"):
        joined({**one, "weight": ["much"]})
    with pytest.raises(InputError, match="needs vectors"):
        joined(one, attribute_weight="gaussian")
    with pytest.raises(ConfigError, match="attribute_weight"):
        joined(one, attribute_weight="linear")
    with pytest.raises(IdError):
        SimilarityGraph.from_edges(one, ids=["a", "a"])
    # a few strange ends are counted and left out
    many = pl.DataFrame({"source": ["a"] * 30, "target": ["b"] * 29 + ["x"]})
    assert joined(many).report_["unknown"] == 1


def test_citations_find_the_rows_of_a_kind() -> None:
    edges = pl.read_parquet(shared("graphs/cora_edges.parquet"))
    nodes = pl.read_parquet(shared("graphs/cora_nodes.parquet"))
    graph = SimilarityGraph.from_edges(edges, ids=nodes["node"])
    from assay.selection import LabelAgreement

    found = LabelAgreement().fit(graph=graph, y=nodes["label"].to_numpy())
    assert graph.report_["edges"] == edges.height
    # the homophily of the edges is .81
    assert found.scores_.mean() > 0.75
