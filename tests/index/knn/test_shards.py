"""Searching in shards: the lists of one piece, whatever the cuts and the number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.index.knn import shards as knn_shards
from assay.index.knn.block_join import seek
from assay.index.knn.planning import Plan
from assay.index.vectors.exact import Recall
from assay.storage.disk.pages import mapping

RNG = np.random.default_rng(3)


def searched(
    folder: Path, X: Any, ids: Any, size: int, threads: int, target: float, **settings: Any
) -> tuple[Any, int]:
    """Search in shards of `size` rows; return what `from_vectors` takes, and the shards."""
    begun, laid = folder / "begun", folder / "laid"
    begun.mkdir(parents=True)
    laid.mkdir()
    settings |= {"target_recall": target}
    facts = knn_shards.begin(begun, X, ids, threads=threads, **settings)
    shards = [slice(b, min(b + size, facts["rows"])) for b in range(0, facts["rows"], size)]
    how = {"threads": threads}
    if facts["method"] == "exact":
        knn_shards.lay_out(laid, X, begun, [])
        parts = [knn_shards.join_shard(begun, laid, rows, **how) for rows in shards]
        return knn_shards.collect(X, ids, begun, laid, parts, **settings), len(shards)
    cells = [knn_shards.cells_of_shard(begun, rows, **how) for rows in shards]
    knn_shards.lay_out(laid, X, begun, cells)

    class Steps:
        parts: list[Any]
        visits: list[Any]

        def join(self, tau: float) -> Recall | None:
            self.visits = [
                knn_shards.visits_of_shard(begun, laid, rows, tau, **how) for rows in shards
            ]
            self.parts = [
                knn_shards.join_shard(begun, laid, rows, self.visits, **how) for rows in shards
            ]
            self.parts = stored(kept, self.parts)
            if knn_shards.meets_nearly_all(begun, laid, self.visits):
                return None
            return knn_shards.measure(begun, laid, self.parts)

    steps = Steps()
    kept = folder / "parts"
    kept.mkdir()
    recall, rounds = seek(steps, knn_shards.plan_of(laid), target)
    told = {"recall": recall, "rounds": rounds}
    found = knn_shards.collect(X, ids, begun, laid, steps.parts, steps.visits, **told, **settings)
    return found, len(shards)


def stored(folder: Path, parts: list[Any]) -> list[Any]:
    """Write the shards' lists into files, and return them mapped."""
    names = knn_shards.Part._fields
    for place, part in enumerate(parts):
        for name in names:
            np.save(folder / f"{place} {name}.npy", getattr(part, name))
    return [
        knn_shards.Part(*(np.load(folder / f"{p} {name}.npy", mmap_mode="r") for name in names))
        for p in range(len(parts))
    ]


