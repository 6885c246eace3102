from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.index.algorithms import blocks
from assay.selection.scorers.graph import CoreNumber, Degree, Hubness, KNNDensity, PageRank
from assay.storage.disk.pages import mapping

SCORERS = (PageRank, CoreNumber, Hubness, KNNDensity, Degree)

MEASURED = """
import sys, threading, time
from assay.index import SimilarityGraph
from assay.index.algorithms import blocks
from assay.selection.scorers import graph

# as of a graph that is too large
blocks.HELD = 0

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    while not done.is_set():
        peaks.append(anonymous())
        time.sleep(0.002)

def scores(folder):
    return scorer().fit(graph=SimilarityGraph.load(folder, mapped=True)).scores_

scorer = getattr(graph, sys.argv[1])
scores(sys.argv[2])
done, peaks, before = threading.Event(), [], anonymous()
watching = threading.Thread(target=watch)
watching.start()
scores(sys.argv[3])
done.set()
watching.join()
print(max(peaks) - before)
"""


@pytest.fixture(params=["in order", "not in order"])
def folder(request, tmp_path):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    ids = [f"{place:03d}" for place in range(200)]
    if request.param == "not in order":
        ids = rng.permutation(ids).tolist()
    SimilarityGraph.from_vectors(X, ids=ids, k=6, metric="l2").save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("most", [0, blocks.HELD])
@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.__name__)
def test_scores_of_a_graph_in_files_are_the_same_to_the_bit(
    folder, scorer, most, monkeypatch
) -> None:
    monkeypatch.setattr(blocks, "HELD", most)
    expected = scorer().fit(graph=SimilarityGraph.load(folder))
    monkeypatch.setattr(blocks, "ENTRIES", 100)
    graph = SimilarityGraph.load(folder, mapped=True)
    assert mapping(graph.indices) is not None
    found = scorer().fit(graph=graph)
    np.testing.assert_array_equal(found.scores_, expected.scores_)
    assert found.report_ == expected.report_


def test_rows_without_neighbors_get_the_lowest_density(tmp_path) -> None:
    neighbors = np.array([[1, 2], [0, -1], [-1, -1]], np.int32)
    distances = np.array([[0.5, 3.0], [1.0, np.inf], [np.inf, np.inf]], np.float32)
    graph = SimilarityGraph(neighbors=neighbors, distances=distances, metric="l2")
    graph.save(tmp_path)
    for either in (graph, SimilarityGraph.load(tmp_path, mapped=True)):
        scorer = KNNDensity().fit(graph=either)
        assert scorer.scores_.tolist() == [0.25, 0.5, 0.25]
        assert scorer.report_["isolated"] == 1


def made_up(n: int, k: int, seed: int) -> SimilarityGraph:
    """Return a graph of rows near one another by number, with ids in any order."""
    rng = np.random.default_rng(seed)
    steps = np.sort(rng.integers(1, 50, (n, k)).cumsum(axis=1), axis=1)
    neighbors = ((np.arange(n)[:, None] + steps) % n).astype(np.int32)
    distances = np.sort(rng.random((n, k)), axis=1).astype(np.float32)
    ids = rng.permutation(n).astype(str)
    return SimilarityGraph(neighbors=neighbors, distances=distances, metric="l2", ids=ids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_scores_hold_no_edges_in_memory(tmp_path) -> None:
    n = 50_000
    made_up(1_000, 15, 0).save(tmp_path / "few")
    made_up(n, 15, 1).save(tmp_path / "many")
    for scorer, least in (("PageRank", 32), ("KNNDensity", 16)):
        command = [sys.executable, "-c", MEASURED, scorer, tmp_path / "few", tmp_path / "many"]
        held = int(subprocess.run(command, check=True, capture_output=True).stdout)
        # the ids among them; 8 MiB are what a part takes
        assert least * n < held <= 120 * n + 2**23, (scorer, held / n)
