"""Searching in shards: the lists of one piece, whatever the cuts and the number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.index.knn import shards as knn_shards
from assay.index.knn.block_join import seek
from assay.index.vectors.exact import Recall

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
        knn_shards.lay_out(laid, X, begun, [], **how)
        parts = [knn_shards.join_shard(begun, laid, rows, **how) for rows in shards]
        return knn_shards.collect(X, ids, begun, laid, parts, **settings), len(shards)
    met = [knn_shards.cells_of_shard(X, begun, rows, **how) for rows in shards]
    knn_shards.lay_out(laid, X, begun, met, **how)

    class Steps:
        parts: list[Any] = [None] * len(shards)

        def join(self, probes: int) -> Recall:
            self.parts = [
                knn_shards.join_shard(begun, laid, rows, probes=probes, before=part, **how)
                for rows, part in zip(shards, self.parts, strict=True)
            ]
            return knn_shards.measure(laid, self.parts)

        def expand(self) -> Recall:
            self.parts = [
                knn_shards.expand_shard(begun, laid, rows, self.parts, place, **how)
                for place, rows in enumerate(shards)
            ]
            return knn_shards.measure(laid, self.parts)

    steps = Steps()
    recall, rounds, probes = seek(steps, facts["probes"], facts["lists"], target)
    told = {"recall": recall, "rounds": rounds, "probes": probes}
    found = knn_shards.collect(X, ids, begun, laid, steps.parts, **told, **settings)
    return found, len(shards)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("method", ["exact", "block_join"])
def test_lists_do_not_depend_on_the_shards(
    metric: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # few cells at first: lists are expanded, and more cells met
    monkeypatch.setattr("assay.index.knn.block_join.COMPARED", 200)
    X = RNG.normal(size=(1_500, 12)).astype(np.float32)
    X[100:140] = X[200:240]
    X[7] = 0
    ids = [f"row {i * 7919 % 1_500}" for i in range(1_500)]
    settings = {"k": 6, "metric": metric, "method": method}
    whole = SimilarityGraph.from_vectors(X, ids=ids, target_recall=0.999, **settings)
    for size, threads in ((1_499, 2), (400, 1), (97, 2)):
        folder = tmp_path / str(size)
        found, count = searched(folder, X, ids, size, threads, 0.999, **settings)
        assert count == -(-len(found[0].take) // size)
        graph = SimilarityGraph.from_vectors(X, ids=ids, **settings, found=found)
        assert graph.report_ == whole.report_
        for name in ("neighbors", "indptr", "indices", "weights"):
            np.testing.assert_array_equal(getattr(graph, name), getattr(whole, name))
        np.testing.assert_array_equal(graph.distances(), whole.distances())
        if method == "block_join":
            np.testing.assert_array_equal(graph.centroids_, whole.centroids_)
            np.testing.assert_array_equal(graph.cells_, whole.cells_)
            assert graph.report_["rounds"] > 0
            assert graph.report_["probes"] > 4


def test_rows_that_no_cell_could_fill_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.knn.block_join.COMPARED", 100)
    monkeypatch.setattr("assay.index.knn.lists.Lists.expand", lambda lists, everyone=None: None)
    X = np.random.default_rng(7).normal(size=(1_500, 3)).astype(np.float32)
    settings = {"k": 600, "method": "block_join", "metric": "l2"}
    found, _ = searched(tmp_path, X, None, 500, 2, 0.05, **settings)
    assert (found[1].rows >= 0).all()
    whole = SimilarityGraph.from_vectors(X, target_recall=0.05, **settings)
    graph = SimilarityGraph.from_vectors(X, **settings, found=found)
    np.testing.assert_array_equal(graph.neighbors, whole.neighbors)
