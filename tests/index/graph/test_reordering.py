from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.index.algorithms import blocks
from assay.index.graph.reordering import reordered_edges
from assay.storage.disk.pages import mapping


def a_graph(n: int, share: float, seed: int) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    half = sparse.random_array((n, n), density=share, rng=rng, format="csr", dtype=np.float32)
    A = sparse.csr_array(half + half.T)
    A.sort_indices()
    return A


def check(A: sparse.csr_array, order: np.ndarray, found: tuple[np.ndarray, ...]) -> None:
    expected = sparse.csr_array(A[order][:, order])
    expected.sort_indices()
    np.testing.assert_array_equal(found[0], expected.indptr)
    np.testing.assert_array_equal(found[1], expected.indices)
    np.testing.assert_array_equal(found[2], expected.data)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30), share=st.floats(0, 0.6), seed=st.integers(0, 999), size=st.integers(1, 99)
)
def test_it_is_the_permuted_matrix(tmp_path_factory, n, share, seed, size) -> None:
    A = a_graph(n, share, seed)
    order = np.random.default_rng(seed).permutation(n)
    edges = A.indptr.astype(np.int64), A.indices.astype(np.int32), A.data
    check(A, order, reordered_edges(*edges, order))
    folder = tmp_path_factory.mktemp("graph")
    for place, array in enumerate(edges):
        np.save(folder / f"{place}.npy", array)
    mapped = [np.load(folder / f"{place}.npy", mmap_mode="r") for place in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "ENTRIES", size)
        small = reordered_edges(*mapped, order)
        patch.setattr(blocks, "HELD", 0)
        found = reordered_edges(*mapped, order)
    check(A, order, small)
    check(A, order, found)
    assert all(mapping(array) is None for array in small)
    assert [array.dtype for array in found] == [np.int64, np.int32, np.float32]
    assert not len(A.data) or all(mapping(array) is not None for array in found[1:])


def test_long_rows_are_sorted() -> None:
    A = a_graph(300, 0.5, 3)
    assert np.diff(A.indptr).min() > 64
    order = np.random.default_rng(1).permutation(300)
    check(A, order, reordered_edges(A.indptr, A.indices, A.data, order))
