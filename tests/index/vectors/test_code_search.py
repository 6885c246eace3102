"""Exact search by codes against exact search by BLAS, to the bit, and against NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.vectors import _tiles, codes
from assay.index.vectors._code_kernels import code_keys
from assay.index.vectors._search_kernels import distance_within, limit_within
from assay.index.vectors.code_search import CodedRows, codes_pay, exact_knn
from assay.index.vectors.codes import TILES
from assay.index.vectors.exact import BlockScan, block_knn, row_squares
from tests.data import shared

KINDS = [name for name in _tiles.KINDS if codes._works(name)]
METRICS = ["l2", "cosine", "ip"]
N = 900
Make = Callable[[np.random.Generator], np.ndarray]


def scaled(scale: float, d: int = 9, shift: float = 0.0) -> Make:
    return lambda rng: (rng.normal(size=(N, d)) + shift) * scale


def some_enormous(count: int, factor: float) -> Make:
    def make(rng: np.random.Generator) -> np.ndarray:
        X = rng.normal(size=(N, 12))
        X[17 : 17 + count] *= factor
        return X

    return make


def heavy_tails(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 20)) * np.exp(2 * rng.normal(size=(N, 1)))


def near_copies(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(30, 40))[rng.integers(30, size=N)] + 1e-5 * rng.normal(size=(N, 40))


def copies(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(7, 40))[rng.integers(7, size=N)]


def on_a_grid(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(-3, 4, size=(N, 4)) + 0.0


def zeros_among(rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(N, 6))
    X[rng.random(N) < 0.3] = 0
    return X


def mostly_zeros(rng: np.random.Generator) -> np.ndarray:
    X = np.zeros((N, 5))
    X[:3] = rng.normal(size=(3, 5))
    return X


CASES: dict[str, Make] = {
    "plain": scaled(1.0, 24),
    "far from the origin": scaled(1e-3, 17, 1e7),
    "tiny": scaled(1e-20),
    "huge": scaled(1e17),
    "one enormous row": some_enormous(1, 1e17),
    "some enormous rows": some_enormous(9, 1e18),
    "rows far out": some_enormous(40, 1e4),
    "heavy tails": heavy_tails,
    "near copies": near_copies,
    "copies": copies,
    "grid": on_a_grid,
    "one column": scaled(1.0, 1),
    "two columns": scaled(1.0, 2, 3.0),
    "wide": scaled(1.0, 4_096),
    "wide and odd": scaled(1.0, 3_001),
    "zeros among them": zeros_among,
    "mostly zeros": mostly_zeros,
    "nothing but zeros": lambda rng: np.zeros((N, 3)),
}


def assert_equal(
    Q: np.ndarray, X: np.ndarray, metric: str, k: int, itself: np.ndarray, threads: int = 1
) -> None:
    rank = np.random.default_rng(1).permutation(len(X)).astype(np.int32)
    expected = block_knn(Q, BlockScan(X, metric, rank), k, itself)
    coded = CodedRows(X, row_squares(X), metric, rank)
    keys, rows = coded.knn(Q, k, itself, threads=threads)
    np.testing.assert_array_equal(keys, expected[0])
    np.testing.assert_array_equal(rows, expected[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("case", CASES)
def test_what_is_found_is_what_blas_finds(
    case: str, metric: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TILES, kind)
    X = np.ascontiguousarray(CASES[case](np.random.default_rng(3)), np.float32)
    wide = X.shape[1] > 1_000
    X = X[:300] if wide else X
    for k in (4,) if wide else (1, 7):
        assert_equal(X, X, metric, k, np.arange(len(X)))
        # queries of another kind
        Q = np.ascontiguousarray(X[:40] * np.float32(1.5) + X.std(), np.float32)
        assert_equal(Q, X, metric, k, np.full(len(Q), -1))


@pytest.mark.parametrize("metric", METRICS)
def test_queries_of_any_length(metric: str) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(700, 16)).astype(np.float32)
    Q = rng.normal(size=(60, 16)) * 10.0 ** rng.integers(-19, 18, size=(60, 1))
    Q[0], Q[1] = 0, X[3]
    assert_equal(Q.astype(np.float32), X, metric, 5, np.full(60, -1))


def test_parts_are_searched_in_several_threads() -> None:
    X = np.random.default_rng(6).normal(size=(4_500, 6)).astype(np.float32)
    assert_equal(X, X, "cosine", 3, np.arange(4_500), threads=2)


@pytest.mark.parametrize("k", [1, 2, 31, 50, 300])
def test_lists_of_any_length(k: int) -> None:
    rng = np.random.default_rng(4)
    # more rows than are packed at once, and fewer than are asked for
    for n in (5_000, 40):
        X = rng.normal(size=(n, 10)).astype(np.float32)
        assert_equal(X[::17].copy(), X, "l2", k, np.arange(0, n, 17), threads=2)


@pytest.mark.parametrize("metric", METRICS)
def test_real_vectors(metric: str) -> None:
    frame = pl.read_parquet(shared("cifar10_vectors.parquet"), columns=["vec"])
    X = np.ascontiguousarray(frame["vec"].to_numpy()[:6_000], np.float32)
    Q = np.ascontiguousarray(X[:1_000])
    itself = np.arange(1_000)
    assert_equal(Q, X, metric, 15, itself)
    # many queries go by codes, few by BLAS
    searched = BlockScan(X, metric)
    assert codes_pay(searched, 1_000, 15)
    assert not codes_pay(searched, 1, 15)
    found, expected = exact_knn(Q, searched, 15), block_knn(Q, searched, 15, np.full(1_000, -1))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 70), spread=st.sampled_from([1e-4, 1.0, 1e3]))
def test_limits_hold_for_every_pair(metric: str, seed: int, d: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(40, d)) * spread + rng.normal(size=d)).astype(np.float32)
    coded = CodedRows(X, row_squares(X), metric, np.arange(40, dtype=np.int32))
    mine = coded.codes
    pairs = np.indices((40, 40)).reshape(2, -1)
    keys = np.empty(1_600, np.float32)
    code_keys(mine.codes, mine.facts, pairs[0], mine.codes, mine.facts, pairs[1], keys)
    keys = keys.reshape(40, 40)
    Y = X.astype(np.float64) * coded.frame.power
    if metric == "cosine":
        Y = X / np.linalg.norm(X.astype(np.float64), axis=1)[:, None]
    true = np.linalg.norm(Y[:, None] - Y[None], axis=2)
    length = np.sqrt(mine.squares.astype(np.float64))
    lost = mine.errors[:, None].astype(np.float64) + mine.errors
    # what float64 can't tell apart
    same = (d + 8) * 2.0**-51
    for i, j in pairs.T:
        assert keys[i, j] <= limit_within(true[i, j], length[i], lost[i, j], same)
        assert true[i, j] <= distance_within(keys[i, j], length[i], lost[i, j]) + 1e-12
