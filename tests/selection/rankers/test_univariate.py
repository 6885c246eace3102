"""scikit-learn's filters as rankers: their own scores, in any order, sparse or dense."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_selection import chi2, f_classif, mutual_info_classif
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import ChiSquared, FisherScore, FTest, NeighborInformation
from assay.storage.errors import ConfigError, InputError


@parametrize_with_checks([FTest(), NeighborInformation(), ChiSquared()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_the_f_test_is_scikit_learns_and_ranks_as_the_fisher_score():
    X, y = load_breast_cancer(return_X_y=True)
    ranker = FTest().fit(X, y)
    np.testing.assert_allclose(ranker.scores_, f_classif(X, y)[0], rtol=1e-9)
    np.testing.assert_array_equal(ranker.ranking_, FisherScore().fit(X, y).ranking_)


def test_the_f_test_of_constant_classes_and_columns():
    X = np.array([[0.0, 3, 1], [0, 3, 2], [1, 3, 1], [1, 3, 4]])
    scores = FTest().fit(X, [0, 0, 1, 1]).scores_
    assert scores[0] == np.finfo(float).max
    assert scores[1] == 0.0
    assert scores[2] == pytest.approx(f_classif(X[:, 2:], [0, 0, 1, 1])[0][0])


def test_chi_square_is_scikit_learns():
    X, y = load_digits(return_X_y=True)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(chi2(X, y)[0])
    np.testing.assert_allclose(ChiSquared().fit(X, y).scores_, expected, rtol=1e-12)
    np.testing.assert_allclose(ChiSquared().fit(csr_array(X), y).scores_, expected, rtol=1e-12)


def test_chi_square_of_negative_values():
    X, y = load_digits(return_X_y=True)
    shifted = X - X.max(axis=0)
    np.testing.assert_allclose(
        ChiSquared().fit(shifted, y).scores_,
        ChiSquared().fit(X - X.min(axis=0), y).scores_,
        rtol=1e-10,
    )
    with pytest.raises(InputError, match=r"Column 1, 2.* below 0"):
        ChiSquared(negative="raise").fit(shifted, y)
    with pytest.raises(ConfigError, match="negative"):
        ChiSquared(negative="drop").fit(X, y)


def test_mutual_information_is_that_of_scikit_learn_up_to_its_noise():
    X, y = load_breast_cancer(return_X_y=True)
    found = NeighborInformation().fit(X[:, :8], y).scores_
    expected = mutual_info_classif(X[:, :8], y, random_state=0)
    np.testing.assert_allclose(found, expected, atol=1e-2)
    one = NeighborInformation().fit(X[:, [3]], y).scores_
    assert found[3] == one[0]  # no other column matters
    codes = np.digitize(X[:, :2], [12, 18])
    named = NeighborInformation(discrete_features=[0, 1]).fit(codes, y).scores_
    expected = mutual_info_classif(codes, y, discrete_features=True)
    np.testing.assert_allclose(named, expected, rtol=1e-12)


@pytest.mark.parametrize("ranker", [FTest(), NeighborInformation(), ChiSquared()])
def test_the_order_of_rows_and_copies(ranker):
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:200, :6]
    y = y[:200]
    X[:, 4] = X[:, 1]
    scores = ranker.fit(X, y).scores_
    assert scores[4] == scores[1]
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(ranker.fit(X[order], y[order]).scores_, scores)


def test_parameters_that_are_refused():
    X, y = load_digits(return_X_y=True)
    for options in ({"n_neighbors": 0}, {"random_state": -1}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            NeighborInformation(**options).fit(X[:50], y[:50])
