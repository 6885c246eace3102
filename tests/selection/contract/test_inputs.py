"""Vectors that can't be used are refused by name; sparse and far-off ones are taken."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from assay.selection import registry
from assay.selection.contract.inputs import Inputs
from assay.storage.disk.pages import mapping
from assay.storage.errors import InputError, NonFiniteError

BY_VECTORS = [
    entry
    for kind in ("selector", "scorer", "step")
    for entry in registry.entries(kind)
    if "vectors" in entry.needs and "graph" not in entry.needs
]


def make(entry):
    needed = {"budget": 5} if entry.kind == "selector" else {}
    needed |= {"seeds": [1, 2]} if entry.name == "like_vectors" else {}
    return registry.get(entry.name, entry.kind)(**needed)


@pytest.mark.parametrize("entry", BY_VECTORS, ids=lambda entry: entry.name)
def test_complex_and_empty_vectors_are_refused_and_sparse_ones_taken(entry):
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    X[X < 0.5] = 0.0
    labels = None if entry.covers_labeled else np.arange(40) % 3
    # a difficulty, which a selector by difficulty has to be given
    given = {"target": X[:5]} | ({"scores": np.arange(40.0)} if entry.kind == "selector" else {})
    name = type(make(entry)).__name__
    with pytest.raises(InputError, match=f"{name} takes real numbers, and X holds complex"):
        make(entry).fit(X * (1 + 2j), labels, **given)
    with pytest.raises(InputError, match=rf"\(40, 0\); {name} takes vectors"):
        make(entry).fit(X[:, :0], labels, **given)
    dense = make(entry).fit(X, labels, **given)
    sparse = make(entry).fit(sp.csr_array(X), labels, **given)
    attribute = "keep_" if entry.kind == "step" else "scores_"
    np.testing.assert_array_equal(getattr(sparse, attribute), getattr(dense, attribute))


def test_a_sparse_matrix_too_wide_to_be_dense_is_refused_by_name():
    wide = sp.csr_array((10_000, 100_000), dtype=np.float32)
    with pytest.raises(InputError, match=r"Isolation takes dense vectors, .* 3\.7 GiB when dense"):
        make(registry.entry("isolation", "scorer")).fit(wide)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_beyond_float32_are_refused(bad):
    with pytest.raises(NonFiniteError, match="beyond float32"):
        Inputs(X=np.array([[1.0], [bad]])).vectors()


@pytest.mark.parametrize("given", [None, "shuffled"])
def test_vectors_in_large_files_stay_in_files(given, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5)).astype(np.float32)
    X[:, 2] += 900
    ids = None if given is None else [f"{i * 7 % 300:03}" for i in range(300)]
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    monkeypatch.setattr("assay.index.vectors.mapped._IN_MEMORY", 0)
    monkeypatch.setattr("assay.index.vectors.mapped._CHUNK", 64)
    for metric in ("cosine", "l2"):
        there, unit = Inputs(X=mapped, ids=ids).compared_vectors(metric)
        inside, its = Inputs(X=X, ids=ids).compared_vectors(metric)
        assert unit == its
        assert mapping(there) is not None
        np.testing.assert_array_equal(there, inside)


def test_vectors_are_moved_only_where_float32_would_lose_differences():
    X = np.random.default_rng(1).normal(size=(50, 3))
    same, unit = Inputs(X=X).moved_vectors()
    assert unit == 1.0
    np.testing.assert_array_equal(same, X.astype(np.float32))
    moved, unit = Inputs(X=(X + np.array([0, 1e9, 0])) * 1e30).moved_vectors()
    spread = (moved.astype(float) - moved[0]) * unit / 1e30
    np.testing.assert_allclose(spread, X - X[0], atol=1e-5)
