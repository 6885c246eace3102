from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.selection.algorithms.near_copies import Similarities, have_copies

THRESHOLDS = {"cosine": (0.6, 0.95, 0.999999), "l2": (0.05, 0.3, 0.999)}


def data(kind: str, rng: np.random.Generator) -> np.ndarray:
    X = rng.normal(size=(700, 6))
    if kind == "copies":
        X[100:500] = X[:20].repeat(20, axis=0) + 1e-7 * rng.normal(size=(400, 6))
    elif kind == "offset":
        X += 1e5
    elif kind == "tiny":
        X *= 1e-25
    elif kind == "zero and far":
        X[:40] = 0
        X[40:50] *= 1e15
    return X


@pytest.mark.parametrize("kind", ["plain", "copies", "offset", "tiny", "zero and far"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_who_has_another_is_what_all_similarities_say(metric: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    among = Similarities(data(kind, rng), metric)
    rows = rng.permutation(700)[:600]
    every = among.between(rows, rows)
    np.fill_diagonal(every, -np.inf)
    nearest = np.sort(every.max(axis=1))
    widest = np.argmax(np.diff(nearest))
    below, above = nearest[widest : widest + 2]
    between = [(below + above) / 2] if above - below > 1e-6 else []
    for threshold in (*THRESHOLDS[metric], *between):
        expected = (every >= threshold - 1e-9).any(axis=1)
        # squared distances of near copies are differences of nearly equal numbers
        clear = np.abs(every.max(axis=1) - threshold) > 1e-7
        assert clear.any()
        found = among.have_another(rows, np.arange(600), threshold)
        np.testing.assert_array_equal(found[clear], expected[clear])
        asked = rng.permutation(600)[:250]
        some = among.have_another(rows, asked, threshold)
        np.testing.assert_array_equal(some, found[asked])
        first = have_copies(rows, threshold, 250 * 600, among, None)
        np.testing.assert_array_equal(first, found[:250])
        assert len(have_copies(rows, threshold, 1, among, None)) == 1


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_similarities_of_pairs_are_those_of_all(metric: str) -> None:
    rng = np.random.default_rng(1)
    among = Similarities(data("copies", rng), metric)
    left, right = rng.integers(0, 700, (2, 300))
    every = among.between(left, right)
    np.testing.assert_allclose(among.of_pairs(left, right), np.diag(every), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["plain", "copies", "zero and far"])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_lists_of_neighbors_tell_of_the_copies_that_all_pairs_hold(metric: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    X = data(kind, rng).astype(np.float32)
    # groups of 20 copies do not fit on lists of 4
    graph = SimilarityGraph.from_vectors(X, k=4, metric=metric, method="exact")
    among = Similarities(X, metric)
    rows = np.sort(rng.permutation(700)[:400])
    every = among.between(rows, rows)
    np.fill_diagonal(every, -np.inf)
    ordered = np.sort(every.max(axis=1)[np.isfinite(every.max(axis=1))])
    for share in (0.2, 0.5, 0.9):
        place = int(share * len(ordered))
        place += int(np.argmax(np.diff(ordered[place:])))
        threshold = float(ordered[place : place + 2].mean())
        clear = np.abs(every.max(axis=1) - threshold) > 1e-5
        expected = every.max(axis=1) >= threshold
        found = have_copies(rows, threshold, 10**9, among, graph)
        np.testing.assert_array_equal(found[clear], expected[clear])
        assert clear.any()
        few = have_copies(rows, threshold, 5 * len(rows), among, graph)
        np.testing.assert_array_equal(few[clear[: len(few)]], found[: len(few)][clear[: len(few)]])


def test_many_chosen_rows_of_a_mapped_file_are_compared_in_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 256)).astype(np.float32)
    X[1::2] = X[::2]
    np.save(tmp_path / "X.npy", X)
    rows, asked = np.arange(40_000), np.arange(64)
    mapped = Similarities(np.load(tmp_path / "X.npy", mmap_mode="r"), "cosine")
    tracemalloc.start()
    near = mapped.have_another(rows, asked, 0.999)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # two copies of a part of the rows, and what some of them are compared with
    assert held < 1.9 * X.nbytes
    assert np.array_equal(near, Similarities(X, "cosine").have_another(rows, asked, 0.999))
