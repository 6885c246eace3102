"""Edges made a block of rows at a time are those of the whole matrix, to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from assay.index.graph import symmetric_edges as edges
from assay.index.graph.edge_weights import WEIGHTS, directed_weights, least_weight
from assay.storage.disk.pages import mapping

ROWS, LISTED = 700, 5


def lists() -> tuple[np.ndarray, np.ndarray]:
    """Return random neighbors and distances, some of them fewer, of one row none."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, ROWS // LISTED, (ROWS, LISTED)).cumsum(axis=1)
    neighbors = ((np.arange(ROWS)[:, None] + steps) % ROWS).astype(np.int32)
    distances = np.sort(rng.random((ROWS, LISTED)).astype(np.float32), axis=1)
    neighbors[::9, -2:] = neighbors[33] = -1
    distances[neighbors < 0] = np.inf
    return neighbors, distances


def whole(
    neighbors: np.ndarray, distances: np.ndarray, metric: str, how: str, weights: str
) -> tuple[np.ndarray, ...]:
    """Return the edges by matrices of all rows."""
    listed = neighbors >= 0
    values = directed_weights(neighbors, distances, metric, weights)[listed]
    shape = (len(neighbors), len(neighbors))
    there = sparse.csr_array((values, (np.nonzero(listed)[0], neighbors[listed])), shape=shape)
    back = there.T.tocsr()
    if weights == "fuzzy":
        both = there * back
        both = there + back - both if how == "union" else both
        both.data = np.maximum(both.data, least_weight(weights, metric))
    else:
        both = there.maximum(back) if how == "union" else there.minimum(back)
    both.sort_indices()
    return both.indptr, both.indices, both.data


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("how", edges.SYMMETRISE)
@pytest.mark.parametrize("mapped", [False, True])
def test_blocks_make_the_edges_of_the_whole(
    weights: str, how: str, mapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "_BLOCK", 20)
    monkeypatch.setattr(edges, "_CHUNK", 64)
    neighbors, distances = lists()
    expected = whole(neighbors, distances, "cosine", how, weights)
    if mapped:
        monkeypatch.setattr("assay.index.vectors.mapped._IN_MEMORY", 0)
        for name, array in (("neighbors", neighbors), ("distances", distances)):
            np.save(tmp_path / f"{name}.npy", array)
        neighbors, distances = (
            np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("neighbors", "distances")
        )
    made = edges.symmetric_edges(neighbors, distances, "cosine", how, weights)
    for mine, theirs in zip(made, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert [array.dtype for array in made] == [np.int64, np.int32, np.float32]
    assert (mapping(made[1]) is not None, mapping(made[2]) is not None) == (mapped, mapped)


@pytest.mark.parametrize("how", edges.SYMMETRISE)
def test_long_lists(how: str) -> None:
    rng = np.random.default_rng(1)
    neighbors = np.array(
        [rng.permutation(np.delete(np.arange(150), i))[:90] for i in range(150)], np.int32
    )
    distances = np.sort(rng.random((150, 90)).astype(np.float32), axis=1)
    expected = whole(neighbors, distances, "cosine", how, "similarity")
    made = edges.symmetric_edges(neighbors, distances, "cosine", how, "similarity")
    for mine, theirs in zip(made, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_no_rows_have_no_edges() -> None:
    nothing = np.empty((0, 3), np.int32), np.empty((0, 3), np.float32)
    made = edges.symmetric_edges(*nothing, "cosine")
    assert [array.tolist() for array in made] == [[0], [], []]
