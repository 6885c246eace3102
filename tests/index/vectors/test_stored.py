"""Vectors in half and a quarter of their size: near what they were, and the same when stored again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from assay.index.vectors.rotation import rotate
from assay.index.vectors.stored import (
    STORAGES,
    decode,
    encode,
    read_rows,
    read_vectors,
    storage_of,
    store_vectors,
)


@st.composite
def rows(draw: st.DrawFn) -> np.ndarray:
    n, d = draw(st.integers(1, 30)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.normal(size=(n, d)) * 10.0 ** draw(st.integers(-15, 15))
    X *= 10.0 ** rng.uniform(-draw(st.integers(0, 8)), 0, size=(n, 1))
    X[rng.random(n) < 0.1] = 0
    return X.astype(np.float32)


@given(rows())
@settings(max_examples=50, deadline=None)
def test_a_rotation_keeps_lengths_and_is_undone(X: np.ndarray) -> None:
    turned = rotate(X)
    lengths, after = (np.linalg.norm(rows.astype(np.float64), axis=1) for rows in (X, turned))
    np.testing.assert_allclose(after, lengths, rtol=1e-5)
    apart = np.abs(rotate(turned, back=True) - X).max(axis=1)
    assert (apart <= 1e-5 * lengths).all()


def test_a_rotation_is_a_hadamard_matrix_after_signs() -> None:
    turned = rotate(np.eye(8, dtype=np.float32))
    signs = np.sign(turned[:, 0])
    np.testing.assert_allclose(turned, signs[:, None] * hadamard(8) / np.sqrt(8), atol=1e-6)


@given(rows(), st.sampled_from(STORAGES[1:]))
@settings(max_examples=80, deadline=None)
def test_codes_are_near_and_stay_when_they_are_coded_again(X: np.ndarray, storage: str) -> None:
    codes, scales = encode(X, storage)
    found = decode(codes, scales)
    lengths = np.linalg.norm(X.astype(np.float64), axis=1)
    step = 2.0**-11 if storage == "float16" else np.sqrt(X.shape[1]) / 254
    assert (np.linalg.norm(found - X, axis=1) <= 1.01 * step * lengths).all()
    again, scaled = encode(found, storage)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_array_equal(decode(again, scaled), found)


@given(rows(), st.sampled_from(STORAGES))
@settings(max_examples=20, deadline=None)
def test_a_row_is_coded_alike_whatever_is_beside_it(X: np.ndarray, storage: str) -> None:
    if storage == "float32":
        storage = "int8"
    whole = decode(*encode(X, storage))
    for i in range(len(X)):
        np.testing.assert_array_equal(decode(*encode(X[i : i + 1], storage))[0], whole[i])


@pytest.mark.parametrize(("storage", "size"), [("float32", 4), ("float16", 2), ("int8", 1)])
def test_a_folder_is_as_small_as_told_and_read_back(
    storage: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", X)
    monkeypatch.setattr("assay.index.vectors.stored._BLOCK", 64)
    store_vectors(tmp_path, storage)
    assert storage_of(tmp_path) == storage
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= size * X.size + 4 * len(X) + 256
    found = read_vectors(tmp_path)
    expected = X if storage == "float32" else decode(*encode(X, storage))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    some = np.array([7, 3, 499])
    np.testing.assert_array_equal(read_rows(tmp_path, some), expected[some])
    # in parts, to a file of its own
    monkeypatch.setattr("assay.index.vectors.stored._IN_MEMORY", 0)
    np.testing.assert_array_equal(read_vectors(tmp_path), expected)
