"""Distance correlation against its direct formula; the forward search; edge cases."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import inv, sqrtm
from scipy.spatial.distance import cdist
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import DistanceCorrelation
from assay.selection.rankers.distance_correlation import (
    class_distance_correlation,
    numeric_distance_correlation,
)
from assay.selection.rankers.joint_dependence import forward_search
from assay.storage.errors import ConfigError, InputError, NonFiniteError


def _direct(a, b):
    """The formula, from two matrices of distances."""
    A, B = (D - D.mean(0) - D.mean(1)[:, None] + D.mean() for D in (a, b))
    product = (A * A).mean() * (B * B).mean()
    return np.sqrt(max((A * B).mean(), 0.0) / np.sqrt(product)) if product > 0 else 0.0


def _distances(x):
    return np.abs(np.subtract.outer(x, x))


def _unlike(y):
    return np.not_equal.outer(y, y).astype(float)


def _sample(n=120, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) + rng.random((classes, d))[y], y


@parametrize_with_checks([DistanceCorrelation(), DistanceCorrelation(search="forward")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 5])
def test_with_classes_it_is_the_direct_formula(classes):
    X, y = _sample(n=400, d=6, classes=classes)
    X[:, 4] = np.round(X[:, 4])
    X[:, 5] = 1e6 + 1e-3 * X[:, 5]
    direct = [_direct(_distances(x), _unlike(y)) for x in X.T]
    np.testing.assert_allclose(class_distance_correlation(X, y), direct, atol=1e-10)


def test_with_numbers_it_is_the_direct_formula():
    rng = np.random.default_rng(0)
    X, _ = _sample(n=400, d=6)
    X[:, 4] = np.round(X[:, 4])
    for y in (X[:, 0] ** 2 + rng.standard_normal(400), np.round(X[:, 1] * 2), X[:, 2] * -3e4):
        direct = [_direct(_distances(x), _distances(y)) for x in X.T]
        np.testing.assert_allclose(numeric_distance_correlation(X, y), direct, atol=1e-10)
    assert numeric_distance_correlation(X, X[:, 2] * -3e4 + 7)[2] == pytest.approx(1.0)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_ties_of_all_kinds(n, seed, values, numbers):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, values, (n, 3)).astype(float)
    if numbers:
        y = rng.integers(0, 5, n).astype(float)
        found, b = numeric_distance_correlation(x, y), _distances(y)
    else:
        y = np.unique(np.append(0, rng.integers(0, 4, n - 1)), return_inverse=True)[1]
        found, b = class_distance_correlation(x, y), _unlike(y)
    direct = np.array([_direct(_distances(column), b) for column in x.T])
    # squared: the root turns rounding near 0 into 1e-8
    np.testing.assert_allclose(found**2, direct**2, atol=1e-10)
    order = rng.permutation(n)
    again = (numeric_distance_correlation if numbers else class_distance_correlation)(
        x[order], y[order]
    )
    np.testing.assert_array_equal(again, found)


def test_two_classes_are_like_the_numbers_zero_and_one():
    X, y = _sample()
    np.testing.assert_allclose(
        class_distance_correlation(X, y), numeric_distance_correlation(X, 3.0 * y), atol=1e-12
    )


def test_it_sees_what_correlation_does_not():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 500)
    X = np.column_stack([rng.uniform(-1, 1, (500, 3)), x])
    for ranker, y in (
        (DistanceCorrelation(), (np.abs(x) > 0.5).astype(int)),
        (DistanceCorrelation(target="numbers"), np.cos(3 * x)),
    ):
        assert abs(np.corrcoef(x, y)[0, 1]) < 0.1
        assert ranker.fit(X, y).ranking_[3] == 1


def test_units_rows_and_columns():
    X, y = _sample(n=200, d=30, classes=3)
    X[:, 3] = X[:, 7]
    ranker = DistanceCorrelation().fit(X, y)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(200), rng.permutation(30)
    np.testing.assert_array_equal(
        DistanceCorrelation().fit(X[rows], y[rows]).scores_, ranker.scores_
    )
    permuted = DistanceCorrelation().fit(X[:, columns], y).scores_
    np.testing.assert_array_equal(permuted, ranker.scores_[columns])
    assert ranker.ranking_[7] == ranker.ranking_[3] + 1
    units = X * 10.0 ** rng.integers(-9, 9, 30) * rng.choice([-1, 1], 30)
    np.testing.assert_allclose(DistanceCorrelation().fit(units, y).scores_, ranker.scores_)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["marginal", "forward"]))
def test_columns_may_come_in_any_order(seed, search):
    X, y = _sample(n=40, d=6, classes=3, seed=seed)
    order = np.random.default_rng(seed).permutation(6)
    found = DistanceCorrelation(3, search=search).fit(X, y).scores_[order]
    permuted = DistanceCorrelation(3, search=search).fit(X[:, order], y).scores_
    np.testing.assert_allclose(permuted, found, rtol=1e-9)


def test_neither_distances_nor_a_matrix_are_built():
    X = np.random.default_rng(0).random((5_000, 40), dtype=np.float32)
    y = np.arange(5_000) % 3
    numeric_distance_correlation(X[:9], y[:9].astype(float))  # compiled outside
    tracemalloc.start()
    class_distance_correlation(X, y)
    numeric_distance_correlation(X, y.astype(float))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32e6  # all distances of a column would take 200 MB


# the forward search


def _whitened(X):
    Z = X - X.mean(0)
    return Z @ np.real(sqrtm(inv(np.atleast_2d(np.cov(Z.T)))))


@pytest.mark.parametrize("numbers", [False, True])
def test_the_search_is_that_of_its_formula(numbers):
    X, y = _sample(n=70, d=6, classes=3)
    X[:, 1] += 0.8 * X[:, 0]
    b = _unlike(y)
    if numbers:
        y = X[:, 0] * X[:, 3] + X[:, 4]
        b = _distances(y)
    chosen = []
    for _ in range(4):
        joint = np.full(6, -1.0)
        for j in set(range(6)) - set(chosen):
            Z = _whitened(X[:, [*chosen, j]])
            joint[j] = _direct(cdist(Z, Z), b)
        chosen.append(int(joint.argmax()))
    ranker = DistanceCorrelation(
        3, search="forward", target="numbers" if numbers else "classes"
    ).fit(X, y)
    assert np.argsort(ranker.ranking_)[:4].tolist() == chosen
    np.testing.assert_allclose(ranker.scores_[chosen[:3]], [2, 5 / 3, 4 / 3])
    assert ranker.scores_[chosen[3]] == pytest.approx(joint.max(), abs=1e-10)


def test_copies_and_sums_of_chosen_columns_are_not_chosen():
    X, y = _sample(d=3, n=60)
    X = np.column_stack([X, X[:, 0] * -2 + 1, X[:, 0] + X[:, 1] + X[:, 2]])
    ranker = DistanceCorrelation(5, search="forward").fit(X, y)
    assert (ranker.scores_ > 1).sum() == 3
    assert (ranker.scores_ == 0).sum() == 2


def test_the_rows_of_a_large_search_are_drawn_by_content():
    X, y = _sample(n=300, d=5)
    full = forward_search(X, y, 2)
    part = forward_search(X, y, 2, max_rows=80)
    assert np.abs(full - part).max() > 1e-6
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_array_equal(forward_search(X[order], y[order], 2, max_rows=80), part)


# edges


@pytest.mark.parametrize("options", [{}, {"search": "forward"}, {"target": "numbers"}])
def test_constant_columns_one_column_and_small_inputs(options):
    X, y = _sample()
    X[:, [0, 5]] = 0.1
    ranker = DistanceCorrelation(**options).fit(X, y)
    assert ranker.ranking_[[0, 5]].tolist() == [7, 8]
    assert ranker.scores_[[0, 5]].tolist() == [0.0, 0.0]
    assert DistanceCorrelation(**options).fit([[1.0], [2]], [0, 1]).ranking_.tolist() == [1]
    with pytest.raises(InputError, match=r"one (class|number)"):
        DistanceCorrelation(**options).fit(X, np.full(len(X), 3))
    with pytest.raises(ValueError, match="requires y"):
        DistanceCorrelation(**options).fit(X)


def test_numbers_as_target():
    X, _ = load_iris(return_X_y=True)
    ranker = DistanceCorrelation(1, target="numbers").fit(X[:, :3], X[:, 3])
    assert ranker.ranking_.tolist() == [2, 3, 1]
    assert not hasattr(ranker, "classes_")
    with pytest.raises(NonFiniteError, match="y holds NaN"):
        ranker.fit(X, np.where(X[:, 3] > 1, np.nan, X[:, 3]))
    with pytest.raises(InputError, match="one number per row"):
        ranker.fit(X, np.repeat("a", len(X)))
    with pytest.raises(InputError, match="continuous"):
        DistanceCorrelation().fit(X, X[:, 3])
    with pytest.raises(ValueError, match="inconsistent"):
        ranker.fit(X, X[:9, 3])


def test_values_near_the_limit():
    X, y = _sample()
    found = DistanceCorrelation().fit(X, y).scores_
    np.testing.assert_allclose(DistanceCorrelation().fit(X * 1e148, y).scores_, found)
    numbers = DistanceCorrelation(target="numbers").fit(X, 1e148 * y).scores_
    np.testing.assert_allclose(numbers, found, atol=1e-12)


@pytest.mark.parametrize("options", [{"target": "y"}, {"search": "3mr"}, {"max_rows": 1}])
def test_parameters_that_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        DistanceCorrelation(**options).fit(*_sample())
