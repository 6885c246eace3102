from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.neighbors import NearestNeighbors as SklearnNeighbors
from threadpoolctl import threadpool_info

from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.knn.block_join import block_join
from assay.index.knn.cells import Visits
from assay.index.knn.nearest_neighbors import nearest_neighbors
from assay.index.knn.planning import Plan
from assay.index.vectors.centroids import assign, list_count, train_centroids
from assay.index.vectors.checks import as_vectors, equal_rows
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan, recall_interval
from assay.storage.errors import InputError
from tests.data import shared

METRICS = ["l2", "cosine", "ip"]


def brute_keys(Q: np.ndarray, X: np.ndarray, metric: str) -> np.ndarray:
    Q, X = Q.astype(np.float64), X.astype(np.float64)
    if metric == "l2":
        return ((Q[:, None] - X[None]) ** 2).sum(axis=2)
    products = Q @ X.T
    if metric == "ip":
        return -products
    lengths = np.linalg.norm(Q, axis=1)[:, None] * np.linalg.norm(X, axis=1)
    return -np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def brute(X: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and keys of the k nearest others by (key, position)."""
    keys = brute_keys(X, X, metric)
    np.fill_diagonal(keys, np.inf)
    rows = np.lexsort((np.broadcast_to(np.arange(len(X)), keys.shape), keys), axis=1)[:, :k]
    return rows, np.take_along_axis(keys, rows, axis=1)


@pytest.fixture(scope="module")
def cifar() -> np.ndarray:
    frame = pl.read_parquet(shared("cifar10_vectors.parquet"), columns=["vec"])
    return as_vectors(frame["vec"].to_numpy())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threads", [1, 2])
def test_exact_equals_brute_force(metric: str, threads: int) -> None:
    X = np.random.default_rng(0).normal(size=(1_500, 9)).astype(np.float32)
    keys, rows = exact_knn(X, BlockScan(X, metric), 7, itself=np.arange(1_500), threads=threads)
    expected, expected_keys = brute(X, 7, metric)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(keys, expected_keys, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_keys_are_listed_by_rank(metric: str) -> None:
    X = np.random.default_rng(1).integers(-2, 3, size=(1_300, 3)).astype(np.float32)
    _, rows = exact_knn(X, BlockScan(X, metric), 9, itself=np.arange(1_300))
    if metric == "cosine":
        # cosines of different rows may be equal in truth and differ in the last bit
        keys = brute_keys(X, X, metric)
        found = np.take_along_axis(keys, rows.astype(np.int64), axis=1)
        np.testing.assert_allclose(found, brute(X, 9, metric)[1], atol=1e-12)
        return
    np.testing.assert_array_equal(rows, brute(X, 9, metric)[0])
    rank = np.arange(1_300, dtype=np.int32)[::-1].copy()
    _, turned = exact_knn(X[::-1].copy(), BlockScan(X[::-1].copy(), metric, rank), 9,
                          itself=np.arange(1_300))  # fmt: skip
    np.testing.assert_array_equal(1_299 - turned[::-1], rows)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 1e4), (1e30, 0), (1e-30, 0), (1e37, 0)])
def test_far_from_the_origin_and_extreme_lengths(metric: str, scale: float, shift: float) -> None:
    X = np.random.default_rng(2).normal(size=(700, 12)) * scale + shift
    X = X.astype(np.float32)
    keys, rows = exact_knn(X, BlockScan(X, metric), 5, itself=np.arange(700))
    _, expected = brute(X, 5, metric)
    tolerance = 1e-12 * np.abs(expected).max()
    np.testing.assert_allclose(keys, expected, rtol=1e-9, atol=tolerance)
    assert (rows >= 0).all()


def test_one_enormous_row_does_not_blind_the_search() -> None:
    X = np.random.default_rng(3).normal(size=(500, 4)).astype(np.float32)
    X[17] = 1e18
    for metric in METRICS:
        _, rows = exact_knn(X, BlockScan(X, metric), 3, itself=np.arange(500))
        near = np.take_along_axis(brute_keys(X, X, metric), rows.astype(np.int64), axis=1)
        np.testing.assert_allclose(near, brute(X, 3, metric)[1], rtol=1e-9)


def test_queries_that_are_not_among_the_rows() -> None:
    rng = np.random.default_rng(4)
    X, Q = (rng.normal(size=(n, 6)).astype(np.float32) for n in (90, 11))
    keys, rows = exact_knn(Q, BlockScan(X, "l2"), 100)
    expected = np.argsort(brute_keys(Q, X, "l2"), axis=1)
    np.testing.assert_array_equal(rows[:, :90], expected)
    assert (rows[:, 90:] == -1).all()
    assert np.isinf(keys[:, 90:]).all()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_exact_equals_sklearn_on_real_vectors(cifar: np.ndarray, metric: str) -> None:
    X = cifar[:3_000]
    found = nearest_neighbors(X, k=15, metric=metric, method="exact")
    name = "euclidean" if metric == "l2" else metric
    other = SklearnNeighbors(n_neighbors=16, metric=name, algorithm="brute").fit(X.astype(float))
    distances, _ = other.kneighbors(X.astype(float))
    assert found.report["duplicates"] == 0
    np.testing.assert_allclose(found.distances, distances[:, 1:], rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def joined(cifar: np.ndarray):
    return nearest_neighbors(cifar[:20_000], method="block_join", k=15, metric="l2", threads=2)


def test_block_join_on_real_vectors(cifar: np.ndarray, joined) -> None:
    exact = nearest_neighbors(cifar[:20_000], method="exact", k=15, metric="l2", threads=2)
    recall = (joined.distances <= exact.distances[:, -1:]).mean()
    report = joined.report
    assert recall >= 0.95
    assert 0.95 <= report["recall_low"] <= recall <= report["recall_high"]
    assert report["recall_low"] <= report["recall"] <= report["recall_high"]
    assert report["method"] == "block_join"
    assert report["blocks"] == len(joined.centroids)
    assert report["probes"] >= 4
    assert (joined.neighbors >= 0).all()
    # what it lists has the distances that the exact search computes
    same = joined.neighbors == exact.neighbors
    np.testing.assert_array_equal(joined.distances[same], exact.distances[same])


def test_block_join_is_the_same_for_any_threads_and_order(cifar: np.ndarray, joined) -> None:
    n = 20_000
    alone = nearest_neighbors(cifar[:n], method="block_join", k=15, metric="l2", threads=1)
    np.testing.assert_array_equal(alone.neighbors, joined.neighbors)
    np.testing.assert_array_equal(alone.distances, joined.distances)
    # zero-padded, so that order of id is order of position
    ids = pl.Series([f"r{i:05}" for i in range(n)])
    perm = np.random.default_rng(0).permutation(n)
    named = nearest_neighbors(cifar[:n], ids, method="block_join", k=15, metric="l2", threads=2)
    moved = nearest_neighbors(
        cifar[perm], ids[perm.tolist()], method="block_join", k=15, metric="l2", threads=1
    )
    np.testing.assert_array_equal(perm[moved.neighbors], named.neighbors[perm])
    np.testing.assert_array_equal(moved.distances, named.distances[perm])
    assert moved.report == named.report


@pytest.mark.parametrize("metric", METRICS)
def test_block_join_of_few_rows_reaches_the_target(metric: str) -> None:
    X = np.random.default_rng(5).normal(size=(900, 40)).astype(np.float32)
    take, noise = np.arange(900), np.random.default_rng(6).random(900)
    for target in (0.9, 1.0):
        how = {"metric": metric, "noise": noise, "squares": (X.astype(float) ** 2).sum(axis=1)}
        join = block_join(X, take, 10, target_recall=target, **how)
        worst = brute(X, 10, metric)[1][:, -1:]
        recall = (join.keys <= worst + 1e-12 * np.abs(worst)).mean()
        assert recall == pytest.approx(join.recall.mean)
        assert recall >= target
        assert (join.rows >= 0).all()


def test_recall_is_known_before_the_join(
    cifar: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = []

    def tau(plan: Plan, target: float) -> float:
        found = PLANNED(plan, target)
        planned.append((plan.need <= found).mean())
        return found

    PLANNED = Plan.tau
    monkeypatch.setattr("assay.index.knn.planning.Plan.tau", tau)
    for target in (0.8, 0.97):
        found = nearest_neighbors(cifar[:12_000], method="block_join", target_recall=target)
        assert found.report["rounds"] == 1
        assert found.report["recall"] == pytest.approx(planned[-1], abs=0.003)
        assert found.report["recall_low"] >= target


@pytest.mark.parametrize("method", ["ivf", "hnsw", "nn_descent"])
@pytest.mark.parametrize("metric", METRICS)
def test_faiss_methods_reach_the_target(method: str, metric: str) -> None:
    X = np.random.default_rng(8).normal(size=(2_500, 16)).astype(np.float32)
    found = nearest_neighbors(X, k=5, method=method, metric=metric)
    exact = nearest_neighbors(X, k=5, method="exact", metric=metric)
    assert (found.distances <= exact.distances[:, -1:]).mean() >= 0.95
    assert found.report["recall_low"] >= 0.95
    assert (found.neighbors != np.arange(2_500)[:, None]).all()


def test_auto_is_exact_where_that_is_cheap_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(9).normal(size=(600, 8)).astype(np.float32)
    assert nearest_neighbors(X).report["method"] == "exact"
    monkeypatch.setattr("assay.index.knn.nearest_neighbors.EXACT_UP_TO", 1e6)
    assert nearest_neighbors(X).report["method"] == "block_join"
    assert nearest_neighbors(X, target_recall=1.0).report["method"] == "exact"


def test_blas_gets_its_threads_back_after_searches_at_the_same_time() -> None:
    def blas() -> list[int]:
        # the limit of a BLAS on OpenMP, as FAISS brings one, is another in every thread
        pools = [p for p in threadpool_info() if p.get("threading_layer") == "pthreads"]
        return [p["num_threads"] for p in pools] or [1]

    inside = []
    X = np.random.default_rng(9).normal(size=(2_000, 8)).astype(np.float32)
    before = blas()
    with ThreadPoolExecutor(3) as pool:
        searches = [
            pool.submit(nearest_neighbors, X, progress=lambda *_: inside.append(max(blas())))
            for _ in range(6)
        ]
    assert all(len(search.result().neighbors) == 2_000 for search in searches)
    assert blas() == before
    assert set(inside) == {1}


def test_progress_is_reported() -> None:
    seen = []
    X = np.random.default_rng(9).normal(size=(600, 8)).astype(np.float32)
    nearest_neighbors(X, method="block_join", progress=lambda *at: seen.append(at))
    assert {stage for stage, _, _ in seen} >= {"assign", "join", "search"}
    assert all(1 <= done <= total for _, done, total in seen)


def test_half_of_the_rows_are_one_vector(cifar: np.ndarray) -> None:
    X = cifar[:6_000].copy()
    copies = np.random.default_rng(10).permutation(6_000)[:3_000]
    X[copies] = X[copies[0]]
    found = nearest_neighbors(X, k=15, metric="l2", method="block_join")
    assert found.report["duplicates"] == 2_999
    single = np.setdiff1d(np.arange(6_000), copies)
    exact, _ = exact_knn(X[single], BlockScan(X, "l2"), 15, itself=single)
    worst = np.sqrt(exact[:, -1:]).astype(np.float32)
    assert (found.distances[single] <= worst).mean() >= 0.95
    first = np.sort(copies)
    assert (found.distances[copies] == 0).all()
    np.testing.assert_array_equal(found.neighbors[first[20]], first[:15])
    np.testing.assert_array_equal(found.neighbors[first[3]], np.delete(first[:16], 3))


@settings(max_examples=60, deadline=None)
@given(
    X=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 3)),
        elements=st.integers(-1, 1).map(float),
    ),
    k=st.integers(1, 8),
    metric=st.sampled_from(["l2", "ip"]),
)
def test_copies_get_their_nearest_rows_copies_among_them(
    X: np.ndarray, k: int, metric: str
) -> None:
    found = nearest_neighbors(X, k=k, metric=metric)
    rows, keys = brute(X, k, metric)
    width = min(k, len(X) - 1)
    np.testing.assert_array_equal(found.neighbors[:, :width], rows[:, :width])
    expected = np.sqrt(keys) if metric == "l2" else keys
    np.testing.assert_allclose(found.distances[:, :width], expected[:, :width], rtol=1e-6)
    assert (found.neighbors[:, width:] == -1).all()
    assert np.isinf(found.distances[:, width:]).all()


def test_zero_rows_have_no_neighbors_under_the_cosine() -> None:
    X = np.array([[1, 0], [0, 0], [2, 0.1], [-0.0, 0.0], [0, 1]], np.float32)
    found = nearest_neighbors(X, k=2)
    assert found.report["zero_rows"] == 2
    assert found.report["duplicates"] == 1
    np.testing.assert_array_equal(found.neighbors, [[2, 4], [-1, -1], [0, 4], [-1, -1], [2, 0]])
    assert nearest_neighbors(X, k=2, metric="l2").report["zero_rows"] == 0
    nothing = nearest_neighbors(np.zeros((3, 2), np.float32))
    assert (nothing.neighbors == -1).all()


def test_equal_rows_are_grouped_in_order() -> None:
    X = np.array([[1.0], [0.0], [1.0], [-0.0], [2.0]], np.float32)
    groups = equal_rows(X, np.arange(5))
    assert groups.starts.tolist() == [0, 2, 4, 5]
    assert groups.members.tolist() == [0, 2, 1, 3, 4]
    assert groups.first.tolist() == [0, 1, 4]
    assert equal_rows(X, np.array([4, 3, 2, 1, 0])).members.tolist() == [0, 1, 3, 2, 4]
    for order in (np.arange(5), np.array([4, 3, 2, 1, 0])):
        hashed = equal_rows(X, order)
        for squares in (np.zeros(5), np.array([1.0, 0.0, 1.0, 0.0, 4.0])):
            fewer = equal_rows(X, order, squares)
            np.testing.assert_array_equal(fewer.members, hashed.members)
            np.testing.assert_array_equal(fewer.starts, hashed.starts)


def test_recall_interval() -> None:
    some = recall_interval(np.ones(1_000), 5_000)
    assert (some.mean, some.high) == (1.0, 1.0)
    assert 0.99 < some.low < 1
    every = recall_interval(np.array([0.5, 1.0]), 2)
    assert (every.mean, every.low, every.high) == (0.75, 0.75, 0.75)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        sample = recall_interval(rng.binomial(10, 0.95, size=300) / 10, 10**6)
        covered += sample.low <= 0.95 <= sample.high
    assert covered >= 370


@pytest.mark.parametrize("metric", METRICS)
def test_centroids_cut_up_crowded_cells(metric: str) -> None:
    rng = np.random.default_rng(13)
    crowd = rng.normal(size=(3_900, 8)) * 0.05 + 4
    sample = np.concatenate([rng.normal(size=(100, 8)) * 3, crowd]).astype(np.float32)
    centroids = train_centroids(sample, 20, metric)
    sizes = np.bincount(assign(sample, centroids, metric, 1)[:, 0], minlength=len(centroids))
    assert sizes.max() < 0.3 * len(sample)
    assert 20 <= len(centroids) <= 40
    np.testing.assert_array_equal(centroids, train_centroids(sample, 20, metric, threads=2))


def test_assignment_finds_the_nearest_centroids() -> None:
    rng = np.random.default_rng(14)
    X, centroids = (rng.normal(size=(n, 5)).astype(np.float32) for n in (300, 40))
    for metric in METRICS:
        by = "cosine" if metric == "cosine" else "l2"
        expected = np.argsort(brute_keys(X, centroids, by), axis=1)[:, :6]
        np.testing.assert_array_equal(assign(X, centroids, metric, 6), expected)


def test_list_count_grows_with_the_square_root() -> None:
    assert list_count(3) == 3
    assert list_count(400) == 16
    assert list_count(60_000) == 120
    assert list_count(4_000_000) == 2_000
    assert list_count(60_000, k=100) == 60


@pytest.mark.parametrize("scale", [2e25, 1e25, 1e17, 1e-15, 1e-25])
@pytest.mark.parametrize("method", ["exact", "block_join", "nn_descent", "ivf", "hnsw"])
@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_neighbors_at_any_scale_are_right_or_refused(metric, method, scale):
    X = np.random.default_rng(4).normal(size=(600, 5)).astype(np.float32)
    expected = nearest_neighbors(X, k=4, metric=metric, method="exact").neighbors
    scaled = X * np.float32(scale)
    extreme, approximate = not 1e-16 < scale < 1e18, method in ("nn_descent", "ivf", "hnsw")
    if extreme and (metric == "ip" or (metric == "l2" and approximate)):
        # of the graph too, which is made of them
        for make in (nearest_neighbors, SimilarityGraph.from_vectors):
            with pytest.raises(InputError, match=r"float32, .* Divide all vectors by \d"):
                make(scaled, k=4, metric=metric, method=method)
        return
    found = nearest_neighbors(scaled, k=4, metric=metric, method=method, target_recall=0.99)
    assert np.isfinite(found.distances).all()
    assert (found.neighbors == expected).mean() > 0.97


@pytest.mark.parametrize("most", [50, 2**31 - 1])
@pytest.mark.parametrize("ascending", [True, False])
def test_visits_are_sorted_by_cell_then_row(most: int, ascending: bool) -> None:
    draw = np.random.default_rng(0)
    cells = 7
    parts = [
        (
            draw.integers(0, most, size, np.int32, endpoint=True),
            draw.integers(0, cells - 1, size, np.int32),
        )
        for size in (0, 60, 1, 200)
    ]
    if ascending:
        rows = np.sort(np.concatenate([rows for rows, _ in parts]))
        cuts = np.cumsum([len(rows) for rows, _ in parts])[:-1]
        parts = [(a, b) for a, (_, b) in zip(np.split(rows, cuts), parts, strict=True)]
    visits = Visits.of(parts, cells)
    pairs = sorted((c, r) for rows, where in parts for r, c in zip(rows, where, strict=True))
    assert visits.rows.tolist() == [r for _, r in pairs]
    assert visits.starts.tolist() == [sum(c < cell for c, _ in pairs) for cell in range(cells + 1)]
    assert Visits.of([], cells).starts.tolist() == [0] * (cells + 1)
