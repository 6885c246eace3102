from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assay.index import SimilarityGraph
from assay.index.knn.updatable_lists import NeighborLists
from assay.index.knn.updates import measured_recall
from assay.storage.errors import IdError, InputError, NonFiniteError
from tests.data import shared

METRICS = ["l2", "cosine", "ip"]
COUNTS = ("n", "k", "duplicates", "zero_rows", "edges", "recall")


def build(X: np.ndarray, ids: list[str] | None = None, **settings) -> SimilarityGraph:
    return SimilarityGraph.from_vectors(X, ids=ids, **settings)


def assert_same(one: SimilarityGraph, other: SimilarityGraph) -> None:
    for name in ("neighbors", "similarities", "indptr", "indices", "weights", "ids"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture
def by_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Update as large graphs are updated."""
    monkeypatch.setattr("assay.index.knn.updates.EXACT_UP_TO", 0)


@settings(max_examples=60, deadline=None)
@given(
    X=hnp.arrays(
        np.float32,
        st.tuples(st.integers(2, 30), st.integers(1, 3)),
        elements=st.one_of(st.integers(-1, 1).map(float), st.floats(-10, 10, width=16)),
    ),
    k=st.integers(1, 6),
    metric=st.sampled_from(["l2", "ip"]),
    data=st.data(),
)
def test_updates_of_small_graphs_equal_a_rebuild(X: np.ndarray, k: int, metric: str, data) -> None:
    ids = [f"i{i}" for i in data.draw(st.permutations(range(len(X))))]
    whole = build(X, ids, k=k, metric=metric)
    n = data.draw(st.integers(1, len(X) - 1))
    grown = build(X[:n], ids[:n], k=k, metric=metric).insert(X[n:], ids[n:])
    shrunk = whole.remove(ids[n:])
    assert_same(grown, whole)
    assert_same(shrunk, build(X[:n], ids[:n], k=k, metric=metric))
    assert {name: grown.report_[name] for name in COUNTS} == {
        name: whole.report_[name] for name in COUNTS
    }
    np.testing.assert_array_equal(grown.vectors, X)
    np.testing.assert_array_equal(shrunk.vectors, X[:n])
    assert_same(grown.remove(ids[n:]), shrunk)


def test_zero_rows_stay_without_edges_under_the_cosine() -> None:
    X = np.array([[1, 0], [0, 0], [2, 0.1], [0, 1]], np.float32)
    grown = build(X[:2], k=2).insert(X[2:]).insert([[0.0, 0.0], [0.0, 2.0]])
    rebuilt = build(np.concatenate([X, [[0, 0], [0, 2]]]), k=2)
    assert_same(grown, rebuilt)
    assert grown.report_["zero_rows"] == 2
    assert_same(grown.remove([1, 4]), build(X[[0, 2, 3, 3]] * [[1], [1], [1], [2]], k=2))


@pytest.mark.usefixtures("by_cells")
@pytest.mark.parametrize("metric", METRICS)
def test_updates_by_cells_find_what_a_rebuild_finds(metric: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 5)).astype(np.float32)
    how = {"metric": metric, "k": 8, "target_recall": 0.985}
    whole = build(X, method="exact", **how)
    for method in ("block_join", "exact"):
        # the exact graph has no cells yet
        grown = build(X[:2_700], method=method, **how).insert(X[2_700:])
        assert (grown.distances() <= whole.distances()[:, -1:]).mean() > 0.98
        assert grown.report_["method"] == "block_join"
        assert grown.cells_.shape == (3_000,)
        assert (grown.cells_ >= 0).all()
    gone = rng.choice(3_000, 300, replace=False)
    kept = np.setdiff1d(np.arange(3_000), gone)
    left = build(X[kept], method="exact", **how)
    for method in ("block_join", "exact"):
        shrunk = build(X, method=method, **how).remove(gone)
        assert (shrunk.distances() <= left.distances()[:, -1:]).mean() > 0.98
        assert (shrunk.neighbors != np.arange(2_700)[:, None]).all()
        same = shrunk.neighbors == left.neighbors
        np.testing.assert_array_equal(shrunk.distances()[same], left.distances()[same])


def crowd(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(40, 9)).repeat(40, axis=0) + 1e-4 * rng.normal(size=(1_600, 9))


DATA = {
    "plain": lambda rng: rng.normal(size=(1_600, 9)),
    "near copies": crowd,
    "offset": lambda rng: rng.normal(size=(1_600, 70)) + 300,
    "far rows": lambda rng: np.concatenate(
        [rng.normal(size=(1_570, 9)), 1e12 * rng.normal(size=(30, 9))]
    ),
    "heavy tails": lambda rng: rng.standard_t(1.2, size=(1_600, 9)),
}


@pytest.mark.usefixtures("by_cells")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", DATA)
def test_rows_that_meet_all_cells_are_found_exactly(
    kind: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.knn.updates._probes", lambda _, centroids: len(centroids))
    rng = np.random.default_rng(4)
    X = rng.permutation(DATA[kind](rng)).astype(np.float32)
    how = {"metric": metric, "k": 6}
    whole = build(X, method="exact", **how)
    grown = build(X[:1_300], method="exact", **how).insert(X[1_300:])
    # what codes lose of inner products is estimated from the row that asks, not from the longer one
    at_least = 0.999 if metric == "ip" else 1.0
    assert (grown.distances() == whole.distances()).mean() >= at_least
    gone = rng.choice(1_600, 200, replace=False)
    left = build(np.delete(X, gone, axis=0), method="exact", **how)
    assert (whole.remove(gone).distances() == left.distances()).mean() >= at_least


@pytest.mark.usefixtures("by_cells")
def test_copies_in_updates_by_cells() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2_000, 4)).astype(np.float32)
    X[rng.choice(2_000, 900, replace=False)] = X[7]
    X[rng.choice(2_000, 200, replace=False)] = X[:200]
    ids = [f"r{i:04}" for i in rng.permutation(2_000)]
    whole = build(X, ids, k=6, metric="l2", method="exact")
    grown = build(X[:1_700], ids[:1_700], k=6, metric="l2", method="block_join").insert(
        X[1_700:], ids[1_700:]
    )
    assert (grown.distances() <= whole.distances()[:, -1:]).mean() > 0.98
    copies = (X[7] == X).all(axis=1)
    np.testing.assert_array_equal(grown.neighbors[copies], whole.neighbors[copies])
    assert grown.report_["duplicates"] == whole.report_["duplicates"]
    # the copies that all others list go first
    gone = np.union1d(whole.neighbors[copies][:, :3], rng.choice(2_000, 100))
    kept = np.setdiff1d(np.arange(2_000), gone)
    left = build(X[kept], [ids[i] for i in kept], k=6, metric="l2", method="exact")
    shrunk = build(X, ids, k=6, metric="l2", method="block_join").remove([ids[i] for i in gone])
    assert (shrunk.distances() <= left.distances()[:, -1:]).mean() > 0.98
    np.testing.assert_array_equal(shrunk.neighbors[copies[kept]], left.neighbors[copies[kept]])
    assert shrunk.report_["duplicates"] == left.report_["duplicates"]


@pytest.mark.usefixtures("by_cells")
def test_order_of_the_rows_and_threads_change_nothing() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(1_600, 12)).astype(np.float32)
    X[rng.choice(1_600, 100)] = X[:100]
    ids = [f"é{i * 7919 % 1600}" for i in range(1_600)]

    def update(order: np.ndarray, threads: int) -> SimilarityGraph:
        old, new = order[order < 1_400], order[order >= 1_400]
        names = [[ids[i] for i in part] for part in (old, new)]
        graph = build(X[old], names[0], k=5, method="block_join", threads=threads)
        graph = graph.insert(X[new], names[1], threads=threads)
        return graph.remove([ids[i] for i in order if i % 9 == 0], threads=threads)

    one = update(np.arange(1_600), 1)
    perm = rng.permutation(1_600)
    other = update(perm, 2)
    at = {name: i for i, name in enumerate(one.ids)}
    place = np.array([at[name] for name in other.ids])
    np.testing.assert_array_equal(place[other.neighbors], one.neighbors[place])
    np.testing.assert_array_equal(other.distances(), one.distances()[place])
    assert other.report_ == one.report_


@pytest.mark.usefixtures("by_cells")
@pytest.mark.parametrize("codes_from", [0, np.inf])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("changes", ["new", "gone", "both", "neither"])
def test_the_recall_before_the_first_update_is_kept(
    monkeypatch: pytest.MonkeyPatch, codes_from: float, metric: str, changes: str
) -> None:
    monkeypatch.setattr("assay.index.knn.updatable_lists.CODES_FROM", codes_from)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(1_500, 6)).astype(np.float32)
    # rows of length 0, copies, and a copy among what is new
    X[[7, 30]] = 0
    X[40:60] = X[60:80]
    X[1_490] = X[100]
    ids = rng.permutation([f"i{i:04}" for i in range(len(X))])
    n = 1_500 if changes in ("gone", "neither") else 1_400
    graph = build(X[:n], ids[:n], metric=metric, k=6, method="block_join", target_recall=0.8)
    graph.report_["method"] = "block_join"
    # lists that lack a neighbor here and there
    worse = np.arange(0, n, 3)
    graph.neighbors[worse, :-1], graph.neighbors[worse, -1] = graph.neighbors[worse, 1:], -1
    graph.distances()[worse, :-1] = graph.distances()[worse, 1:]
    graph.distances()[worse, -1] = np.inf
    expected = measured_recall(X[:n], pl.Series(ids[:n]), graph.lists(), metric=metric)
    assert 0.5 < expected < 1
    rows = np.concatenate([np.arange(n), np.full(len(X) - n, -1)])
    if changes in ("gone", "both"):
        rows = np.delete(rows, [5, 77, 300])
    kept = np.delete(X, [5, 77, 300], axis=0) if len(rows) < len(X) else X
    named = np.delete(ids, [5, 77, 300]) if len(rows) < len(X) else ids
    mixed = rng.permutation(len(rows))
    after = graph.updated(kept[mixed], rows[mixed], before=X[:n], ids=named[mixed])
    assert after.report_["built_recall"] == expected
    behind = ["inserted", "removed", "built_recall", "parent", "updates"]
    assert [name for name in after.report_ if name in behind] == behind
    again = after.updated(kept, np.argsort(mixed), before=kept[mixed], ids=named)
    assert again.report_["built_recall"] == expected


def test_lists_are_ranked_with_those_that_are_known() -> None:
    rng = np.random.default_rng(1)
    # many rows as near as one another
    X = rng.integers(-2, 3, (60, 2)).astype(np.float32)
    nothing = np.full((60, 4), -1, np.int32), np.full((60, 4), np.inf, np.float32)
    lists = NeighborLists(X, *nothing, "l2", None, 1)
    which = np.arange(0, 60, 7)
    some = rng.integers(-1, 60, (len(which), 9)).astype(np.int32)
    some[some == which[:, None]] = -1
    keys, rows = lists.rank(which, some)
    for row, chosen in zip(which, some, strict=True):
        wanted = np.unique(chosen[chosen >= 0])
        wanted = wanted[np.argsort(((X[wanted] - X[row]) ** 2).sum(axis=1), kind="stable")]
        found = rows[which.tolist().index(row)]
        assert found[found >= 0].tolist() == wanted[:4].tolist()
    first = lists.rank(which, some[:, :4])
    both = lists.rank(which, some, first)
    np.testing.assert_array_equal(both[0], keys)
    np.testing.assert_array_equal(both[1], rows)


def test_lists_take_only_offers_that_are_near_enough() -> None:
    X = np.array([[0.0], [1.0], [2.0], [4.0], [8.0]], np.float32)
    graph = build(X[:4], k=2, metric="l2")
    rows = np.concatenate([graph.neighbors, [[-1, -1]]]).astype(np.int32)
    distances = np.concatenate([graph.distances(), [[np.inf, np.inf]]]).astype(np.float32)
    lists = NeighborLists(X, rows, distances, "l2", None, 1, new=1)
    hit, offered = np.array([3, 0, 4, 3]), np.array([[4, -1], [4, -1], [3, 2], [0, -1]])
    assert lists.enter_offered(hit, offered.astype(np.int32)).tolist() == [4]
    assert lists.rows.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1], [3, 2]]
    assert lists.changed.tolist() == [False] * 4 + [True]
    lists.leave_out(np.array([0, 3]), np.array([False, True, False, False, False]))
    assert lists.rows[[0, 3]].tolist() == [[2, -1], [2, -1]]
    assert lists.changed.tolist() == [True, False, False, True, True]


@pytest.fixture(scope="module")
def real() -> SimilarityGraph:
    frame = pl.read_parquet(shared("cifar10_vectors.parquet"), columns=["vec"])
    return build(frame["vec"].to_numpy()[:10_000], metric="l2", method="block_join")


@pytest.mark.usefixtures("by_cells")
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_recall_of_updates_is_that_of_a_rebuild(real: SimilarityGraph, share: float) -> None:
    N = len(real)
    n = round(N * (1 - share))
    X = real.vectors
    rng = np.random.default_rng(3)
    old, new = (rng.choice(np.arange(*ends), 600) for ends in ((0, n), (n, N)))

    def recall(graph: SimilarityGraph, sample: np.ndarray = old) -> float:
        V = graph.vectors.astype(float)
        squares = (V**2).sum(axis=1)
        far = squares[sample, None] - 2 * V[sample] @ V.T + squares
        far[np.arange(600), sample] = np.inf
        worst = np.sqrt(np.partition(far, 14, axis=1)[:, 14:15])
        return float((graph.distances()[sample] <= worst * (1 + 1e-6)).mean())

    start = build(X[:n], metric="l2", method="block_join")
    grown = start.insert(X[n:])
    assert recall(grown) > recall(real) - 0.01
    # both sides of a pair: new rows find others, and others find them
    assert recall(grown, new) > recall(real, new) - 0.01
    assert (grown.neighbors[:n] >= n).sum() > 0.97 * (real.neighbors[:n] >= n).sum()
    assert abs(grown.report_["recall"] - recall(grown)) < 0.03
    assert grown.report_["parent"]["n"] == n
    assert N - n < grown.report_["touched"] < N
    shrunk = real.remove(np.arange(n, N))
    assert recall(shrunk) > recall(start) - 0.01
    assert shrunk.report_["removed"] == N - n


def test_a_loaded_graph_is_updated_with_vectors_at_hand(tmp_path) -> None:
    X = np.random.default_rng(4).normal(size=(500, 6)).astype(np.float32)
    ids = [str(i) for i in range(500)]
    graph = build(X[:450], ids[:450], k=4, method="block_join")
    graph.save(tmp_path)
    back = SimilarityGraph.load(tmp_path)
    assert back.vectors is None
    with pytest.raises(InputError, match="pass those of its rows"):
        back.insert(X[450:], ids[450:])
    expected = graph.insert(X[450:], ids[450:])
    for vectors in (X, X[:450]):
        grown = back.insert(X[450:], ids[450:], vectors=vectors)
        assert_same(grown, expected)
    assert np.shares_memory(back.insert(X[450:], ids[450:], vectors=X).vectors, X)
    assert_same(back.remove(["3"], vectors=X[:450]), graph.remove(["3"]))
    assert len(graph) == 450
    with pytest.raises(InputError, match="not the new ones"):
        back.insert(X[450:] + 1, ids[450:], vectors=X)
    with pytest.raises(InputError, match="7 vectors for the 450 rows"):
        back.remove(["3"], vectors=X[:7])


def test_wrong_updates_are_refused() -> None:
    X = np.random.default_rng(5).normal(size=(30, 3)).astype(np.float32)
    named = build(X, [f"a{i}" for i in range(30)], k=3)
    plain = build(X, k=3)
    with pytest.raises(IdError, match="occur more than once: 'a3'"):
        named.insert(X[:1] + 1, ["a3"])
    with pytest.raises(IdError, match="need ids"):
        named.insert(X[:1])
    with pytest.raises(IdError, match="can't have them"):
        plain.insert(X[:1], ["b"])
    with pytest.raises(InputError, match="2 columns"):
        plain.insert(X[:, :2])
    with pytest.raises(NonFiniteError, match="new vectors"):
        plain.insert([[np.nan, 0, 0]])
    with pytest.raises(IdError, match="not in the index: 'z'"):
        named.remove(["z"])
    with pytest.raises(IdError, match="position 30"):
        plain.remove([30])
    with pytest.raises(InputError, match="No row would be left"):
        plain.remove(range(30))
    with pytest.raises(InputError, match="build it again"):
        build(X, k=3, robust="context").remove([1])
    assert_same(plain.remove([]), plain)
