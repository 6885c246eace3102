from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from assay.index import SimilarityGraph
from assay.selection.algorithms.representation import propagate, representation_weights
from assay.selection.selectors.random import RandomSelector
from assay.storage.errors import ConfigError, IdError, InputError, MissingInputError
from tests.selection.small_graphs import from_dense, knn


def by_brute_force(X, chosen, rank, metric):
    """Nearest chosen row of every row, ties by rank; chosen rows stay with themselves."""
    X = X.astype(np.float64)
    if metric == "cosine":
        X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-30)
    order = sorted(chosen, key=lambda row: rank[row])
    away = ((X[:, None] - X[None, order]) ** 2).sum(axis=2)
    nearest = np.array(order)[np.argmin(np.round(away, 9), axis=1)]
    nearest[list(chosen)] = list(chosen)
    return nearest


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("seed", range(5))
def test_vectors_equal_brute_force_with_ties_by_id(metric, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, size=(80, 3)) + np.float32(0.25)
    ids = rng.permutation([f"r{i:02}" for i in range(80)])
    chosen = rng.permutation(80)[:13]
    weights, nearest, similarity = representation_weights(chosen, X, ids=ids, metric=metric)
    expected = by_brute_force(X, chosen, np.argsort(np.argsort(ids)), metric)
    np.testing.assert_array_equal(nearest, expected)
    np.testing.assert_array_equal(weights, [(nearest == row).sum() for row in chosen])
    assert weights.sum() == 80
    away = np.linalg.norm(X - X[nearest], axis=1)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = (unit * unit[nearest]).sum(axis=1)
    np.testing.assert_allclose(
        similarity, cosine if metric == "cosine" else 1 / (1 + away), atol=1e-6
    )
    assert (similarity[chosen] == 1).all()


def all_paths(dense, chosen):
    """The greatest product of weights over all paths past no other chosen row."""
    edges = np.minimum(np.array(dense, dtype=np.float64), 1)
    found = np.zeros((len(edges), len(chosen)))
    for column, row in enumerate(chosen):
        others = np.setdiff1d(chosen, [row])
        here = edges.copy()
        here[others] = here[:, others] = 0
        best = np.eye(len(edges))[row]
        for _ in range(len(edges)):
            best = np.maximum(best, (here * best).max(axis=1))
        found[:, column] = best
        found[others, column] = 0
    return found


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 9))
    values = draw(
        st.lists(st.sampled_from([0, 0, 0.5, 0.25, 1, 2]), min_size=n * n, max_size=n * n)
    )
    upper = np.triu(np.array(values).reshape(n, n), 1)
    return upper + upper.T, draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_a_graph_equals_all_paths_with_ties_by_row(case):
    dense, chosen = case
    n, m = len(dense), len(chosen)
    weights, nearest, similarity = representation_weights(chosen, graph=from_dense(dense))
    order = np.sort(chosen)
    products = all_paths(dense, order)
    np.testing.assert_allclose(similarity, products.max(axis=1), rtol=1e-6)
    # powers of two, so that equal products are equal
    joined = products.max(axis=1) > 0
    expected = order[np.argmax(products, axis=1)]
    expected[~joined] = order[np.arange((~joined).sum()) % m]
    expected[order] = order
    np.testing.assert_array_equal(nearest, expected)
    assert weights.sum() == n
    np.testing.assert_array_equal(weights, np.bincount(nearest, minlength=n)[chosen])


@pytest.mark.parametrize("by", ["vectors", "graph"])
def test_the_order_of_the_rows_and_of_the_chosen_does_not_matter(by):
    rng = np.random.default_rng(0)
    X = rng.integers(-2, 3, size=(60, 3)).astype(np.float32) + 0.25
    ids = rng.permutation([f"r{i:02}" for i in range(60)])
    chosen = rng.permutation(60)[:9]
    order = rng.permutation(60)
    back = np.argsort(order)

    def found(X, ids, chosen):
        graph = knn(X, 4, ids=ids)
        return representation_weights(
            chosen, **({"X": X} if by == "vectors" else {"graph": graph}), ids=ids
        )

    weights, nearest, similarity = found(X, ids, chosen)
    other = found(X[order], ids[order], back[chosen[::-1]])
    np.testing.assert_array_equal(weights, other[0][::-1])
    assert ids[nearest][order].tolist() == ids[order][other[1]].tolist()
    np.testing.assert_array_equal(similarity[order], other[2])


def test_a_real_graph_and_the_vectors_agree_on_clusters():
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(6, 16)) * 4
    cluster = np.repeat(np.arange(6), 50)
    X = (centers[cluster] + rng.normal(size=(300, 16))).astype(np.float32)
    chosen = [0, 50, 100, 150, 200, 250]
    for given_ in ({"X": X}, {"graph": SimilarityGraph.from_vectors(X, k=8)}):
        weights, nearest, _ = representation_weights(chosen, **given_)
        assert (cluster[nearest] == cluster).all()
        assert weights.tolist() == [50.0] * 6


def test_selectors_represent_and_propagate():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(70, 4)).astype(np.float32)
    ids = [f"r{i}" for i in rng.permutation(70)]
    selector = RandomSelector(budget=9).fit(X, ids=ids)
    with pytest.raises(NotFittedError, match="represent"):
        selector.propagate(np.arange(9))
    assert selector.weights_.tolist() == [1.0] * 9
    assert selector.represent(X) is selector
    assert selector.weights_.sum() == 70
    expected = by_brute_force(X, selector.indices_, np.argsort(np.argsort(ids)), "cosine")
    np.testing.assert_array_equal(selector.nearest_, expected)
    # what is learnt on the chosen rows reaches the rows that they stand for, themselves too
    np.testing.assert_array_equal(selector.propagate(selector.indices_), selector.nearest_)
    assert selector.propagate(np.ones((9, 3))).shape == (70, 3)
    totals = np.bincount(selector.propagate(np.arange(9)), minlength=9)
    np.testing.assert_array_equal(totals, selector.weights_)
    by_graph = selector.represent(graph=knn(X, 5, ids=np.array(ids)))
    assert by_graph.weights_.sum() == 70
    selector.fit(X, ids=ids)
    assert not hasattr(selector, "nearest_")
    with pytest.raises(NotFittedError):
        RandomSelector(budget=9).represent(X)


def test_wrong_inputs_are_named():
    X = np.eye(3)
    with pytest.raises(MissingInputError, match=r"vectors .*graph"):
        representation_weights([0])
    for chosen in ([], [0, 0], [3], [-1], [0.5], [[0]]):
        with pytest.raises(InputError, match="chosen"):
            representation_weights(chosen, X)
    with pytest.raises(ConfigError, match="metric"):
        representation_weights([0], X, metric="ip")
    with pytest.raises(IdError, match="more than once"):
        representation_weights([0], X, ids=["a", "a", "b"])
    with pytest.raises(InputError, match="1 values for 2"):
        propagate([1.0], [0, 1], [0, 1, 1])
    with pytest.raises(InputError, match="values for 2"):
        propagate(1.0, [0, 1], [0, 1, 1])
