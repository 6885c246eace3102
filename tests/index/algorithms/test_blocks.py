from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.index.algorithms import blocks
from assay.index.algorithms.blocks import EdgeBlocks, held, row_parts
from assay.index.algorithms.centrality import connected_components, core_number, hubness, pagerank
from assay.storage.disk.pages import mapping

MEASURED = """
import json, sys, threading, time
import numpy as np
from assay.index.algorithms import blocks
from assay.index.algorithms.centrality import connected_components, core_number, pagerank

# as of a graph that is too large
blocks.HELD = 0

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    while not done.is_set():
        peaks.append(anonymous())
        time.sleep(0.002)

def arrays(folder, mode):
    return [np.load(f"{folder}/{name}.npy", mmap_mode=mode) for name in ("indptr", "indices", "weights")]

# machine code is compiled for few rows
few = [np.array([0, 1, 2]), np.array([1, 0], np.int32), np.ones(2, np.float32)]
found = {}
for name, ask in {
    "pagerank": lambda graph: pagerank(*graph, symmetric=True, tol=1e-10),
    "core_number": lambda graph: core_number(*graph[:2]),
    "components": lambda graph: connected_components(*graph[:2]),
}.items():
    ask(few)
    graph = arrays(sys.argv[1], "r")
    done, peaks = threading.Event(), []
    # once, as later calls may use again what an earlier one let go
    before = found.setdefault("before", anonymous())
    watching = threading.Thread(target=watch)
    watching.start()
    result = ask(graph)
    done.set()
    watching.join()
    equal = bool((result == ask(arrays(sys.argv[1], None))).all())
    found[name] = [(max(peaks) - before) / len(result), equal]
del found["before"]
print(json.dumps(found))
"""


def stored(folder, *arrays):
    """Return the arrays memory-mapped."""
    for place, array in enumerate(arrays):
        np.save(folder / f"{place}.npy", array)
    return [np.load(folder / f"{place}.npy", mmap_mode="r") for place in range(len(arrays))]


