"""Exact search by codes against exact search by BLAS, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from assay.index.knn.exact_join import exact_join
from assay.index.knn.layout import encoded
from assay.index.vectors.exact import BlockScan, block_knn, row_squares
from tests.data import shared

METRICS = ["l2", "cosine", "ip"]
N = 2_300


def plain(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 24))


def far_from_the_origin(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 17)) * 1e-3 + 1e4


def tiny(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 9)) * 1e-18


def huge(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 9)) * 1e17


def one_enormous_row(rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(N, 12))
    X[17] *= 1e17
    return X


def rows_far_out(rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(N, 12))
    X[:40] *= 1e4
    return X


def heavy_tails(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 20)) * np.exp(2 * rng.normal(size=(N, 1)))


def near_copies(rng: np.random.Generator) -> np.ndarray:
    centers = rng.normal(size=(30, 40))
    return centers[rng.integers(30, size=N)] + 1e-5 * rng.normal(size=(N, 40))


def one_column(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 1))


def on_a_grid(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-3, 4, size=(N, 4)) + 0.0


def wide(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(600, 4_096))


KINDS = [
    plain, far_from_the_origin, tiny, huge, one_enormous_row, rows_far_out, heavy_tails, near_copies,
    one_column, on_a_grid, wide,
]  # fmt: skip


def assert_equal(X: np.ndarray, metric: str, k: int, threads: int) -> None:
    everyone = np.arange(len(X))
    layout = encoded(X, everyone, row_squares(X), metric)
    keys, rows = exact_join(layout, k, threads=threads)
    expected = block_knn(X, BlockScan(X, metric), k, everyone)
    np.testing.assert_array_equal(keys, expected[0])
    np.testing.assert_array_equal(rows, expected[1])
    some = everyone[:: len(X) // 50]
    keys, rows = layout.search(some, k, threads=threads)
    np.testing.assert_array_equal(keys, expected[0][some])
    np.testing.assert_array_equal(rows, expected[1][some])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_lists_are_those_of_the_search_by_blas(kind, metric: str) -> None:
    X = np.ascontiguousarray(kind(np.random.default_rng(3)), np.float32)
    assert_equal(X, metric, 7, threads=2)


@pytest.mark.parametrize("k", [1, 31, 200])
def test_lists_of_any_length(k: int) -> None:
    X = np.random.default_rng(4).normal(size=(N, 10)).astype(np.float32)
    assert_equal(X, "l2", k, threads=1)


@pytest.mark.parametrize("metric", METRICS)
def test_real_vectors(metric: str) -> None:
    import polars as pl

    frame = pl.read_parquet(shared("cifar10_vectors.parquet"), columns=["vec"])
    X = np.ascontiguousarray(frame["vec"].to_numpy()[:5_000], np.float32)
    X = X[np.sort(np.unique(X, axis=0, return_index=True)[1])]
    assert_equal(X, metric, 15, threads=2)
