"""An index of codes against exact search by NumPy: what it finds, its size, changes and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import VectorIndex
from assay.storage.disk import checksums
from assay.storage.errors import ConfigError, CorruptArtifactError, InputError
from tests.index.search.test_files import flips_unnoticed

KINDS = ["flat", "ivf", "hnsw"]
METRICS = ["cosine", "l2", "ip"]
CODED = ["float16", "int8"]


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1_500, 32)).astype(np.float32) + 0.5


@pytest.fixture(scope="module")
def Q() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(60, 32)).astype(np.float32) + 0.5


def distances(Q: np.ndarray, X: np.ndarray, metric: str) -> np.ndarray:
    Q, X = Q.astype(np.float64), X.astype(np.float64)
    if metric == "l2":
        return np.linalg.norm(Q[:, None] - X[None], axis=2)
    if metric == "cosine":
        lengths = np.linalg.norm(X, axis=1)
        X = X / np.where(lengths > 0, lengths, 1)[:, None]
        lengths = np.linalg.norm(Q, axis=1)
        Q = Q / np.where(lengths > 0, lengths, 1)[:, None]
    return -(Q @ X.T)


def everything(index: VectorIndex) -> dict[str, int]:
    return {} if index.kind_ == "flat" else {"probes": 2_000}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", CODED)
def test_codes_find_nearly_all_and_vectors_beside_them_all(
    X: np.ndarray, Q: np.ndarray, metric: str, kind: str, storage: str
) -> None:
    index = VectorIndex.from_vectors(X, metric=metric, kind=kind, storage=storage)
    exact = distances(Q, X, metric)
    kth = np.sort(exact, axis=1)[:, 9:10]
    _, alone = index.search(Q, 10, **everything(index))
    assert (np.take_along_axis(exact, alone, 1) <= kth).mean() > (
        0.8 if storage == "int8" else 0.97
    )
    values, found = index.search(Q, 10, vectors=X, **everything(index))
    told = np.take_along_axis(exact, found, 1)
    assert (told <= kth + 1e-9).mean() > (0.999 if kind != "hnsw" else 0.97)
    np.testing.assert_allclose(values, told if metric == "l2" else -told, rtol=1e-5)


@pytest.mark.parametrize(("storage", "size"), [("float16", 2), ("int8", 1)])
def test_the_file_is_a_half_or_a_quarter(
    X: np.ndarray, storage: str, size: int, tmp_path: Path
) -> None:
    index = VectorIndex.from_vectors(X, kind="flat", storage=storage)
    index.save(tmp_path)
    assert (tmp_path / "index.faiss").stat().st_size < size * X.size + 200
    assert f"storage='{storage}'" in repr(index)


@given(
    st.integers(1, 40), st.integers(1, 24), st.sampled_from(METRICS), st.sampled_from(KINDS),
    st.sampled_from(CODED), st.integers(-12, 12), st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_small_indexes_are_exact_by_the_vectors_at_any_scale(
    n: int, d: int, metric: str, kind: str, storage: str, scale: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, d)) * 10.0**scale).astype(np.float32)
    # rows of zeros, and equal ones
    X[rng.random(n) < 0.2] = 0
    X[rng.random(n) < 0.2] = X[0]
    X[-1, 0] = 10.0**scale
    Q = np.concatenate([X[:3], (rng.normal(size=(2, d)) * 10.0**scale).astype(np.float32)])
    index = VectorIndex.from_vectors(X, metric=metric, kind=kind, storage=storage)
    k = min(n, 5)
    _, found = index.search(Q, k, vectors=X, **everything(index))
    exact = distances(Q, X, metric)
    expected = np.sort(exact, axis=1)[:, :k]
    got = np.take_along_axis(exact, found, 1)
    slack = 1e-6 * (np.abs(exact).max() if metric != "cosine" else 1.0)
    assert (found >= 0).all()
    assert (np.abs(got - expected) <= slack).all()


def test_rows_of_zeros_have_the_cosine_zero_to_all() -> None:
    X = np.concatenate([np.zeros((100, 6)), -np.eye(6)]).astype(np.float32)
    for storage in CODED:
        index = VectorIndex.from_vectors(X, storage=storage)
        values, found = index.search(np.eye(6)[:1], 105)
        assert found[0, :6].min() >= 0
        np.testing.assert_allclose(values[0, :104], np.zeros(104), atol=0.01)
        near = VectorIndex.from_vectors(np.abs(X) * 0.01, storage=storage)
        assert near.search(np.ones((1, 6)), 6)[1].min() >= 100


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", CODED)
def test_rows_that_are_added_later_may_be_longer(
    X: np.ndarray, metric: str, kind: str, storage: str, tmp_path: Path
) -> None:
    ids = [f"n{i}" for i in range(len(X))]
    index = VectorIndex.from_vectors(
        X[:1_000], ids=ids[:1_000], metric=metric, kind=kind, storage=storage
    )
    longer = (40 if storage == "float16" else 3) * X[1_000:]
    index.add(longer, ids=ids[1_000:])
    index.remove(ids[:300])
    rows = np.concatenate([X[300:1_000], longer])
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path)
    for Q in (rows[:20], rows[-20:]):
        given = {"vectors": rows, **everything(index)}
        values, found = index.search(Q, 3, **given)
        for one, other in zip(loaded.search(Q, 3, **given), (values, found), strict=True):
            np.testing.assert_array_equal(one, other)
        exact = distances(Q, rows, metric)
        hits = np.take_along_axis(exact, found, 1) <= np.sort(exact, axis=1)[:, 2:3] + 1e-9
        assert hits.mean() >= (0.99 if kind != "hnsw" else 0.8)


@pytest.mark.parametrize("storage", CODED)
def test_filters_and_functions_of_positions(X: np.ndarray, Q: np.ndarray, storage: str) -> None:
    index = VectorIndex.from_vectors(X, kind="ivf", storage=storage)
    among = np.arange(0, 1_500, 3)
    exact = distances(Q, X[among], "cosine")
    _, found = index.search(Q, 4, among=among, vectors=lambda at: X[at])
    np.testing.assert_array_equal(found, among[np.argsort(exact, axis=1)[:, :4]])
    with pytest.raises(InputError, match=r"`vectors` must be the rows that are in the index"):
        index.search(Q, 4, vectors=X[:-1])


@pytest.mark.parametrize("storage", CODED)
def test_results_do_not_depend_on_batches_or_order(
    X: np.ndarray, Q: np.ndarray, storage: str
) -> None:
    ids = [f"n{i * 7 % len(X)}" for i in range(len(X))]
    index = VectorIndex.from_vectors(X, ids=ids, metric="l2", kind="ivf", storage=storage)
    values, found = index.search(Q, 6)
    alone = index.search(Q[7:8], 6)
    np.testing.assert_array_equal(alone[0][0], values[7])
    np.testing.assert_array_equal(alone[1][0], found[7])
    perm = np.random.default_rng(2).permutation(len(X))
    moved = VectorIndex.from_vectors(
        X[perm], ids=[ids[i] for i in perm], metric="l2", kind="ivf", storage=storage
    )
    np.testing.assert_array_equal(moved.search(Q, 6)[0], values)
    np.testing.assert_array_equal(perm[moved.search(Q, 6)[1]], found)


def test_no_damage_goes_unnoticed_and_a_mapped_index_finds_the_same(
    X: np.ndarray, Q: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 512)
    index = VectorIndex.from_vectors(X, metric="l2", kind="ivf", storage="int8")
    index.save(tmp_path)
    lists = len(index.centroids)

    def use() -> VectorIndex:
        mapped = VectorIndex.load(tmp_path, mmap=True)
        mapped.search(Q[:1], 3, probes=lists)
        return mapped

    for got, expected in zip(use().search(Q, 5), index.search(Q, 5), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert flips_unnoticed(tmp_path, use, 200, 4) == []
    with (tmp_path / "index.json").open("a") as file:
        file.write(" ")
    with pytest.raises(CorruptArtifactError, match=r"index\.json"):
        VectorIndex.load(tmp_path)


def test_storages_are_named_where_one_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"storage.*float32.*float16.*int8"):
        VectorIndex(storage="int4")
    with pytest.raises(InputError, match="storage='int8' compares in float32"):
        VectorIndex.from_vectors([[1e25, 0], [0, 1e25]], metric="l2", storage="int8")
