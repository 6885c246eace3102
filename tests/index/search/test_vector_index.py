from __future__ import annotations

import faiss
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import NearestNeighbors

from assay.index import SimilarityGraph, VectorIndex
from assay.storage.errors import (
    ConfigError,
    IdError,
    InputError,
    NonFiniteError,
)
from tests.data import shared

KINDS = ["flat", "ivf", "hnsw"]
METRICS = ["cosine", "l2", "ip"]


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1_200, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def Q() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(150, 10)).astype(np.float32)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return [f"n{i * 7 % 1_200}" for i in range(1_200)]


def truth(Q: np.ndarray, X: np.ndarray, metric: str) -> np.ndarray:
    """Value of every pair, greater is nearer."""
    Q, X = Q.astype(np.float64), X.astype(np.float64)
    if metric == "l2":
        return -np.sqrt(((Q[:, None] - X[None]) ** 2).sum(axis=2))
    values = Q @ X.T
    if metric == "cosine":
        values /= np.linalg.norm(Q, axis=1)[:, None] * np.linalg.norm(X, axis=1)
    return values


@pytest.mark.parametrize("metric", METRICS)
def test_flat_search_is_exact(X: np.ndarray, Q: np.ndarray, metric: str) -> None:
    index = VectorIndex.from_vectors(X, metric=metric, kind="flat")
    values, positions = index.search(Q, 8)
    assert values.dtype == np.float32
    assert positions.dtype == np.int64
    scores = truth(Q, X, metric)
    expected = np.argsort(-scores, axis=1)[:, :8]
    np.testing.assert_array_equal(positions, expected)
    sign = -1 if metric == "l2" else 1
    scores = sign * np.take_along_axis(scores, expected, axis=1)
    np.testing.assert_allclose(values, scores, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_search_finds_most_and_all_when_told(
    X: np.ndarray, Q: np.ndarray, metric: str, kind: str
) -> None:
    index = VectorIndex.from_vectors(X, metric=metric, kind=kind)
    scores = truth(Q, X, metric)
    kth = np.sort(scores, axis=1)[:, -8]
    sign = -1 if metric == "l2" else 1
    values, positions = index.search(Q, 8, probes=4 if kind == "ivf" else 20)
    found = np.take_along_axis(scores, positions, axis=1)
    np.testing.assert_allclose(sign * values, found, rtol=1e-5)
    assert (np.diff(found, axis=1) <= 0).all()
    assert 0.3 < (found >= kth[:, None]).mean() < 1
    values, positions = index.search(Q, 8, probes=1_200)
    found = np.take_along_axis(scores, positions, axis=1)
    assert (found >= kth[:, None]).mean() > (0.999 if kind == "ivf" else 0.97)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_batches_threads_or_order(
    X: np.ndarray, Q: np.ndarray, ids: list[str], kind: str
) -> None:
    index = VectorIndex.from_vectors(X, ids=ids, kind=kind)
    values, positions = index.search(Q, 6)
    for i in (0, 7, 149):
        alone = index.search(Q[i : i + 1], 6)
        np.testing.assert_array_equal(alone[0][0], values[i])
        np.testing.assert_array_equal(alone[1][0], positions[i])
    perm = np.random.default_rng(2).permutation(len(X))
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        moved = VectorIndex.from_vectors(X[perm], ids=[ids[i] for i in perm], kind=kind)
        other = moved.search(Q, 6)
        assert faiss.omp_get_max_threads() == 1
    finally:
        faiss.omp_set_num_threads(threads)
    np.testing.assert_array_equal(other[0], values)
    np.testing.assert_array_equal(perm[other[1]], positions)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_rows_are_listed_by_id(kind: str) -> None:
    X = np.ones((6, 3), np.float32)
    index = VectorIndex.from_vectors(X, ids=["e", "c", "f", "a", "b", "d"], kind=kind)
    values, positions = index.search(2 * X[:1], 4)
    assert index.ids[positions[0]].tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(values, np.ones((1, 4), np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_more_neighbors_than_rows_are_padded(kind: str) -> None:
    X = np.eye(3, dtype=np.float32)
    for metric, worst in (("cosine", -np.inf), ("l2", np.inf)):
        values, positions = VectorIndex.from_vectors(X, metric=metric, kind=kind).search(X, 5)
        assert (positions[:, 3:] == -1).all()
        assert (values[:, 3:] == worst).all()
        assert (np.sort(positions[:, :3]) == np.arange(3)).all()


def test_zero_rows_have_the_cosine_zero_to_all() -> None:
    X = np.array([[1, 0], [0, 0], [-1, 0]], np.float32)
    values, positions = VectorIndex.from_vectors(X).search(X[:2], 3)
    np.testing.assert_array_equal(positions, [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(values, [[1, 0, -1], [0, 0, 0]])


def test_close_rows_far_from_the_origin_are_told_apart() -> None:
    X = (1_000 + np.arange(50)[:, None] * np.full((1, 4), 1e-3)).astype(np.float32)
    values, positions = VectorIndex.from_vectors(X, metric="l2").search(X, 2)
    np.testing.assert_array_equal(positions[:, 0], np.arange(50))
    assert (values[:, 0] == 0).all()
    assert (values[:, 1] > 0).all()


@pytest.mark.parametrize("kind", ["flat", "ivf"])
@pytest.mark.parametrize("with_ids", [False, True])
def test_add_and_remove(
    X: np.ndarray, Q: np.ndarray, ids: list[str], kind: str, with_ids: bool
) -> None:
    centroids = X[:16]
    names = np.array(ids, dtype=object)
    index = VectorIndex(metric="l2", kind=kind)
    index.build(X[:700], names[:700] if with_ids else None, centroids=centroids)
    index.add(X[700:], names[700:] if with_ids else None)
    assert len(index) == 1_200
    gone = np.random.default_rng(3).permutation(1_200)[:500]
    index.remove(names[gone] if with_ids else gone)
    index.add(X[gone[:100]], names[gone[:100]] if with_ids else None)
    kept = np.concatenate([np.delete(np.arange(1_200), gone), gone[:100]])
    fresh = VectorIndex(metric="l2", kind=kind)
    fresh.build(X[kept], names[kept] if with_ids else None, centroids=centroids)
    assert len(index) == len(fresh) == 800
    for found, expected in zip(
        index.search(Q, 9, probes=3), fresh.search(Q, 9, probes=3), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    if with_ids:
        assert index.ids.tolist() == fresh.ids.tolist() == names[kept].tolist()
    index.remove(index.ids if with_ids else np.arange(800))
    assert len(index) == 0
    assert (index.search(Q, 2)[1] == -1).all()
    index.add(X[:5], names[:5] if with_ids else None)
    assert (index.search(X[:5], 1, probes=16)[1].ravel() == np.arange(5)).all()


def test_hnsw_adds_with_any_number_of_threads(X: np.ndarray) -> None:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        index = VectorIndex.from_vectors(X[:300], kind="hnsw")
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(threads)
    index.add(X[300:600])
    assert (index.search(X[:600], 1)[1].ravel() == np.arange(600)).mean() > 0.99


@pytest.mark.parametrize("with_ids", [False, True])
def test_hnsw_hides_removed_rows_until_they_are_a_fifth(
    X: np.ndarray, Q: np.ndarray, ids: list[str], with_ids: bool, tmp_path
) -> None:
    names = np.array(ids, dtype=object) if with_ids else np.arange(1_200)
    index = VectorIndex.from_vectors(X, ids=names if with_ids else None, kind="hnsw")
    # the last row that entered is among them
    gone = np.unique(np.append(np.random.default_rng(3).permutation(1_200)[:199], [1_199]))
    gone = np.unique(np.append(gone, np.argmax(names == max(names, key=str))))
    index.remove(names[gone])
    kept = np.delete(np.arange(1_200), gone)
    assert index._description()["stored"] == 1_200
    assert len(index) == len(kept)
    if with_ids:
        assert index.ids.tolist() == names[kept].tolist()
    index.save(tmp_path)
    scores = truth(Q, X[kept], "cosine")
    kth = np.sort(scores, axis=1)[:, -10]
    for found in (index, VectorIndex.load(tmp_path)):
        values, positions = found.search(Q, 10)
        got = np.take_along_axis(scores, positions, axis=1)
        np.testing.assert_allclose(values, got, rtol=1e-5)
        assert (got >= kth[:, None]).mean() > 0.97
        # a removed row is not found even by itself, among all the rows there are
        everything = found.search(X[gone], len(kept), probes=1_200)[1]
        assert (np.diff(np.sort(everything, axis=1), axis=1) == 1).mean() > 0.99
    index.add(X[gone[:60]], names[gone[:60]] if with_ids else None)
    assert (index.search(X[gone[:60]], 1)[1].ravel() >= len(kept)).mean() > 0.95
    index.remove(index.ids[:60] if with_ids else np.arange(60))
    left = np.concatenate([kept[60:], gone[:60]])
    assert index._description()["stored"] == len(index) == len(left)
    fresh = VectorIndex.from_vectors(X[left], ids=names[left] if with_ids else None, kind="hnsw")
    for got, expected in zip(index.search(Q, 9), fresh.search(Q, 9), strict=True):
        np.testing.assert_array_equal(got, expected)
    index.remove(index.ids if with_ids else np.arange(len(index)))
    assert (index.search(Q, 2)[1] == -1).all()
    index.add(X[:5], names[:5] if with_ids else None)
    assert (index.search(X[:5], 1)[1].ravel() == np.arange(5)).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_filters_of_few_rows_are_exact(
    X: np.ndarray,
    Q: np.ndarray,
    ids: list[str],
    kind: str,
    metric: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # several parts, merged
    monkeypatch.setattr("assay.index.search.kinds._COPIED", 300)
    rng = np.random.default_rng(4)
    names = np.array(ids, dtype=object)
    index = VectorIndex.from_vectors(X, ids=ids, metric=metric, kind=kind)
    scores = truth(Q, X, metric)
    among, excluding = rng.permutation(1_200)[:700], rng.permutation(1_200)[:400]
    for rows_left in (
        {"among": names[among]},
        {"excluding": names[excluding]},
        {"among": names[among].tolist(), "excluding": pl.Series(names[excluding].tolist())},
    ):
        allowed = np.isin(names, rows_left.get("among", names))
        allowed &= ~np.isin(names, list(rows_left.get("excluding", [])))
        masked = np.where(allowed, scores, -np.inf)
        expected = np.argsort(-masked, axis=1)[:, :8]
        values, positions = index.search(Q, 8, **rows_left)
        np.testing.assert_array_equal(positions, expected)
        sign = -1 if metric == "l2" else 1
        np.testing.assert_allclose(
            sign * values, np.take_along_axis(scores, expected, axis=1), rtol=1e-5
        )


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_filters_of_many_rows_reach_approximate_searches(
    X: np.ndarray, Q: np.ndarray, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.search.rows.EXACT_UP_TO", 0)
    index = VectorIndex.from_vectors(X, kind=kind)
    index.remove([3, 5])
    rows = np.delete(X, [3, 5], axis=0)
    allowed = np.random.default_rng(5).random(len(rows)) < 0.3
    masked = np.where(allowed, truth(Q, rows, "cosine"), -np.inf)
    kth = np.sort(masked, axis=1)[:, -8]
    for rows_left in ({"among": np.flatnonzero(allowed)}, {"excluding": np.flatnonzero(~allowed)}):
        positions = index.search(Q, 8, **rows_left)[1]
        assert allowed[positions].all()
        got = np.take_along_axis(masked, positions, axis=1)
        assert (np.diff(got, axis=1) <= 0).all()
        assert (got >= kth[:, None]).mean() > 0.97
    if kind == "ivf":
        few = index.search(Q, 8, among=np.flatnonzero(allowed), probes=1)[1]
        assert (np.take_along_axis(masked, few, axis=1) >= kth[:, None]).mean() < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_may_leave_nothing(X: np.ndarray, Q: np.ndarray, kind: str) -> None:
    index = VectorIndex.from_vectors(X, metric="l2", kind=kind)
    for rows_left in ({"among": []}, {"excluding": np.arange(1_200)}):
        values, positions = index.search(Q, 3, **rows_left)
        assert (positions == -1).all()
        assert np.isposinf(values).all()
    positions = index.search(Q, 3, among=[7, 7, 2])[1]
    assert (np.sort(positions, axis=1) == [-1, 2, 7]).all()


def test_wrong_input_is_refused(X: np.ndarray, ids: list[str]) -> None:
    index = VectorIndex.from_vectors(X, ids=ids)
    with pytest.raises(IdError, match="2 ids are in the index already: 'n0', 'n7'"):
        index.add(X[:2], ids[:2])
    with pytest.raises(IdError, match="occur more than once: 'z'"):
        index.add(X[:2], ["z", "z"])
    with pytest.raises(IdError, match="built with ids"):
        index.add(X[:2])
    with pytest.raises(IdError, match="1 ids are not in the index: 'who'"):
        index.remove(["n0", "who"])
    with pytest.raises(InputError, match="4 columns, but the indexed vectors have 10"):
        index.search(X[:, :4], 1)
    with pytest.raises(InputError, match="4 columns"):
        index.add(X[:, :4], ids)
    with pytest.raises(NonFiniteError, match="queries"):
        index.search(np.full((2, 10), np.nan), 1)
    with pytest.raises(NonFiniteError, match="'x1'"):
        index.add([[0.0] * 10, [np.inf] * 10], ["x0", "x1"])
    assert len(index) == len(index.ids) == 1_200
    for rows_left in ({"among": ["n0", "who"]}, {"excluding": ["who"]}):
        with pytest.raises(IdError, match="1 ids are not in the index: 'who'"):
            index.search(X, 1, **rows_left)
    with pytest.raises(IdError, match="list of ids, not the text 'n0'"):
        index.search(X, 1, among="n0")
    with pytest.raises(ConfigError, match="k is 0; pass a whole number >= 1"):
        index.search(X, 0)
    with pytest.raises(InputError, match="build"):
        VectorIndex().search(X, 1)
    with pytest.raises(ConfigError, match="metric"):
        VectorIndex(metric="cos")
    with pytest.raises(ConfigError, match="kind"):
        VectorIndex(kind="pq")
    with pytest.raises(InputError, match="3 columns"):
        VectorIndex(kind="ivf").build(X, centroids=np.ones((2, 3)))
    with pytest.raises(IdError, match="no position 1200"):
        VectorIndex.from_vectors(X).remove([1_200])
    with pytest.raises(IdError, match="without ids"):
        VectorIndex.from_vectors(X).add(X[:1], ["a"])


def test_auto_is_flat_for_few_rows_and_ivf_beyond(
    X: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VectorIndex.from_vectors(X).kind_ == "flat"
    monkeypatch.setattr("assay.index.search.vector_index.FLAT_UP_TO", 1_000)
    index = VectorIndex.from_vectors(X)
    assert index.kind_ == "ivf"
    assert index.build(X[:1_000]).kind_ == "flat"
    assert index.centroids is None


def test_centroids_of_the_graph_serve_the_index(X: np.ndarray, Q: np.ndarray) -> None:
    graph = SimilarityGraph.from_vectors(X, k=5, method="block_join")
    index = VectorIndex.from_vectors(X, kind="ivf", centroids=graph.centroids_)
    np.testing.assert_array_equal(index.centroids, graph.centroids_)
    # each row lies in the list of its nearest centroid, so one probe finds it
    assert (index.search(X, 1, probes=1)[1].ravel() == np.arange(len(X))).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(
    X: np.ndarray, Q: np.ndarray, ids: list[str], kind: str, metric: str, tmp_path
) -> None:
    index = VectorIndex.from_vectors(X, ids=ids, metric=metric, kind=kind, random_state=3)
    index.remove(ids[5:50])
    index.save(tmp_path)
    back = VectorIndex.load(tmp_path)
    for found, expected in zip(back.search(Q, 7), index.search(Q, 7), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert back.ids.tolist() == index.ids.tolist()
    assert (back.metric, back.kind, back.random_state) == (metric, kind, 3)
    back.add(Q, [f"q{i}" for i in range(len(Q))])
    assert (
        back.search(Q, 1)[0] == VectorIndex.from_vectors(Q, metric=metric).search(Q, 1)[0]
    ).mean() > 0.5
    plain = tmp_path / "plain"
    plain.mkdir()
    VectorIndex.from_vectors(X, kind=kind).save(plain)
    assert VectorIndex.load(plain).ids is None


@settings(max_examples=40, deadline=None)
@given(
    X=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.just(3)),
        elements=st.integers(-3, 3).map(float),
    ),
    k=st.integers(1, 25),
    kind=st.sampled_from(["flat", "ivf"]),
)
def test_small_indexes_find_the_smallest_distances(X: np.ndarray, k: int, kind: str) -> None:
    index = VectorIndex.from_vectors(X, metric="l2", kind=kind)
    values, positions = index.search(X, k, probes=20)
    distances = -truth(X, X, "l2")
    by_position = np.broadcast_to(np.arange(len(X)), distances.shape)
    expected = np.lexsort((by_position, distances), axis=1)[:, :k]
    width = min(k, len(X))
    np.testing.assert_array_equal(positions[:, :width], expected)
    np.testing.assert_allclose(
        values[:, :width], np.take_along_axis(distances, expected, axis=1), rtol=1e-6
    )


def test_real_vectors() -> None:
    frame = pl.read_parquet(shared("cifar10_vectors.parquet"), columns=["vec"])
    V = frame["vec"].to_numpy().astype(np.float32)
    X, Q = V[:8_000], V[-200:]
    flat = VectorIndex.from_vectors(X)
    values, positions = flat.search(Q, 10)
    other = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(
        X.astype(float)
    )
    distances, rows = other.kneighbors(Q.astype(float))
    np.testing.assert_allclose(values, 1 - distances, atol=1e-6)
    assert (positions == rows).mean() > 0.999
    ivf = VectorIndex.from_vectors(X, kind="ivf")
    found, _ = ivf.search(Q, 10, probes=len(ivf.centroids))
    np.testing.assert_allclose(found, values, atol=1e-6)
    assert (ivf.search(Q, 10, probes=8)[0] >= values[:, -1:] - 1e-6).mean() > 0.8


@pytest.mark.parametrize("scale", [1e25, 3e-26, 1e17, 1e-15])
@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("kind", ["auto", "flat", "ivf", "hnsw"])
def test_a_scale_is_right_or_refused(kind, metric, scale):
    X = np.random.default_rng(3).normal(size=(900, 6)).astype(np.float32)
    _, expected = VectorIndex.from_vectors(X, metric=metric, kind="flat").search(X[:40], 5)
    scaled = X * np.float32(scale)
    extreme = not 1e-16 < scale < 1e18
    refused = extreme and (metric == "ip" or (metric == "l2" and kind in ("ivf", "hnsw")))
    if refused:
        with pytest.raises(InputError, match=r"float32, .* Divide all vectors by \d"):
            VectorIndex.from_vectors(scaled, metric=metric, kind=kind)
        return
    index = VectorIndex.from_vectors(scaled, metric=metric, kind=kind)
    values, positions = index.search(scaled[:40], 5, probes=200)
    assert np.isfinite(values).all()
    assert (positions == expected).mean() > 0.97


def test_rows_and_queries_beyond_the_scale_of_an_index_are_refused():
    X = np.random.default_rng(3).normal(size=(50, 6)).astype(np.float32)
    index = VectorIndex.from_vectors(X, metric="l2", kind="hnsw")
    with pytest.raises(InputError, match="kind='hnsw' compares in float32"):
        index.search(X * np.float32(1e25), 2)
    with pytest.raises(InputError, match="kind='hnsw' compares in float32"):
        index.add(X * np.float32(1e25))
    # small rows beside others lose nothing
    index.add(X * np.float32(1e-25))
    assert len(index) == 100


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_cells_of_the_graph_serve_the_index(
    X: np.ndarray, Q: np.ndarray, ids: list[str], metric: str, storage: str
) -> None:
    graph = SimilarityGraph.from_vectors(X, ids=ids, metric=metric, k=5, method="block_join")
    settings = {"ids": ids, "metric": metric, "kind": "ivf", "storage": storage}
    own = VectorIndex.from_vectors(X, centroids=graph.centroids_, **settings)
    cells = graph.cells_.copy()
    cells[::7] = -1
    index = VectorIndex.from_vectors(X, centroids=graph.centroids_, cells=cells, **settings)
    lists = len(graph.centroids_)
    for found, expected in zip(
        index.search(Q, 5, probes=lists), own.search(Q, 5, probes=lists), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    # a search of one list finds the rows of that cell, and of other rows those without a cell alone
    _, rows = index.search(graph.centroids_, 1_200, probes=1)
    for cell in range(lists):
        listed = set(rows[cell][rows[cell] >= 0].tolist())
        assert set(np.flatnonzero(cells == cell)) <= listed
        assert not listed & set(np.flatnonzero((cells >= 0) & (cells != cell)))


@pytest.mark.parametrize(
    "cells", [np.zeros(3, int), np.full(1_200, 16), np.full(1_200, -2), np.zeros(1_200)]
)
def test_cells_that_are_not_the_rows_are_refused(X: np.ndarray, cells: np.ndarray) -> None:
    with pytest.raises(InputError, match="1200 whole numbers"):
        VectorIndex(kind="ivf").build(X, centroids=X[:16], cells=cells)
    with pytest.raises(InputError, match="0 centroids"):
        VectorIndex(kind="ivf").build(X, cells=np.zeros(1_200, int))