def assert_same(graph: SimilarityGraph, whole: SimilarityGraph) -> None:
    assert graph.report_ == whole.report_
    for name in ("neighbors", "indptr", "indices", "weights"):
        np.testing.assert_array_equal(getattr(graph, name), getattr(whole, name))
    np.testing.assert_array_equal(graph.distances(), whole.distances())


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize(
    ("method", "target"), [("exact", 1.0), ("block_join", 0.9), ("block_join", 0.9999)]
)
def test_lists_do_not_depend_on_the_shards(
    metric: str, method: str, target: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # fewer rows are sampled than there are
    monkeypatch.setattr("assay.index.knn.block_join.RECALL_SAMPLE", 300)
    X = RNG.normal(size=(1_500, 6)).astype(np.float32)
    X[100:140] = X[200:240]
    X[300:330] = X[330:360] + np.float32(1e-4)
    X[7] = 0
    ids = [f"row {i * 7919 % 1_500}" for i in range(1_500)]
    settings = {"k": 6, "metric": metric, "method": method}
    whole = SimilarityGraph.from_vectors(X, ids=ids, target_recall=target, **settings)
    for size, threads in ((1_499, 2), (400, 1), (97, 2)):
        folder = tmp_path / str(size)
        found, count = searched(folder, X, ids, size, threads, target, **settings)
        assert count == -(-len(found[0].take) // size)
        graph = SimilarityGraph.from_vectors(X, ids=ids, **settings, found=found)
        assert_same(graph, whole)
        if method == "block_join":
            np.testing.assert_array_equal(graph.centroids_, whole.centroids_)
            np.testing.assert_array_equal(graph.cells_, whole.cells_)
    if method == "block_join":
        assert whole.report_["recall"] >= target
        # all pairs are compared where nearly all would meet
        assert (whole.report_["rounds"] == 0) == (target > 0.99 or metric == "ip")


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_lists_that_stay_in_files_are_the_same(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.knn.block_join.RECALL_SAMPLE", 300)
    monkeypatch.setattr("assay.index.knn.nearest_neighbors._SPREAD", 400)
    X = np.random.default_rng(5).normal(size=(3_000, 4)).astype(np.float32)
    X[100:140] = X[200:240]
    X[7] = 0
    ids = [f"row {i * 7919 % 3_000}" for i in range(3_000)]
    settings = {"k": 6, "metric": metric, "method": "block_join"}
    whole = SimilarityGraph.from_vectors(X, ids=ids, target_recall=0.9, **settings)
    np.save(tmp_path / "X.npy", X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    monkeypatch.setattr("assay.index.vectors.mapped._IN_MEMORY", 0)
    found, _ = searched(tmp_path, X, ids, 700, 2, 0.9, **settings)
    assert all(mapping(array) is not None for array in (found[1].keys, found[1].rows))
    graph = SimilarityGraph.from_vectors(X, ids=ids, **settings, found=found)
    assert_same(graph, whole)
    arrays = (graph.distances(), graph.indices, graph.weights)
    assert all(mapping(array) is not None for array in arrays)
    for name, saved in (("mapped", graph), ("inside", whole)):
        saved.save(tmp_path / name)
    for path in (tmp_path / "inside").glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "mapped" / path.name).read_bytes()


def test_a_shard_reads_the_visits_that_concern_it(tmp_path: Path) -> None:
    X = np.random.default_rng(6).normal(size=(2_000, 8)).astype(np.float32)
    settings = {"k": 5, "metric": "l2", "method": "block_join"}
    searched(tmp_path, X, None, 500, 1, 0.9, **settings)
    begun, laid, rows = tmp_path / "begun", tmp_path / "laid", slice(600, 900)
    shards = [slice(begin, begin + 500) for begin in range(0, 2_000, 500)]
    visits = [knn_shards.visits_of_shard(begun, laid, shard, 0.3) for shard in shards]
    bounds = np.searchsorted(
        np.load(laid / "cell.npy"), np.arange(np.load(laid / "cell.npy").max() + 2)
    )
    cells = np.flatnonzero((bounds[1:] > rows.start) & (bounds[:-1] < rows.stop))
    few = []
    for part in visits:
        own = (part["row"] >= rows.start) & (part["row"] < rows.stop)
        few.append(part[own | np.isin(part["cell"], cells)])
    assert sum(map(len, few)) < sum(map(len, visits))
    all_of_them = knn_shards.join_shard(begun, laid, rows, visits)
    of_few = knn_shards.join_shard(begun, laid, rows, few)
    for mine, theirs in zip(of_few, all_of_them, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_plan_that_was_too_small_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.knn.block_join.RECALL_SAMPLE", 300)
    planned = Plan.tau
    monkeypatch.setattr(Plan, "tau", lambda plan, target: planned(plan, target - 0.1))
    X = np.random.default_rng(4).normal(size=(3_000, 3)).astype(np.float32)
    settings = {"k": 8, "metric": "l2", "method": "block_join"}
    whole = SimilarityGraph.from_vectors(X, target_recall=0.9, **settings)
    assert whole.report_["rounds"] > 1
    assert whole.report_["recall_low"] >= 0.9
    found, _ = searched(tmp_path, X, None, 1_300, 2, 0.9, **settings)
    assert_same(SimilarityGraph.from_vectors(X, **settings, found=found), whole)


def test_rows_that_no_cell_could_fill_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.knn.planning.Plan.tau", lambda plan, target: 0.0)
    X = np.random.default_rng(7).normal(size=(1_500, 3)).astype(np.float32)
    settings = {"k": 600, "method": "block_join", "metric": "l2"}
    found, _ = searched(tmp_path, X, None, 500, 2, 0.05, **settings)
    assert (found[1].rows >= 0).all()
    whole = SimilarityGraph.from_vectors(X, target_recall=0.05, **settings)
    graph = SimilarityGraph.from_vectors(X, **settings, found=found)
    assert_same(graph, whole)
    exact = SimilarityGraph.from_vectors(X, k=600, metric="l2", method="exact")
    np.testing.assert_array_equal(graph.distances(), exact.distances())
