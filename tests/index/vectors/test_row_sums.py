"""Sums of rows against one addition after the other, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from assay.index.vectors._row_sums import AHEAD, add_products, add_rows
from assay.index.vectors.centroids import means_of_cells


def one_by_one(places: np.ndarray, weights: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    out = np.zeros(matrix.shape[1], matrix.dtype)
    for place, weight in zip(places, weights, strict=True):
        out = out + weight * matrix[place]
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 3, 128, 700])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, AHEAD, AHEAD + 5, 200])
def test_sums_are_those_of_one_addition_after_the_other(dtype, columns, count) -> None:
    rng = np.random.default_rng(count)
    matrix = rng.normal(size=(50, columns)).astype(dtype)
    places, weights = rng.integers(0, 50, count), rng.normal(size=count).astype(dtype)
    out = np.zeros(columns, dtype)
    # what lies behind the first `count` places is not read
    more_places = np.append(places, 10**9).astype(np.int32)
    more_weights = np.append(weights, np.nan).astype(dtype)
    add_rows(more_places, more_weights, count, matrix, out)
    assert np.array_equal(out, one_by_one(places, weights, matrix))


@pytest.mark.parametrize("count", [0, 3, 4, AHEAD + 5, 200])
def test_rows_of_whole_numbers_are_added_as_floats(count) -> None:
    rng = np.random.default_rng(count)
    matrix = rng.integers(-128, 128, (50, 70)).astype(np.int8)
    places = rng.integers(0, 50, count).astype(np.int32)
    weights = rng.normal(size=count).astype(np.float32)
    out = np.zeros(70, np.float32)
    add_rows(places, weights, count, matrix, out)
    assert np.array_equal(out, one_by_one(places, weights, matrix.astype(np.float32)))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 30), st.floats(0, 1))
def test_products_with_sparse_rows(seed, rows, columns, density) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < density)
    sparse, matrix = csr_array(dense), rng.normal(size=(columns, 5))
    out = np.ones((rows, 5))
    add_products(sparse.indptr, sparse.indices, sparse.data, matrix, out)
    np.testing.assert_allclose(out, 1 + dense @ matrix, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_means_of_cells_are_those_of_one_addition_after_the_other(dtype, n) -> None:
    rng = np.random.default_rng(n)
    X = (rng.normal(size=(n, 9)) * 10.0 ** rng.integers(-9, 9, (n, 1))).astype(np.float32)
    # some cells have no rows
    cells = (rng.integers(0, 6, n) * 2).astype(dtype)
    sizes, full, means = means_of_cells(X, cells, 14)
    assert sizes.tolist() == [int((cells == cell).sum()) for cell in range(14)]
    assert full.tolist() == sorted(set(cells.tolist()))
    for cell, mean in zip(full, means, strict=True):
        rows = X[cells == cell].astype(np.float64)
        assert np.array_equal(
            mean, one_by_one(np.arange(len(rows)), np.ones(len(rows)), rows) / len(rows)
        )
