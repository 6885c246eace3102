"""FisherScore: scikit-learn's F test, invariances, edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import f_classif
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import FisherScore
from assay.selection.tables.relevance import column_relevance
from assay.storage.errors import ConfigError, InputError
from tests.selection.feature_sets import load


def _sample(n=90, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) * rng.lognormal(size=d) + rng.random((classes, d))[y], y


@parametrize_with_checks([FisherScore()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_f_statistic_less_its_factor(classes):
    X, y = _sample(classes=classes)
    ranker = FisherScore().fit(X, y)
    expected = f_classif(X, y)[0] * (classes - 1) / (len(y) - classes)
    np.testing.assert_allclose(ranker.scores_, expected, rtol=1e-10)
    assert (np.argsort(ranker.ranking_) == np.argsort(-expected)).all()


def test_of_two_classes_it_is_that_of_squared_distance_and_spread():
    X, y = _sample()
    a, b = X[y == 0], X[y == 1]
    share = len(a) * len(b) / len(X)
    within = len(a) * a.var(axis=0) + len(b) * b.var(axis=0)
    expected = share * (a.mean(axis=0) - b.mean(axis=0)) ** 2 / within
    np.testing.assert_allclose(FisherScore().fit(X, y).scores_, expected, rtol=1e-10)


def test_the_columns_of_a_real_set_rank_as_by_the_f_test():
    X, y = load("colon")
    f = f_classif(X.astype(float), y)[0]
    in_our_order = f[np.argsort(FisherScore().fit(X, y).ranking_)]
    assert (np.maximum.accumulate(in_our_order[::-1])[::-1] - in_our_order).max() < 1e-10 * f.max()


@settings(max_examples=60, deadline=None)
@given(arrays(float, (9, 5), elements=st.integers(-2, 2)), st.permutations(range(5)))
def test_order_of_columns_copies_and_constants(X, columns):
    y = np.arange(9) % 3
    X[:, 2] = X[:, 4]
    ranker = FisherScore().fit(X, y)
    assert np.isfinite(ranker.scores_).all()
    np.testing.assert_array_equal(
        FisherScore().fit(X[:, columns], y).scores_, ranker.scores_[columns]
    )
    assert ranker.scores_[2] == ranker.scores_[4]
    constant = (X[0] == X).all(axis=0)
    assert (ranker.scores_[constant] == 0).all()
    assert set(ranker.ranking_[constant]) == set(range(6 - constant.sum(), 6))


def test_perfect_columns_come_first_and_are_finite():
    X, y = _sample()
    X[:, 3] = X[:, 6] = y * 0.1 + 5
    ranker = FisherScore().fit(X, y)
    assert ranker.ranking_[[3, 6]].tolist() == [1, 2]
    assert ranker.scores_[3] == np.finfo(float).max


def test_names():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    X = np.column_stack([rng.permutation(40)[rng.integers(0, 20, 400) + 20 * y], _sample(n=400)[0]])
    assert FisherScore(discrete_features=[0]).fit(X, y).ranking_[0] == 1
    nominal = np.arange(9) == 0
    np.testing.assert_array_equal(
        FisherScore(discrete_features=nominal).fit(X, y).scores_,
        np.minimum(column_relevance(X, y, nominal=nominal).fisher, np.finfo(float).max),
    )
    with pytest.raises(ConfigError, match="discrete_features"):
        FisherScore(discrete_features=[9]).fit(X, y)


def test_one_column_few_rows_one_class():
    assert FisherScore().fit([[1.0], [2.0]], ["a", "b"]).get_support().tolist() == [True]
    with pytest.raises(InputError, match="one class"):
        FisherScore().fit([[1.0], [2.0]], ["a", "a"])
