from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import brentq

from assay.index import SimilarityGraph
from assay.index.graph.edge_weights import directed_weights
from assay.storage.errors import ConfigError


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    # two copies of one row, and a crowd of ten
    X[50] = X[51]
    X[100:110] = X[99]
    return X


def build(X: np.ndarray, weights: str, **settings) -> SimilarityGraph:
    return SimilarityGraph.from_vectors(X, weights=weights, **settings)


def directed(graph: SimilarityGraph, values: np.ndarray) -> np.ndarray:
    n, k = graph.neighbors.shape
    dense = np.zeros((n, n))
    dense[np.repeat(np.arange(n), k), graph.neighbors.ravel()] = values.ravel()
    return dense


def test_self_tuning_by_the_formula(X: np.ndarray) -> None:
    graph = build(X, "self_tuning", metric="l2", k=9)
    d = np.sqrt(((X[:, None].astype(float) - X) ** 2).sum(axis=2))
    scale = np.sort(d, axis=1)[:, 7]
    crowd = np.arange(99, 110)
    np.testing.assert_array_equal(np.flatnonzero(scale == 0), crowd)
    scale[crowd] = np.inf
    expected = np.exp(-(d**2) / np.outer(scale, scale))
    adjacency = graph.to_scipy().toarray()
    edges = adjacency > 0
    # who lists a crowd of copies is far from it in terms of its scale
    expected[crowd] = np.where(d[crowd] > 0, 0, 1)
    expected[:, crowd] = expected[crowd].T
    np.testing.assert_allclose(adjacency[edges], expected[edges], rtol=1e-5, atol=1e-37)
    assert adjacency[50, 51] == 1
    assert (adjacency[np.ix_(crowd, crowd)][adjacency[np.ix_(crowd, crowd)] > 0] == 1).all()
    np.testing.assert_array_equal(adjacency, adjacency.T)
    assert (edges == (build(X, "similarity", metric="l2", k=9).to_scipy().toarray() > 0)).all()


def test_short_lists_have_their_last_neighbor_as_scale() -> None:
    graph = build(np.array([[0.0], [1.0], [3.0]]), "self_tuning", metric="l2", k=9)
    scale = [3, 2, 3]
    for i, j, d in ((0, 1, 1), (0, 2, 3), (1, 2, 2)):
        expected = np.exp(-(d**2) / (scale[i] * scale[j]))
        assert graph.to_scipy()[i, j] == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("k", [5, 15])
def test_fuzzy_by_the_formula(X: np.ndarray, metric: str, k: int) -> None:
    graph = build(X, "fuzzy", metric=metric, k=k)
    d = graph.distances().astype(float)
    expected = np.ones_like(d)
    sums = []
    for i, row in enumerate(d):
        if not (row > 0).any():
            continue
        beyond = np.maximum(row - row[row > 0].min(), 0)

        def excess(sigma: float, beyond: np.ndarray = beyond) -> float:
            return np.exp(-beyond / sigma).sum() - np.log2(k)

        least = 1e-3 * row.mean()
        sigma = brentq(excess, least, 1e6) if excess(least) < 0 else least
        expected[i] = np.exp(-beyond / sigma)
        sums.append(expected[i].sum())
    assert np.median(sums) == pytest.approx(np.log2(k), abs=1e-4)
    found = directed_weights(graph.neighbors, graph.distances(), metric, "fuzzy")
    np.testing.assert_allclose(found, expected, atol=2e-5)
    A = directed(graph, found.astype(float))
    union = A + A.T - A * A.T
    np.testing.assert_allclose(graph.to_scipy().toarray(), union, rtol=1e-6, atol=1e-7)
    mutual = build(X, "fuzzy", metric=metric, k=k, symmetrise="mutual")
    np.testing.assert_allclose(mutual.to_scipy().toarray(), A * A.T, rtol=1e-6, atol=1e-7)
    assert graph.weights.max() <= 1 + 1e-6


def test_the_nearest_other_row_is_a_full_member(X: np.ndarray) -> None:
    graph = build(X, "fuzzy", metric="l2", k=7)
    found = directed_weights(graph.neighbors, graph.distances(), "l2", "fuzzy")
    assert (found[:, 0] == 1).all()
    assert (np.diff(found, axis=1) <= 0).all()
    # the second neighbor of a row with one copy is its nearest other row
    assert found[50, 1] == 1
    assert found[50, 2] < 1


@pytest.mark.parametrize("weights", ["self_tuning", "fuzzy"])
def test_rows_without_neighbors_and_rows_with_copies_only(weights: str) -> None:
    X = np.array([[0, 0], [1, 0], [1, 0], [1, 0], [0, 2]], np.float32)
    graph = build(X, weights, k=2)
    assert graph.degree()[0] == 0
    assert np.isfinite(graph.weights).all()
    assert (graph.weights > 0).all()
    assert graph.to_scipy()[1, 2] == 1
    assert len(build(X[:1], weights, k=2).weights) == 0


def test_weights_are_kept_by_files_and_updates(X: np.ndarray, tmp_path) -> None:
    graph = build(X, "fuzzy", k=5)
    graph.save(tmp_path)
    back = SimilarityGraph.load(tmp_path)
    assert back.weighting == "fuzzy"
    np.testing.assert_array_equal(back.weights, graph.weights)
    grown = build(X[:250], "fuzzy", k=5).insert(X[250:])
    np.testing.assert_array_equal(grown.weights, graph.weights)
    assert nx.is_connected(back.to_networkx()) == nx.is_connected(graph.to_networkx())


def test_wrong_weights_are_refused(X: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="weights is "):
        build(X, "gaussian")
    with pytest.raises(ConfigError, match="needs distances"):
        build(X, "fuzzy", metric="ip")
