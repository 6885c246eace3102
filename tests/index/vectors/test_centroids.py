"""Centroids: what the assignment of rows to them holds in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np

from assay.index.vectors.centroids import assign


def test_assigning_rows_holds_the_products_of_few_of_them() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 8)).astype(np.float32)
    centroids = X[:1_000].copy()
    expected = assign(X, centroids, "l2", 1)
    tracemalloc.start()
    try:
        assert np.array_equal(assign(X, centroids, "l2", 1), expected)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the products of 8,192 rows alone are 32 MB
    assert peak < 16e6
