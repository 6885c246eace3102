"""The nearest row of each query, in one block, against the lists of one row and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from assay.index.vectors.centroids import assign
from assay.index.vectors.exact import BlockScan, block_knn
from tests.index.vectors.test_code_search import CASES, METRICS


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("rows", [1, 5, 64, 300])
def test_nearest_is_the_first_of_the_list(name: str, metric: str, rows: int) -> None:
    rng = np.random.default_rng(7)
    Q = np.ascontiguousarray(CASES[name](rng), np.float32)
    X = np.ascontiguousarray(Q[rng.permutation(len(Q))[:rows]])
    rank = rng.permutation(rows).astype(np.int32)
    searched = BlockScan(X, metric, rank)
    _, expected = block_knn(Q, searched, 1, np.full(len(Q), -1))
    np.testing.assert_array_equal(searched.nearest(Q), expected[:, 0])


def test_of_two_as_near_the_first_by_rank() -> None:
    X = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    Q = np.array([[2, 0], [0, 0]], np.float32)
    assert BlockScan(X, "cosine", np.array([2, 1, 0], np.int32)).nearest(Q).tolist() == [2, 2]
    assert BlockScan(X, "cosine").nearest(Q).tolist() == [0, 0]


@pytest.mark.parametrize("count", [7, 1_024, 1_500])
def test_assignment_is_that_of_the_distances(count: int) -> None:
    rng = np.random.default_rng(3)
    X, centroids = (rng.normal(size=(n, 24)).astype(np.float32) for n in (9_000, count))
    apart = (centroids.astype(np.float64) ** 2).sum(axis=1) / 2 - X.astype(np.float64) @ centroids.T
    np.testing.assert_array_equal(assign(X, centroids, "l2", 1)[:, 0], apart.argmin(axis=1))
