from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone

from assay.index import SimilarityGraph
from assay.selection.algorithms.influence_network import InfluenceNetwork
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.selection.selectors.random import RandomSelector
from assay.storage.errors import ConfigError, InputError, NonFiniteError
from tests.data import shared
from tests.selection.small_graphs import knn


def vectors(n=400, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


UTILITIES = {
    "sum": lambda X, left, right: X[left, :1] - 2 * X[right, 1],
    "product": lambda X, left, right: X[left] @ X[right].T,
    "asymmetric": lambda X, left, right: (X[left] * [3, -1, 0, 0]) @ X[right].T + 5,
    "near": lambda X, left, right: np.exp(-((X[left][:, None] - X[right][None]) ** 2).sum(2) / 8),
}


@pytest.mark.parametrize("name", UTILITIES)
def test_known_utilities_are_learned(name):
    X = vectors()
    asked = []

    def utility(left, right):
        asked.append((left, right))
        return UTILITIES[name](X, left, right)

    network = InfluenceNetwork(sample=90, epochs=60).fit(X, utility)
    report = network.report_
    json.dumps(report, allow_nan=False)
    assert len(asked) == 1
    assert report["evaluations"] == 8_100
    assert report["r2"] > 0.9
    assert report["rank_correlation"] > 0.9
    # the report is right about rows that it never saw
    seen = np.union1d(*asked[0])
    rest = np.setdiff1d(np.arange(400), seen)[:100]
    left, right = np.repeat(rest, len(rest)), np.tile(rest, len(rest))
    truth = UTILITIES[name](X, rest, rest).ravel()
    found = network.predict(X[left], X[right])
    assert found.dtype == np.float64
    unexplained = ((found - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert 1 - unexplained == pytest.approx(report["r2"], abs=0.1)


def test_a_utility_without_pattern_is_reported_as_such():
    noise = np.random.default_rng(1).normal(size=(400, 400))
    report = InfluenceNetwork(sample=80).fit(vectors(), noise).report_
    assert report["r2"] < 0.1
    assert abs(report["rank_correlation"]) < 0.2


def test_the_same_twice_and_in_any_order_of_the_rows():
    X = vectors(120)
    matrix = X @ X.T
    ids = np.array([f"{row:03}" for row in np.random.default_rng(0).permutation(120)])
    order = np.random.default_rng(1).permutation(120)
    options = {"sample": 40, "epochs": 5}
    first = InfluenceNetwork(**options).fit(X, matrix, ids=ids)
    again = InfluenceNetwork(**options).fit(X, lambda a, b: matrix[np.ix_(a, b)], ids=ids)
    other = InfluenceNetwork(**options).fit(X[order], matrix[np.ix_(order, order)], ids=ids[order])
    expected = first.predict(X[:50], X[50:100])
    np.testing.assert_array_equal(again.predict(X[:50], X[50:100]), expected)
    np.testing.assert_array_equal(other.predict(X[:50], X[50:100]), expected)
    assert first.report_ == other.report_
    seeded = InfluenceNetwork(**options, random_state=1).fit(X, matrix, ids=ids)
    assert seeded.report_["r2"] != first.report_["r2"]


def test_a_graph_holds_the_utilities_of_its_edges():
    X = vectors(80)
    network = InfluenceNetwork(sample=60).fit(X, lambda left, right: X[left] @ X[right].T - 1)
    base = knn(X, 5, ids=[f"{row:02}" for row in range(80)])
    base.neighbors[3, 2:] = -1
    graph = network.graph(base, X)
    rows = np.repeat(np.arange(80), np.diff(base.indptr))
    edges = network.predict(X[rows], X[base.indices])
    rows_near, _ = np.nonzero(base.neighbors >= 0)
    near = network.predict(X[rows_near], X[base.neighbors[base.neighbors >= 0]])
    highest = max(edges.max(), near.max())
    np.testing.assert_allclose(graph.weights, np.maximum(edges, 0) / highest, atol=1e-6)
    assert graph.weights.min() == 0
    assert graph.weights.max() <= 1
    assert graph.ids == base.ids
    np.testing.assert_array_equal(graph.indices, base.indices)
    assert (np.sort(graph.neighbors, axis=1) == np.sort(base.neighbors, axis=1)).all()
    assert (graph.similarities[:, :-1] >= graph.similarities[:, 1:]).all()
    assert graph.neighbors[3, 2:].tolist() == [-1] * 3
    assert np.isneginf(graph.similarities[3, 2:]).all()
    assert len(FacilityLocationSelector(budget=9).fit(graph=graph).indices_) == 9


def test_facility_location_on_learned_utilities_is_near_that_on_true_ones():
    images = pl.read_parquet(shared("cifar10_vectors.parquet")).filter(split="train")[:2_000]
    X = np.stack(images["vec"].to_numpy()).astype(np.float32)[:, :24]
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)

    def utility(left, right):
        return unit[left] @ unit[right].T

    network = InfluenceNetwork(sample=160, epochs=30).fit(X, utility)
    assert network.report_["r2"] > 0.8
    base = SimilarityGraph.from_vectors(X, k=15)
    chosen = FacilityLocationSelector(budget=60).fit(graph=network.graph(base, X)).indices_
    dense = utility(np.arange(2_000), np.arange(2_000))
    random = [
        dense[:, RandomSelector(budget=60, random_state=seed).fit(X).indices_].max(axis=1).mean()
        for seed in range(10)
    ]
    assert dense[:, chosen].max(axis=1).mean() > np.mean(random) + 2 * np.std(random)


def test_very_small_pools():
    X = vectors(3)
    network = InfluenceNetwork(epochs=2).fit(X, np.ones((3, 3)))
    assert network.report_["r2"] is None
    np.testing.assert_allclose(network.predict(X, X), 1, atol=2)
    assert network.predict(X[:0], X[:0]).shape == (0,)
    with pytest.raises(InputError, match="at least 2"):
        InfluenceNetwork().fit(X[:1], np.ones((1, 1)))


def test_what_can_not_be_learned_is_refused():
    X = vectors(50)
    for utility in (np.ones((50, 49)), np.ones(50), lambda left, right: np.ones(len(left)), "u"):
        with pytest.raises(InputError, match="shape"):
            InfluenceNetwork(sample=45).fit(X, utility)
    with pytest.raises(NonFiniteError):
        InfluenceNetwork().fit(X, np.full((50, 50), np.nan))
    for options in (
        {"sample": 1},
        {"hidden": 0},
        {"epochs": 1.5},
        {"batch_size": True},
        {"learning_rate": 0},
        {"random_state": -1},
    ):
        with pytest.raises(ConfigError, match=next(iter(options))):
            InfluenceNetwork(**options).fit(X, np.ones((50, 50)))
    with pytest.raises(Exception, match="not fitted"):
        InfluenceNetwork().predict(X, X)
    network = InfluenceNetwork(sample=20, epochs=1).fit(X, X @ X.T)
    with pytest.raises(InputError, match="shapes"):
        network.predict(X, X[:3])
    with pytest.raises(InputError, match="columns"):
        network.predict(X[:, :2], X[:, :2])
    with pytest.raises(InputError, match="graph has 50"):
        network.graph(knn(X, 3), X[:40])
    assert clone(network).get_params() == network.get_params()


def test_the_network_is_imported_only_where_it_is_trained():
    code = (
        "import sys; import assay.selection.algorithms.influence_network;"
        "print([m for m in ('sklearn.neural_network', 'sklearn.decomposition', 'torch')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
