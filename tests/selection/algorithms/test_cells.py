from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assay.selection.algorithms.cells import cluster, nearest, places, prepared


def blobs(sizes, d=6, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    centers = 4 * np.eye(max(d, len(sizes)))[: len(sizes), :]
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    X = centers[of_row] + spread * rng.normal(size=(len(of_row), centers.shape[1]))
    order = rng.permutation(len(X))
    return X[order].astype(np.float32), of_row[order]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_separate_blobs_are_the_cells(metric):
    X, of_row = blobs([50, 20, 5, 80])
    noise = np.random.default_rng(1).random(len(X))
    cells = cluster(prepared(X, metric), 8, metric, noise, resampling=2)
    # no cell spans two blobs, and none is empty
    assert all(len(set(of_row[cells.of_row == cell])) == 1 for cell in range(len(cells.centroids)))
    assert np.bincount(cells.of_row).min() > 0


def test_the_clusters_are_about_as_tight_as_those_of_scikit_learn():
    from sklearn.cluster import KMeans

    X = np.random.default_rng(0).normal(size=(380, 4)).astype(np.float32)
    cells = cluster(X, 12, "l2", np.random.default_rng(1).random(380), iterations=30)
    own = ((X - cells.centroids[cells.of_row]) ** 2).sum()
    theirs = KMeans(12, n_init=1, max_iter=30, random_state=0).fit(X)
    assert own < 1.05 * theirs.inertia_
    # a fixed point of Lloyd's step: centroids are the means of their cells
    converged = cluster(X, 12, "l2", np.random.default_rng(1).random(380), iterations=300)
    means = np.stack([X[converged.of_row == c].mean(axis=0) for c in range(12)])
    np.testing.assert_allclose(converged.centroids, means, atol=1e-5)


def test_resampling_moves_centroids_into_sparse_regions():
    rng = np.random.default_rng(0)
    dense, sparse = rng.normal(0, 0.1, (900, 2)), rng.uniform(1, 3, (100, 2))
    X = np.concatenate([dense, sparse]).astype(np.float32)
    noise = rng.random(len(X))
    plain = cluster(X, 20, "l2", noise)
    moved = cluster(X, 20, "l2", noise, resampling=5)
    assert (moved.centroids.max(axis=1) > 0.7).sum() > (plain.centroids.max(axis=1) > 0.7).sum()


def test_fewer_cells_where_fewer_rows_differ():
    X = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    for metric in ("cosine", "l2"):
        cells = cluster(X, 7, metric, np.linspace(0.1, 0.9, 12), resampling=1)
        assert len(cells.centroids) == 3
        assert len({tuple(row) for row in np.c_[cells.of_row, X].tolist()}) == 3
    zeros = cluster(np.zeros((5, 2), np.float32), 2, "cosine", np.linspace(0.1, 0.9, 5))
    assert zeros.of_row.tolist() == [0] * 5


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (9, 2), elements=st.integers(-3, 3)), st.integers(1, 9))
def test_every_row_is_in_its_nearest_cell(X, count):
    cells = cluster(X, count, "l2", np.linspace(0.1, 0.9, 9), iterations=3)
    squares = ((X[:, None] - cells.centroids[None]).astype(np.float64) ** 2).sum(axis=2)
    own = squares[np.arange(9), cells.of_row]
    np.testing.assert_allclose(own, squares.min(axis=1), atol=1e-5)
    np.testing.assert_array_equal(nearest(X, cells.centroids, "l2"), cells.of_row)
    assert set(cells.of_row.tolist()) == set(range(len(cells.centroids)))


def test_places_count_within_each_cell():
    cells = np.array([1, 0, 1, 1, 3])
    assert places(cells, np.array([0.5, 0.1, 0.2, 0.5, 0.0])).tolist() == [1, 0, 0, 2, 0]


def test_many_cells_are_made_in_two_steps(monkeypatch):
    """They are nearly as tight as those of one step, full, and hold whole groups of equal rows."""
    X, kind = blobs([900, 500, 100, 60, 4_000], spread=0.3)
    noise = np.random.default_rng(1).random(len(X))
    two = cluster(X, 1_200, "l2", noise)
    monkeypatch.setattr("assay.selection.algorithms.cells.AT_ONCE", 1_200)
    one = cluster(X, 1_200, "l2", noise)
    assert abs(len(two.centroids) - 1_200) <= 40
    assert set(two.of_row.tolist()) == set(range(len(two.centroids)))
    spread = [((X - cells.centroids[cells.of_row]) ** 2).sum() for cells in (one, two)]
    assert spread[1] < 1.25 * spread[0]
    assert all(len(set(kind[two.of_row == cell])) == 1 for cell in range(len(two.centroids)))


def test_two_steps_of_few_different_rows():
    X = np.repeat(np.eye(5, dtype=np.float32), [1, 2, 1_500, 3, 900], axis=0)
    cells = cluster(X, 1_100, "cosine", np.random.default_rng(0).random(len(X)))
    assert len(cells.centroids) == 5
    np.testing.assert_array_equal(cells.centroids[cells.of_row], X)