def undirected(n: int, p: float, seed: int) -> tuple[nx.Graph, list[np.ndarray]]:
    graph = nx.gnp_random_graph(n, p, seed=seed)
    rng = np.random.default_rng(seed)
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(np.float32(rng.random() + 0.01))
    A = sparse.csr_array(nx.to_scipy_sparse_array(graph, weight="weight", dtype=np.float32))
    return graph, [A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40), p=st.floats(0, 0.6), seed=st.integers(0, 10_000), size=st.integers(1, 99)
)
def test_blocks_of_any_size_give_the_same_bits(tmp_path_factory, n, p, seed, size) -> None:
    graph, arrays = undirected(n, p, seed)
    mapped = stored(tmp_path_factory.mktemp("graph"), *arrays)
    whole = pagerank(*arrays, symmetric=True, tol=1e-12)
    start = np.arange(n) + 1.0
    whole_from = pagerank(*arrays, symmetric=True, tol=1e-12, personalization=start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ENTRIES", size)
        ranks_held = pagerank(*mapped, symmetric=True, tol=1e-12)
        patch.setattr(blocks, "HELD", 0)
        ranks = pagerank(*mapped, symmetric=True, tol=1e-12)
        ranks_from = pagerank(*mapped, symmetric=True, tol=1e-12, personalization=start)
        cores, labels = core_number(*mapped[:2]), connected_components(*mapped[:2])
        taken = list(EdgeBlocks(*mapped))
    np.testing.assert_array_equal(ranks, whole)
    np.testing.assert_array_equal(ranks_held, whole)
    np.testing.assert_array_equal(ranks_from, whole_from)
    expected = nx.pagerank(graph, tol=1e-14, max_iter=1_000)
    np.testing.assert_allclose(ranks, [expected[i] for i in range(n)], atol=1e-9)
    assert cores.tolist() == list(nx.core_number(graph).values())
    np.testing.assert_array_equal(labels, connected_components(*arrays[:2]))
    assert all(b.indptr[-1] - b.indptr[0] <= size or len(b.indptr) == 2 for b in taken)


def test_blocks_hold_every_entry_once_and_in_order(tmp_path, monkeypatch) -> None:
    _, arrays = undirected(30, 0.3, 1)
    mapped = stored(tmp_path, *arrays)
    monkeypatch.setattr(blocks, "ENTRIES", 20)
    parts = EdgeBlocks(*mapped)
    assert len(parts.starts) > 3
    entries = [[], []]
    for block, (first, end) in zip(parts, pairwise(parts.starts.tolist()), strict=True):
        assert block.first == first
        np.testing.assert_array_equal(block.indptr, arrays[0][first : end + 1])
        for kept, part in zip(entries, block.arrays, strict=True):
            assert mapping(part) is None
            kept.append(part.copy())
    for kept, array in zip(entries, arrays[1:], strict=True):
        np.testing.assert_array_equal(np.concatenate(kept), array)


def test_arrays_in_memory_are_one_block_and_not_copied() -> None:
    _, (indptr, indices, weights) = undirected(30, 0.3, 1)
    (block,) = EdgeBlocks(indptr, indices, weights)
    assert np.shares_memory(block.arrays[0], indices)
    assert np.shares_memory(block.arrays[1], weights)
    assert list(EdgeBlocks(np.zeros(1, np.int64), indices[:0])) == []


def test_small_graphs_are_held_in_memory(tmp_path, monkeypatch) -> None:
    _, arrays = undirected(30, 0.3, 1)
    mapped = stored(tmp_path, *arrays)
    copies = held(*mapped)
    for copy, array in zip(copies, arrays, strict=True):
        assert mapping(copy) is None
        np.testing.assert_array_equal(copy, array)
    assert all(map(np.shares_memory, held(*arrays), arrays))
    monkeypatch.setattr(blocks, "HELD", sum(array.nbytes for array in arrays) - 1)
    assert all(mapping(array) is not None for array in held(*mapped))


def test_hubs_are_counted_in_parts(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    neighbors = rng.integers(-1, 50, (50, 4)).astype(np.int32)
    (mapped,) = stored(tmp_path, neighbors)
    monkeypatch.setattr(blocks, "ENTRIES", 12)
    assert [len(part) for part in row_parts(mapped)] == [3] * 16 + [2]
    expected = np.bincount(neighbors[neighbors >= 0], minlength=50)
    np.testing.assert_array_equal(hubness(mapped), expected)
    np.testing.assert_array_equal(hubness(neighbors), expected)


def chain(n: int, seed: int) -> list[np.ndarray]:
    """Return a path whose nodes are in any order, with a clique of five at its end."""
    order = np.random.default_rng(seed).permutation(n)
    pairs = [np.stack([order[:-1], order[1:]], axis=1)]
    ends = order[-5:]
    pairs.append(np.array([(a, b) for a in ends for b in ends if a < b]))
    source, target = np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0).T
    A = sparse.coo_array((np.ones(len(source)), (source, target)), shape=(n, n))
    A = sparse.csr_array(A + A.T)
    return [A.indptr, A.indices]


def test_core_numbers_of_long_chains_and_hubs(tmp_path, monkeypatch) -> None:
    indptr, indices = chain(3_000, 4)
    expected = np.ones(3_000, int)
    expected[np.diff(indptr) >= 4] = 4
    assert (expected == 4).sum() == 5
    np.testing.assert_array_equal(core_number(indptr, indices), expected)
    monkeypatch.setattr(blocks, "ENTRIES", 500)
    np.testing.assert_array_equal(core_number(*stored(tmp_path, indptr, indices)), expected)
    graph = nx.barabasi_albert_graph(2_000, 3, seed=1)
    A = nx.to_scipy_sparse_array(graph, format="csr")
    assert core_number(*stored(tmp_path, A.indptr, A.indices)).tolist() == [3] * 2_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_more_than_120_bytes_a_row_are_held(tmp_path) -> None:
    n, k = 200_000, 15
    rng = np.random.default_rng(0)
    near = (np.arange(n)[:, None] + rng.integers(1, 2_000, (n, k))) % n
    A = sparse.csr_array((rng.random(n * k), near.ravel(), np.arange(n + 1) * k), shape=(n, n))
    A.sum_duplicates()
    A = sparse.csr_array(A.maximum(A.T))
    np.save(tmp_path / "indptr.npy", A.indptr.astype(np.int64))
    np.save(tmp_path / "indices.npy", A.indices.astype(np.int32))
    np.save(tmp_path / "weights.npy", A.data.astype(np.float32))
    command = [sys.executable, "-c", MEASURED, str(tmp_path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for name, (bytes_a_row, equal) in found.items():
        assert equal, name
        assert bytes_a_row <= 120, (name, bytes_a_row)
    # the vectors that it holds are seen, so that the test would see the edges
    assert found["pagerank"][0] >= 20
