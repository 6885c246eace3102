from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.index.vectors.checks import as_vectors, finite_rows
from assay.index.vectors.exact import unit_rows
from assay.index.vectors.mapped import (
    joined,
    ordered_rows,
    room_beside,
    save_array,
    scratch_room,
    take_rows,
)
from assay.storage.disk.pages import mapping, release

BUILD = """
import json, resource, sys
import numpy as np
from assay.index import SimilarityGraph
from assay.index.knn import block_join as knn_block_join

# fewer rows are compared, for speed
knn_block_join.RECALL_SAMPLE = 500

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few = np.random.default_rng(0).normal(size=(2_000, 1_000)).astype(np.float32)
SimilarityGraph.from_vectors(few, k=5, method="block_join", metric="l2", target_recall=0.5)
before = peak()
X = np.load(sys.argv[1], mmap_mode="r")
graph = SimilarityGraph.from_vectors(
    X, k=5, metric="l2", target_recall=0.3, memory_limit=2**27, scratch=sys.argv[2], threads=2
)
print(json.dumps({"grown": peak() - before, "report": graph.report_}))
"""


@pytest.fixture
def mapped(tmp_path) -> np.ndarray:
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(1_200, 9)).astype(np.float32))
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def test_a_mapped_file_is_not_copied(mapped: np.ndarray) -> None:
    found = as_vectors(mapped)
    assert np.shares_memory(found, mapped)
    assert mapping(found) is not None
    assert mapping(found[3:].view()) is not None
    assert mapping(found + 1) is None
    release(mapping(found))
    np.testing.assert_array_equal(found, np.array(mapped))


def test_what_was_written_privately_stays(tmp_path) -> None:
    np.save(tmp_path / "X.npy", np.zeros((5, 2), np.float32))
    X = np.load(tmp_path / "X.npy", mmap_mode="c")
    X[3] = 7
    assert mapping(X) is None
    release(mapping(X))
    assert X[3].tolist() == [7, 7]


def test_rows_are_taken_into_a_nameless_file(mapped: np.ndarray, tmp_path) -> None:
    which = np.random.default_rng(1).permutation(1_200)[:900]
    np.testing.assert_array_equal(take_rows(mapped, which), np.array(mapped)[which])
    before = sorted(tmp_path.iterdir())
    room = scratch_room((900, 9), np.float32, tmp_path)
    np.testing.assert_array_equal(take_rows(mapped, which, room), np.array(mapped)[which])
    assert sorted(tmp_path.iterdir()) == before


def test_rows_are_put_in_order(mapped: np.ndarray, monkeypatch) -> None:
    inside, order = np.array(mapped), np.random.default_rng(2).permutation(1_200)
    monkeypatch.setattr("assay.index.vectors.mapped._CHUNK", 500)
    for X in (mapped, inside):
        np.testing.assert_array_equal(ordered_rows(X, order), inside[order])
        np.testing.assert_array_equal(unit_rows(X, order), unit_rows(inside)[order])
    doubles = inside.astype(np.float64) / 3
    for put in (take_rows, ordered_rows):
        assert np.array_equal(put(doubles, order), doubles[order])


def test_rows_that_are_not_finite_are_found_in_files(tmp_path, monkeypatch) -> None:
    X = np.zeros((1_200, 3), np.float32)
    X[[7, 600], [0, 2]] = np.nan, np.inf
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr("assay.index.vectors.checks._CHUNK", 500)
    found = finite_rows(np.load(tmp_path / "X.npy", mmap_mode="r"))
    assert np.flatnonzero(~found).tolist() == [7, 600]


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_the_graph_is_the_same_out_of_core(mapped: np.ndarray, metric: str, tmp_path) -> None:
    ids = [f"i{i * 7919 % 1200}" for i in range(1_200)]
    settings = {"ids": ids, "k": 6, "method": "block_join", "metric": metric}
    inside = SimilarityGraph.from_vectors(np.array(mapped), **settings)
    outside = SimilarityGraph.from_vectors(mapped, memory_limit=1_000, scratch=tmp_path, **settings)
    np.testing.assert_array_equal(outside.neighbors, inside.neighbors)
    np.testing.assert_array_equal(outside.distances(), inside.distances())
    assert outside.report_["out_of_core"]
    assert not inside.report_["out_of_core"]
    grown = outside.insert(np.ones((1, 9)), ["new"])
    np.testing.assert_array_equal(grown.weights, inside.insert(np.ones((1, 9)), ["new"]).weights)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.npy"]


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
def test_memory_stays_far_below_the_vectors(tmp_path) -> None:
    rng = np.random.default_rng(2)
    path = tmp_path / "X.npy"
    X = np.lib.format.open_memmap(path, "w+", np.float32, (100_000, 1_000))
    directions = rng.normal(size=(8, 1_000)).astype(np.float32)
    for begin in range(0, len(X), 5_000):
        X[begin : begin + 5_000] = rng.normal(size=(5_000, 8)).astype(np.float32) @ directions
    del X
    run = subprocess.run(
        [sys.executable, "-c", BUILD, str(path), str(tmp_path)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["report"]["out_of_core"]
    assert said["report"]["recall"] > 0.3
    # the vectors are 400 MB
    assert said["grown"] < 200, said


@pytest.fixture
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count every mapped array as large."""
    monkeypatch.setattr("assay.index.vectors.mapped._IN_MEMORY", 0)


@pytest.mark.usefixtures("nothing_in_memory")
def test_what_is_made_of_large_files_is_in_files(mapped: np.ndarray, tmp_path) -> None:
    inside, order = np.array(mapped), np.random.default_rng(2).permutation(1_200)
    for made, expected in (
        (ordered_rows(mapped, order), inside[order]),
        (unit_rows(mapped), unit_rows(inside)),
        (unit_rows(mapped, order), unit_rows(inside)[order]),
        (joined([mapped, mapped[:7]]), np.concatenate([inside, inside[:7]])),
        (ordered_rows(mapped[:, 0], order, lambda part: part > 0), (inside[:, 0] > 0)[order]),
    ):
        assert mapping(made) is not None
        np.testing.assert_array_equal(made, expected)
        assert mapping(room_beside(made, (3,), np.int8)) is not None
    assert mapping(ordered_rows(inside, order)) is None
    assert mapping(joined([inside, mapped])) is None


@pytest.mark.usefixtures("nothing_in_memory")
def test_mapped_arrays_are_saved_as_numpy_does(mapped: np.ndarray, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("assay.index.vectors.mapped._SAVED", 500)
    for array in (mapped, mapped[:, 0].copy(), ordered_rows(mapped, np.arange(1_200))):
        save_array(tmp_path / "saved.npy", array)
        np.save(tmp_path / "expected.npy", array)
        saved, expected = ((tmp_path / name).read_bytes() for name in ("saved.npy", "expected.npy"))
        assert saved == expected
