from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.selection.evaluation.label_noise import noise_transition
from assay.storage.errors import InputError
from tests.data import shared

T = np.array([[0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.0, 0.3, 0.7]])


def noisy(n=6000, seed=0):
    """Nearly certain classes, labels drawn by T, and the exact probabilities of labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    f = 0.96 * np.eye(3)[truth] + 0.04 * rng.dirichlet(np.ones(3), n)
    truth = (f.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    y = (T[truth].cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return f, truth, y, f @ T


def test_a_known_matrix_is_found():
    f, truth, y, P = noisy()
    found = noise_transition(y=y, probabilities=P)
    np.testing.assert_allclose(found.matrix, T, atol=0.05)
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1)
    assert found.joint.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.joint.sum(axis=0), np.bincount(y) / len(y))
    np.testing.assert_allclose(found.posterior, f, atol=0.15)
    oracle = f[np.arange(len(y)), y] / P[np.arange(len(y)), y]
    oracle *= len(y) / oracle.sum()
    assert found.weights.mean() == pytest.approx(1)
    assert np.corrcoef(found.weights, oracle)[0, 1] > 0.95
    assert found.weights[truth == y].mean() > 5 * found.weights[truth != y].mean()


def test_clean_labels_give_the_identity_and_equal_weights():
    y = np.repeat([0, 1, 2], 20)
    found = noise_transition(y=y, probabilities=np.eye(3)[y])
    np.testing.assert_allclose(found.matrix, np.eye(3))
    np.testing.assert_allclose(found.weights, 1)
    assert noise_transition(y=["a"] * 4, probabilities=np.ones((4, 1))).weights.tolist() == [1] * 4


def test_resampled_rows_are_mostly_clean():
    _, truth, y, P = noisy()
    found = noise_transition(y=y, probabilities=P)
    drawn = found.resample(6000)
    before, after = (truth != y).mean(), (truth[drawn] != y[drawn]).mean()
    assert before > 0.15
    assert after < before / 3
    np.testing.assert_array_equal(drawn, found.resample(6000))
    expected = found.weights / found.weights.sum()
    many = np.bincount(found.resample(600_000), minlength=6000) / 600_000
    np.testing.assert_allclose(many, expected, atol=6 * np.sqrt(expected.max() / 600_000))


def test_the_order_of_the_rows_does_not_matter():
    _, _, y, P = noisy(300)
    ids = np.array([f"id {i}" for i in range(300)])
    order = np.random.default_rng(1).permutation(300)
    first = noise_transition(y=y, probabilities=P, ids=ids)
    other = noise_transition(y=y[order], probabilities=P[order], ids=ids[order])
    np.testing.assert_array_equal(first.weights[order], other.weights)
    np.testing.assert_array_equal(first.matrix, other.matrix)
    assert ids[first.resample(50)].tolist() == ids[order][other.resample(50)].tolist()


def test_many_classes_are_merged():
    y = np.concatenate([np.repeat(np.arange(3), 40), np.arange(3, 230)])
    X = np.random.default_rng(0).normal(size=(len(y), 4))
    found = noise_transition(X, y)
    assert found.matrix.shape == (200, 200)
    assert np.isfinite(found.weights).all()


def test_rows_without_a_label_and_missing_inputs():
    _, _, y, P = noisy(50)
    some = [None if i < 5 else str(label) for i, label in enumerate(y)]
    found = noise_transition(y=some, probabilities=P)
    assert found.weights[:5].tolist() == [0] * 5
    assert found.weights.mean() == pytest.approx(1)
    with pytest.raises(InputError, match="needs labels"):
        noise_transition(probabilities=P, ids=np.arange(50))
    with pytest.raises(InputError, match="needs X or"):
        noise_transition(y=y)


def test_the_noise_of_labels_that_people_gave():
    images = pl.read_parquet(shared("cifar10_vectors.parquet")).filter(pl.col("split") == "train")
    both = images.join(pl.read_parquet(shared("cifar10n_labels.parquet")), on="idx").sort("idx")
    both = both.head(6_000)
    X = np.array(both["vec"].to_list(), dtype=np.float32)
    graph = SimilarityGraph.from_vectors(X, k=15, metric="cosine")
    y, clean = both["worse"].to_numpy(), both["clean"].to_numpy()
    found = noise_transition(X, y, graph=graph)
    truth = np.zeros((10, 10))
    np.add.at(truth, (clean, y), 1)
    truth /= truth.sum(axis=1, keepdims=True)
    # nearer to the truth than taking the labels at their word
    assert np.abs(found.matrix - truth).sum() < 0.8 * np.abs(np.eye(10) - truth).sum()
    drawn = found.resample(6_000)
    assert (y[drawn] != clean[drawn]).mean() < 0.85 * (y != clean).mean()
