"""ReliefF: a plain double loop, columns that matter only together, invariances."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import f_classif
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import ReliefF
from assay.storage.errors import ConfigError, InputError
from tests.data import shared
from tests.selection.feature_sets import load


def _sample(n=60, d=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) * rng.lognormal(size=d) + rng.random((classes, d))[y], y


def _plain(X, y, k, named=()):
    """Every row visited, one pair of rows after the other."""
    n, d = X.shape
    span = np.where(np.ptp(X, axis=0) > 0, np.ptp(X, axis=0), 1.0)
    names = np.isin(np.arange(d), named)
    share = {c: (y == c).mean() for c in set(y)}
    weight = np.zeros(d)
    for i in range(n):
        differ = np.where(names, X[i] != X, np.abs(X - X[i]) / span)
        distance = differ.sum(axis=1)
        for c in share:
            rows = [j for j in range(n) if y[j] == c and j != i]
            rows = sorted(rows, key=lambda j: distance[j])[:k]
            if rows:
                factor = -1.0 if c == y[i] else share[c] / (1 - share[y[i]])
                weight += factor * differ[rows].mean(axis=0) / n
    return weight


@parametrize_with_checks([ReliefF()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_plain_double_loop_finds_the_same(k, classes):
    X, y = _sample(classes=classes)
    y[:3] = classes  # a class with fewer rows than neighbors
    ranker = ReliefF(n_neighbors=k).fit(X, y)
    np.testing.assert_allclose(ranker.scores_, _plain(X, y, k), atol=1e-12)


def test_names_differ_or_do_not():
    X, y = _sample()
    X[:, 2] = np.round(X[:, 2] / X[:, 2].std() * 2)
    X[:, 4] = np.random.default_rng(0).integers(0, 9, 60)
    ranker = ReliefF(n_neighbors=4, discrete_features=[2, 4]).fit(X, y)
    np.testing.assert_allclose(ranker.scores_, _plain(X, y, 4, [2, 4]), atol=1e-12)
    renamed = X.copy()
    renamed[:, 4] = np.random.default_rng(1).permutation(9)[X[:, 4].astype(int)] * 1000.0
    other = ReliefF(n_neighbors=4, discrete_features=[2, 4]).fit(renamed, y)
    np.testing.assert_allclose(other.scores_, ranker.scores_, atol=1e-12)
    assert np.abs(ReliefF(n_neighbors=4).fit(X, y).scores_ - ranker.scores_).max() > 1e-3


def test_closed_form():
    # hits are 0 apart in column 0 and 1 apart in column 1, misses the other way round
    X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    ranker = ReliefF(n_neighbors=1).fit(X, [0, 0, 1, 1])
    assert ranker.scores_.tolist() == [1.0, -1.0]


def test_columns_that_matter_only_together():
    rng = np.random.default_rng(0)
    X = rng.random((400, 6))
    y = (X[:, 1] > 0.5) != (X[:, 4] > 0.5)
    assert set(np.argsort(ReliefF().fit(X, y).ranking_)[:2]) == {1, 4}
    assert f_classif(X, y)[1].min() > 0.01


@settings(max_examples=40, deadline=None)
@given(
    arrays(float, (10, 5), elements=st.integers(-2, 2)),
    st.permutations(range(10)),
    st.permutations(range(5)),
    st.sampled_from([None, 4]),
)
def test_order_of_rows_and_columns_copies_and_constants(X, rows, columns, visited):
    y = np.arange(10) % 3
    X[:, 2] = X[:, 4]
    ranker = ReliefF(n_neighbors=2, n_samples=visited).fit(X, y)
    other = ReliefF(n_neighbors=2, n_samples=visited).fit(X[rows], y[rows])
    np.testing.assert_array_equal(other.scores_, ranker.scores_)
    assert ranker.scores_[2] == ranker.scores_[4]
    assert (np.abs(ranker.scores_) <= 1).all()
    constant = (X[0] == X).all(axis=0)
    assert (ranker.scores_[constant] == 0).all()
    assert set(ranker.ranking_[constant]) == set(range(6 - constant.sum(), 6))


def test_order_of_columns_without_tied_distances():
    X, y = _sample()
    columns = np.random.default_rng(0).permutation(6)
    np.testing.assert_allclose(
        ReliefF().fit(X[:, columns], y).scores_, ReliefF().fit(X, y).scores_[columns], atol=1e-14
    )


def test_rows_visited():
    X, y = _sample(n=400)
    every = ReliefF(n_samples=None).fit(X, y).scores_
    np.testing.assert_array_equal(ReliefF(n_samples=400, random_state=0).fit(X, y).scores_, every)
    some = [ReliefF(n_samples=100, random_state=seed).fit(X, y).scores_ for seed in (0, 0, 1)]
    np.testing.assert_array_equal(some[0], some[1])
    assert np.abs(some[0] - some[2]).max() > 1e-4
    assert 0 < np.abs(some[0] - every).max() < 0.1


def test_blocks_do_not_matter(monkeypatch):
    X, y = _sample()
    whole = ReliefF(discrete_features=[1]).fit(np.round(X), y).scores_
    monkeypatch.setattr("assay.selection.rankers.relieff.BLOCK_VALUES", 60)
    blocked = ReliefF(discrete_features=[1]).fit(np.round(X), y).scores_
    np.testing.assert_allclose(blocked, whole, atol=1e-14)


def test_informative_columns_of_madelon():
    X, y = load("madelon")
    truth = pl.read_parquet(shared("featsel/madelon_truth.parquet"))["informative"].to_numpy()
    assert truth[np.argsort(ReliefF(n_samples=500).fit(X, y).ranking_)[:10]].sum() >= 8


def test_classes_of_one_row_one_column_one_class():
    ranker = ReliefF().fit([[1.0, 3.0], [2.0, 1.0], [4.0, 1.0]], ["a", "b", "c"])
    assert np.isfinite(ranker.scores_).all()
    assert ReliefF().fit([[1.0], [2.0]], ["a", "b"]).scores_.tolist() == [1.0]
    with pytest.raises(InputError, match="one class"):
        ReliefF().fit([[1.0], [2.0]], ["a", "a"])


@pytest.mark.parametrize(
    "options",
    [
        {"n_neighbors": 0},
        {"n_neighbors": 1.5},
        {"n_neighbors": None},
        {"n_samples": 0},
        {"n_samples": True},
        {"random_state": -1},
        {"random_state": None},
        {"discrete_features": [6]},
    ],
)
def test_parameters_that_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        ReliefF(**options).fit(*_sample())
