"""Matching pursuit against scikit-learn's and against least squares; nesting; edges."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import OrthogonalMatchingPursuit
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import SequentialAttention
from assay.selection.rankers.sequential_attention import orthogonal_matching_pursuit
from assay.storage.errors import ConfigError, InputError
from tests.selection.feature_sets import load


def _sample(n=120, d=12, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) + rng.random((classes, d))[y], y


def _unit(X):
    Z = X - X.mean(axis=0)
    return Z / np.linalg.norm(Z, axis=0)


def _unexplained(Z, Y):
    return np.square(Y - Z @ np.linalg.lstsq(Z, Y, rcond=None)[0]).sum()


@parametrize_with_checks([SequentialAttention()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 10), st.booleans())
def test_with_one_output_it_is_that_of_scikit_learn(seed, k, classes):
    X, y = _sample(n=50, seed=seed)
    Y = y[:, None].astype(float)
    if not classes:
        Y = X[:, :4] @ np.random.default_rng(seed).standard_normal((4, 1)) + 0.1 * X[:, 5:6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing left to explain
        oracle = OrthogonalMatchingPursuit(n_nonzero_coefs=k).fit(_unit(X), Y[:, 0])
    scores = orthogonal_matching_pursuit(X, Y, k)
    chosen = np.argsort(-scores)[:k]
    if _unexplained(_unit(X)[:, chosen[:-1]], Y - Y.mean()) > 1e-9:
        assert set(chosen) == set(np.flatnonzero(oracle.coef_))
    if classes:  # indicators of two classes mirror each other
        np.testing.assert_allclose(SequentialAttention(k).fit(X, y).scores_, scores, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 8))
def test_with_several_outputs_it_is_the_formula(seed, classes, k):
    X, y = _sample(n=60, classes=classes, seed=seed)
    Z, Y = _unit(X), (y[:, None] == np.arange(classes)) - np.bincount(y) / len(y)
    chosen, left = [], [np.square(Y).sum()]
    while True:
        R = Y - Z[:, chosen] @ np.linalg.lstsq(Z[:, chosen], Y, rcond=None)[0]
        gain = np.square(Z.T @ R).sum(axis=1)
        if len(chosen) == k:
            break
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        left.append(_unexplained(Z[:, chosen], Y))
    scores = SequentialAttention(k).fit(X, y).scores_
    assert np.argsort(-scores)[:k].tolist() == chosen
    np.testing.assert_allclose(scores[chosen], np.array(left[:-1]) / left[0], rtol=1e-9)
    rest = np.setdiff1d(np.arange(12), chosen)
    np.testing.assert_allclose(scores[rest], gain[rest] / left[0], rtol=1e-7, atol=1e-9)


def test_rankings_are_nested():
    X, y = _sample(d=30, classes=4)
    rankings = [SequentialAttention(k).fit(X, y).ranking_ for k in (3, 7, 20)]
    for k, ranking in zip((3, 7), rankings, strict=False):
        for longer in rankings:
            if longer is not rankings[0] or k == 3:
                assert np.argsort(longer)[:k].tolist() == np.argsort(ranking)[:k].tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_columns_and_rows_may_come_in_any_order(seed, classes):
    X, y = _sample(n=50, d=9, classes=classes, seed=seed)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(50), rng.permutation(9)
    found = SequentialAttention(5).fit(X, y)
    moved = SequentialAttention(5).fit(X[rows][:, columns], y[rows])
    assert moved.ranking_.tolist() == found.ranking_[columns].tolist()
    np.testing.assert_allclose(moved.scores_, found.scores_[columns], rtol=1e-8)


def test_units_do_not_matter():
    X, y = _sample(classes=3)
    units = X * 10.0 ** np.arange(-6, 6) + 5
    expected = SequentialAttention(6).fit(X, y).scores_
    np.testing.assert_allclose(SequentialAttention(6).fit(units, y).scores_, expected, rtol=1e-5)
    np.testing.assert_allclose(SequentialAttention(6).fit(X * 1e147, y).scores_, expected)


def test_a_copy_of_a_chosen_column_goes_behind():
    X, y = _sample(d=6)
    X[:, 2] += 3 * y
    X[:, 4] = 7 - 2 * X[:, 2]
    X[:, 5] = X[:, 2]
    ranker = SequentialAttention(3).fit(X, y)
    assert ranker.ranking_[2] == 1
    assert sorted(ranker.ranking_[[4, 5]]) == [5, 6]


def test_once_all_is_explained_the_rest_follow_by_themselves():
    rng = np.random.default_rng(0)
    y = np.arange(8) % 2
    X = rng.standard_normal((8, 40))
    scores = SequentialAttention(30).fit(X, y).scores_
    chosen = scores > 1e-10
    assert 3 <= chosen.sum() <= 7
    alone = np.square(_unit(X).T @ (y - 0.5)) / 2
    np.testing.assert_allclose(scores[~chosen], 1e-10 * alone[~chosen], rtol=1e-6)


def test_edges():
    X, y = _sample()
    X[:, [0, 5]] = 0.1
    assert SequentialAttention().fit(X, y).ranking_[[0, 5]].tolist() == [11, 12]
    assert SequentialAttention().fit([[1.0], [2], [4]], [0, 1, 1]).ranking_.tolist() == [1]
    assert SequentialAttention().fit(np.ones((4, 2)), [0, 1, 0, 1]).ranking_.tolist() == [1, 2]
    with pytest.raises(InputError, match="one class"):
        SequentialAttention().fit(X, np.zeros(len(X)))
    with pytest.raises(ConfigError, match="Y has shape"):
        orthogonal_matching_pursuit(X, y, 2)
    assert orthogonal_matching_pursuit(X, np.ones((len(X), 1)), 2).tolist() == [0.0] * 12


def test_names_and_real_data():
    X, y = load("lymphoma")
    frame = pl.DataFrame(X, schema=[f"gene {j}" for j in range(X.shape[1])])
    ranker = SequentialAttention(20).fit(frame, y)
    assert len(ranker.get_feature_names_out()) == 20
    kept = _unit(X)[:, ranker.get_support()]
    Y = (y[:, None] == np.unique(y)).astype(float)
    Y -= Y.mean(axis=0)
    best_alone = np.argsort(-np.square(_unit(X).T @ Y).sum(axis=1))[:20]
    assert _unexplained(kept, Y) < 0.7 * _unexplained(_unit(X)[:, best_alone], Y)
