"""MRMR: a plain greedy search, redundancy by independent libraries, invariances."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import f_classif
from sklearn.metrics import mutual_info_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import MRMR
from assay.storage.errors import ConfigError, InputError
from tests.selection.feature_sets import load

CRITERIA = ("fcq", "fcd", "miq", "mid")


def _sample(n=120, d=14, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    hidden = rng.standard_normal((n, 4)) + 0.8 * rng.random((classes, 4))[y]
    return hidden @ rng.standard_normal((4, d)) + 0.5 * rng.standard_normal((n, d)), y


def _binned(X, bins):
    place = (X - X.min(axis=0)) / np.ptp(X, axis=0) * bins
    return np.minimum(place, bins - 1).astype(int)


def _figures(X, y, criterion, bins=12):
    """Relevance and the matrix of redundancies, by other libraries."""
    if criterion.startswith("fc"):
        return f_classif(X, y)[0], np.abs(np.corrcoef(X.T))
    codes = _binned(X, bins).T
    pairs = [[mutual_info_score(a, b) for b in codes] for a in codes]
    return np.array([mutual_info_score(a, y) for a in codes]), np.array(pairs)


def _greedy(relevance, redundancy, criterion, depth):
    chosen = [int(np.argmax(relevance))]
    while True:
        mean = redundancy[:, chosen].mean(axis=1)
        quotient = relevance / np.maximum(mean, 1e-3)
        worth = quotient if criterion.endswith("q") else relevance - mean
        worth[chosen] = -np.inf
        if len(chosen) == depth:
            return chosen + np.argsort(-worth, kind="stable")[: len(worth) - depth].tolist()
        chosen.append(int(np.argmax(worth)))


@parametrize_with_checks([MRMR(), MRMR(criterion="mid")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("depth", [1, 5, 14])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_plain_greedy_search_finds_the_same(criterion, depth):
    X, y = _sample()
    ranker = MRMR(criterion=criterion, depth=depth).fit(X, y)
    relevance, redundancy = _figures(X, y, criterion)
    np.testing.assert_allclose(ranker.relevance_, relevance, rtol=1e-9)
    order = np.argsort(ranker.ranking_).tolist()
    assert order == _greedy(relevance, redundancy, criterion, depth)
    assert ranker.scores_[order].tolist() == [(14 - i) / 14 for i in range(14)]


def test_redundancy_moves_columns_back():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    one, two = y % 2 + 0.3 * rng.standard_normal(400), y // 2 + 0.5 * rng.standard_normal(400)
    X = np.column_stack([one, one + 0.01 * rng.standard_normal(400), two, rng.random(400)])
    for criterion in CRITERIA:
        found = MRMR(criterion=criterion).fit(X, y)
        # in "fcd" the F statistic outweighs any redundancy
        assert (np.argsort(found.ranking_)[1] == 2) == (criterion != "fcd")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_order_of_columns_and_rows(criterion):
    X, y = _sample()
    ranker = MRMR(criterion=criterion).fit(X, y)
    rng = np.random.default_rng(1)
    columns, rows = rng.permutation(14), rng.permutation(len(X))
    other = MRMR(criterion=criterion).fit(X[:, columns], y)
    np.testing.assert_array_equal(other.scores_, ranker.scores_[columns])
    other = MRMR(criterion=criterion).fit(X[rows], y[rows])
    np.testing.assert_array_equal(other.scores_, ranker.scores_)


@settings(max_examples=60, deadline=None)
@given(arrays(float, (9, 5), elements=st.integers(-2, 2)), st.sampled_from(CRITERIA))
def test_copies_and_constants(X, criterion):
    y = np.arange(9) % 3
    X[:, 2] = X[:, 4]
    ranker = MRMR(criterion=criterion, n_bins=4).fit(X, y)
    assert sorted(ranker.ranking_) == [1, 2, 3, 4, 5]
    assert np.isfinite(ranker.scores_).all()
    constant = (X[0] == X).all(axis=0)
    assert (ranker.scores_[constant] == 0).all()
    assert set(ranker.ranking_[constant]) == set(range(6 - constant.sum(), 6))
    assert ranker.ranking_[2] < ranker.ranking_[4]
    if not constant.all():
        assert ranker.relevance_[ranker.ranking_ == 1] == ranker.relevance_.max()


def test_depth_follows_the_number_kept(monkeypatch):
    monkeypatch.setattr("assay.selection.rankers.mrmr.DEFAULT_DEPTH", 2)
    X, y = _sample()
    for options, depth in (
        ({}, 2),
        ({"n_features_to_select": 6}, 6),
        ({"n_features_to_select": 0.5}, 7),
        ({"depth": 4}, 4),
        ({"depth": 99}, 14),
    ):
        expected = MRMR(depth=depth).fit(X, y).ranking_
        np.testing.assert_array_equal(MRMR(**options).fit(X, y).ranking_, expected)
    assert (MRMR(depth=2).fit(X, y).ranking_ != MRMR(depth=14).fit(X, y).ranking_).any()


def test_names_are_bins_of_their_own():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    code = rng.permutation(300)[rng.integers(0, 150, 400) + 150 * y].astype(float)
    X = np.column_stack([code, rng.standard_normal((400, 3)) + y[:, None]])
    ranker = MRMR(criterion="mid", discrete_features=[0]).fit(X, y)
    assert ranker.relevance_[0] == pytest.approx(mutual_info_score(code, y))
    assert MRMR(criterion="mid").fit(X, y).relevance_[0] < 0.5 * ranker.relevance_[0]


def test_blocks_do_not_matter(monkeypatch):
    X, y = _sample()
    whole = [MRMR(criterion=criterion).fit(X, y).scores_ for criterion in CRITERIA]
    monkeypatch.setattr("assay.selection.rankers.mrmr.BLOCK_VALUES", 120)
    for criterion, expected in zip(CRITERIA, whole, strict=True):
        np.testing.assert_array_equal(MRMR(criterion=criterion).fit(X, y).scores_, expected)


def test_perfect_and_large_columns():
    X, y = _sample()
    X[:, 3], X[:, 5] = y * 0.1 + 5, X[:, 5] * 1e148
    for criterion in CRITERIA:
        assert MRMR(criterion=criterion).fit(X, y).ranking_[3] == 1
    same = MRMR().fit(np.column_stack([_sample()[0][:, 5], _sample()[0][:, :3]]), y).ranking_
    assert (MRMR().fit(np.column_stack([X[:, 5], _sample()[0][:, :3]]), y).ranking_ == same).all()


def test_no_array_of_all_pairs():
    X = np.random.default_rng(0).random((20, 20_000), dtype=np.float32)
    tracemalloc.start()
    MRMR(depth=5).fit(X, np.arange(20) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * X.nbytes + 64e6  # all pairs would take 1.6 GB


def test_first_columns_of_a_real_set_are_less_alike_than_those_of_the_f_test():
    X, y = load("ALLAML")
    f = np.nan_to_num(f_classif(X, y)[0])
    alike = [
        np.abs(np.corrcoef(X[:, order[:20]].T)).mean()
        for order in (np.argsort(MRMR().fit(X, y).ranking_), np.argsort(-f))
    ]
    assert alike[0] < 0.8 * alike[1]


def test_one_column_few_rows_one_class():
    assert MRMR().fit([[1.0], [2.0]], ["a", "b"]).get_support().tolist() == [True]
    with pytest.raises(InputError, match="one class"):
        MRMR().fit([[1.0], [2.0]], ["a", "a"])


@pytest.mark.parametrize(
    "options",
    [
        {"criterion": "mi"},
        {"depth": 0},
        {"depth": 2.0},
        {"n_bins": 1},
        {"n_bins": 257},
        {"discrete_features": [14]},
    ],
)
def test_parameters_that_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        MRMR(**options).fit(*_sample())
