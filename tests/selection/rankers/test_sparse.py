"""Every ranker gives sparse matrices the scores of the dense ones, and says what it does with NaN."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

from assay.selection import ECFS, FisherScore, SequentialAttention, registry
from assay.selection.rankers.stability import bootstrap_stability
from assay.selection.tables.matrix import to_matrix
from assay.selection.tables.moments import Relevance
from assay.selection.tables.relevance import (
    column_relevance,
    fisher_score,
    normalized_mutual_information,
)
from assay.storage.errors import ConfigError, NonFiniteError

RANKERS = [entry.name for entry in registry.entries("ranker")]


def _sample(n=120, d=25, classes=3, share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    X = np.where(rng.random((n, d)) < share, rng.normal(size=(n, d)), 0.0)
    X[:, 0] = np.where(y == 1, 1.0, 0.0)
    X[:, 3] *= 1 + 3 * (y == 2)
    X[:, 4] = np.abs(X[:, 4])
    X[:, 5] = 0.0
    X[:, 6] = 2.5
    X[:, 7] += 4.0  # no zero at all
    return X, y


def _make(name, **options):
    small = {"hidden": 20, "epochs": 3} if name == "quick_selection" else {}
    return registry.get(name, "ranker")(**small, **options)


@pytest.mark.parametrize("name", RANKERS)
@pytest.mark.parametrize("form", [csr_array, csc_array, csr_matrix])
def test_sparse_scores_are_the_dense_ones(name, form):
    X, y = _sample()
    dense = _make(name).fit(X, y)
    sparse = _make(name).fit(form(X), y)
    np.testing.assert_allclose(sparse.scores_, dense.scores_, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(sparse.ranking_, dense.ranking_)
    kept = sparse.transform(form(X))
    np.testing.assert_array_equal(kept.toarray(), dense.transform(X))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ecfs", {"relevance": "fslib", "normalize": False}),
        ("ecfs", {"discrete_features": [0, 3]}),
        ("ecfs", {"alpha": "cv", "n_features_to_select": "auto"}),
        ("fisher", {"discrete_features": [0, 3]}),
        ("fisher", {"n_features_to_select": "auto"}),
        ("inf_fs", {"supervised": True}),
        ("outrank", {"discrete_features": [0, 3], "search": "3mr"}),
        ("outrank", {"interaction_order": 2}),
        ("mrmr", {"criterion": "miq", "discrete_features": [0]}),
        ("distance_correlation", {"search": "forward", "n_features_to_select": 3}),
        ("relieff", {"discrete_features": [0]}),
    ],
)
def test_sparse_scores_with_other_parameters(name, options):
    X, y = _sample()
    dense, sparse = (_make(name, **options).fit(Z, y) for Z in (X, csr_array(X)))
    np.testing.assert_allclose(sparse.scores_, dense.scores_, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(sparse.get_support(), dense.get_support())


@settings(max_examples=50, deadline=None)
@given(
    st.integers(4, 60),
    st.integers(1, 12),
    st.integers(2, 4),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.sampled_from(["normal", "counts", "shifted"]),
    st.integers(0, 10**6),
)
def test_sparse_relevance_is_the_dense_one(n, d, classes, share, kind, seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    values = {
        "normal": rng.normal(size=(n, d)),
        "counts": rng.poisson(2, (n, d)).astype(float),
        "shifted": rng.normal(size=(n, d)) + 1e6,
    }[kind]
    X = np.where(rng.random((n, d)) < share, values, 0.0)
    sparse = csc_array(X)
    expected, found = column_relevance(X, y), column_relevance(sparse, y)
    for name, a, b in zip(Relevance._fields, found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(found.mutual_information, expected.mutual_information)
    np.testing.assert_allclose(fisher_score(sparse, y), expected.fisher, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(
        normalized_mutual_information(sparse, y, n_bins=5),
        normalized_mutual_information(X, y, n_bins=5),
    )
    order = rng.permutation(n)
    moved = column_relevance(csc_array(X[order]), y[order])
    for a, b in zip(moved, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_stored_zeros_and_duplicates_change_nothing():
    X, y = _sample()
    rows, columns = np.nonzero(X)
    values = X[rows, columns]
    doubled = coo_array(
        (
            np.concatenate([values / 2, values / 2, [0.0]]),
            (np.concatenate([rows, rows, [1]]), np.concatenate([columns, columns, [5]])),
        ),
        shape=X.shape,
    )
    given = csr_matrix(doubled)
    np.testing.assert_allclose(ECFS().fit(given, y).scores_, ECFS().fit(X, y).scores_)


def test_a_large_sparse_matrix_is_never_made_dense():
    rng = np.random.default_rng(0)
    n, d, stored = 20_000, 50_000, 400_000  # 8 GB dense
    X = csr_array(
        (rng.random(stored), (rng.integers(0, n, stored), rng.integers(0, d, stored))), shape=(n, d)
    )
    y = np.arange(n) % 2
    for ranker in (ECFS(10), FisherScore(10), SequentialAttention(3)):
        tracemalloc.start()
        assert ranker.fit(X, y).get_support().sum() == ranker.n_features_to_select
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 150e6


def test_stability_of_a_sparse_matrix():
    X, y = _sample()
    found = [bootstrap_stability(ECFS(), Z, y, k=4, n_resamples=8) for Z in (X, csr_array(X))]
    assert found[0].features.equals(found[1].features)


# missing values


@pytest.mark.parametrize("name", RANKERS)
def test_missing_values_take_the_median_or_are_refused(name):
    X, y = _sample()
    X[3, 2], X[9, 2], X[5, 8] = np.nan, np.nan, np.nan
    filled = X.copy()
    for j in (2, 8):
        present = np.sort(X[~np.isnan(X[:, j]), j])
        filled[np.isnan(X[:, j]), j] = present[(len(present) - 1) // 2]
    expected = _make(name).fit(filled, y)
    for form in (X, csr_array(X)):
        ranker = _make(name).fit(form, y)
        np.testing.assert_allclose(ranker.scores_, expected.scores_, rtol=1e-10, atol=1e-12)
        told = ranker.missing_
        assert told["missing"].to_list() == [2 if j == 2 else int(j == 8) for j in range(25)]
        assert told["treatment"].to_list()[2] == "median"
        assert told["treatment"].to_list()[0] == "none"
        assert told["share"].to_list()[2] == pytest.approx(2 / 120)
        with pytest.raises(NonFiniteError, match="Column 2, 8 holds NaN"):
            _make(name, missing="raise").fit(form, y)
    assert np.isnan(X[3, 2])  # the input is as it was


def test_columns_without_a_value_come_last_and_infinity_is_refused_all_the_same():
    X, y = _sample()
    X[:, 9] = np.nan
    ranker = ECFS(missing="median").fit(X, y)
    assert ranker.missing_["treatment"].to_list()[9] == "zero"
    assert ranker.ranking_[9] > 22
    X[0, 0] = np.inf
    with pytest.raises(NonFiniteError, match="Column 0 holds"):
        ECFS(missing="median").fit(X, y)
    with pytest.raises(ConfigError, match="missing is 'mean'"):
        ECFS(missing="mean").fit(X, y)


# frames with names


@pytest.mark.parametrize("name", RANKERS)
@pytest.mark.parametrize("frame_of", [pl.DataFrame, pd.DataFrame])
def test_frames_with_categories_are_encoded_as_tables_are(name, frame_of):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 150)
    columns = {
        "number": rng.normal(size=150),
        "color": np.array(["red", "green", "blue"])[(y + rng.integers(0, 2, 150)) % 3].tolist(),
        "other": rng.normal(size=150) + y,
        "shape": np.array(["disc", "square"])[rng.integers(0, 2, 150)].tolist(),
    }
    frame = frame_of(columns)
    matrix = to_matrix(pl.DataFrame(columns).with_columns(y=y), label="y")
    options = {"n_features_to_select": 2}
    ranker = _make(name, **options).fit(frame, y)
    if "discrete_features" in ranker.get_params():
        options["discrete_features"] = matrix.discrete
    expected = _make(name, **options).fit(matrix.X, y)
    np.testing.assert_array_equal(ranker.scores_, expected.scores_)
    kept = ranker.get_feature_names_out().tolist()
    assert kept == [list(columns)[j] for j in np.flatnonzero(ranker.get_support())]
    chosen = ranker.set_output(transform="polars").transform(frame)
    assert list(chosen.columns) == kept


def test_names_count_as_such_in_validation_and_stability():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    level = rng.permutation(40)[rng.integers(0, 20, 300) + 20 * y]
    frame = pl.DataFrame({f"n{j}": rng.normal(size=300) for j in range(4)}).with_columns(
        level=pl.Series([f"level {code}" for code in level])
    )
    ranker = ECFS("auto").fit(frame, y)
    assert ranker.ranking_[4] == 1
    found = bootstrap_stability(ECFS(1), frame, y, n_resamples=5)
    assert found.features["frequency"].to_list() == [0, 0, 0, 0, 1]
