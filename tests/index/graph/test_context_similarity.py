from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from assay.index import SimilarityGraph
from assay.index.graph.context_similarity import context_neighbors
from assay.storage.errors import ConfigError
from tests.data import shared


@pytest.mark.parametrize("n", [40, 400])
def test_scores_by_the_formula(n: int) -> None:
    X = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    wide = SimilarityGraph.from_vectors(X, k=50)
    near, score = context_neighbors(wide.neighbors, wide.similarities, 15, threads=2)
    W = np.eye(n)
    for i in range(n):
        for j, s in zip(wide.neighbors[i], wide.similarities[i], strict=True):
            if j >= 0:
                W[i, j] = max(s, 0)
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    expected = W * (unit @ unit.T)
    np.testing.assert_allclose(score, np.take_along_axis(expected, near, axis=1), atol=1e-6)
    listed = np.full((n, n), -np.inf)
    for i in range(n):
        row = wide.neighbors[i][wide.neighbors[i] >= 0]
        listed[i, row] = expected[i, row]
    best = -np.sort(-listed, axis=1)[:, :15]
    np.testing.assert_allclose(score, best, atol=1e-6)
    graph = SimilarityGraph.from_vectors(X, k=15, robust="context")
    np.testing.assert_array_equal(graph.neighbors, near)
    np.testing.assert_allclose(graph.similarities, score, atol=1e-6)
    assert graph.report_["robust"] == "context"
    assert graph.k == graph.report_["k"] == 15


def precision(X: np.ndarray, labels: np.ndarray, robust: str | None) -> float:
    graph = SimilarityGraph.from_vectors(X, robust=robust)
    return float((labels[graph.neighbors] == labels[:, None]).mean())


@pytest.mark.parametrize("noise", [4.0, 8.0])
def test_noisy_digits_get_neighbors_of_their_own_kind(noise: float) -> None:
    X, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(1)
    noisy = (X - X.mean(axis=0) + noise * rng.normal(size=X.shape)).astype(np.float32)
    assert precision(noisy, labels, "context") > precision(noisy, labels, None) + 0.03


def test_noisy_real_vectors_get_neighbors_of_their_own_kind() -> None:
    frame = pl.read_parquet(shared("cifar10_vectors.parquet")).head(4_000)
    X = frame["vec"].to_numpy().astype(np.float32)
    labels = frame["label"].to_numpy()
    noisy = X + np.random.default_rng(2).normal(size=X.shape) * X.std(axis=0)
    assert precision(noisy, labels, "context") > precision(noisy, labels, None)


def test_order_of_the_rows_and_threads_change_nothing() -> None:
    X = np.random.default_rng(3).normal(size=(500, 8)).astype(np.float32)
    X[:40] = X[60:100]
    ids = [f"i{i}" for i in range(500)]
    perm = np.random.default_rng(4).permutation(500)
    one = SimilarityGraph.from_vectors(X, ids=ids, robust="context", threads=1)
    other = SimilarityGraph.from_vectors(
        X[perm], ids=[ids[i] for i in perm], robust="context", threads=2
    )
    np.testing.assert_array_equal(perm[other.neighbors], one.neighbors[perm])
    np.testing.assert_array_equal(other.similarities, one.similarities[perm])


def test_few_rows_and_wrong_choices() -> None:
    few = SimilarityGraph.from_vectors([[1.0, 0], [1, 1], [0, 0]], k=3, robust="context")
    assert few.neighbors.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1]]
    assert np.isneginf(few.similarities[:, 1:]).all()
    with pytest.raises(ConfigError, match="robust is "):
        SimilarityGraph.from_vectors([[1.0]], robust="wide")
    with pytest.raises(ConfigError, match="needs metric='cosine'"):
        SimilarityGraph.from_vectors([[1.0]], robust="context", metric="l2")
