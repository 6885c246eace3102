"""What rankers choose themselves: the number of columns, alpha, the split of scores."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from assay.selection import ECFS, DistanceCorrelation, FisherScore, InfFS, registry
from assay.selection.tables.inner_validation import (
    accuracies,
    choose_alpha,
    choose_count,
    counts_up_to,
    folds,
    split_count,
)
from assay.storage.errors import BudgetError, ConfigError, InputError
from tests.selection.feature_sets import load

RANKERS = [entry.name for entry in registry.entries("ranker")]


def _sample(n=120, d=30, informative=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    X = rng.standard_normal((n, d))
    X[:, :informative] += 2 * rng.standard_normal((classes, informative))[y]
    return X, y


# the split of scores


def _brute(scores):
    descending = np.sort(scores)[::-1]
    within = [
        np.square(a - a.mean()).sum() + np.square(b - b.mean()).sum()
        for a, b in (np.split(descending, [k]) for k in range(1, len(scores)))
    ]
    return within


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(2, 25), elements=st.integers(-40, 40).map(float)))
def test_the_split_has_the_least_sum_of_squares(scores):
    count = split_count(scores)
    if scores.max() == scores.min():
        assert count == 1
    else:
        within = _brute(scores)
        assert within[count - 1] == pytest.approx(min(within), abs=1e-9)


def test_the_split_of_two_clear_groups_and_of_one_score():
    assert split_count(np.array([9.0, 0.1, 8.5, 0.0, 0.2, 9.5])) == 3
    assert split_count(np.array([2.0])) == 1


# folds and accuracies


def test_folds_share_out_the_classes_and_do_not_depend_on_the_order_of_rows():
    X, y = _sample(n=53, classes=3)
    found = folds(X, y)
    tested = np.concatenate([test for _, test in found])
    assert sorted(tested) == list(range(53))
    for learn, test in found:
        assert sorted(np.concatenate([learn, test])) == list(range(53))
        counts = np.bincount(y[test], minlength=3)
        assert counts.max() - counts.min() <= 2
    order = np.random.default_rng(0).permutation(53)
    for (_, test), (_, moved) in zip(found, folds(X[order], y[order]), strict=True):
        np.testing.assert_array_equal(X[test], X[order][moved])


def test_classes_of_one_row_are_left_out_of_folds():
    X, _ = _sample(n=12)
    y = np.array([0] * 6 + [1] * 5 + [2])
    assert sorted(np.concatenate([test for _, test in folds(X, y)])) == list(range(11))
    with pytest.raises(InputError, match="2 rows of at least 2 classes"):
        folds(X[:3], np.array([0, 0, 1]))


def test_accuracies_are_those_of_the_two_classifiers():
    X, y = _sample(n=90)
    fold = folds(X, y)[0]
    order = np.random.default_rng(1).permutation(X.shape[1])
    found = accuracies(X, y, fold, order, [2, 7, 30])
    learn, test = fold
    Z = (X - X[learn].mean(axis=0)) / X[learn].std(axis=0)
    for k, accuracy in zip([2, 7, 30], found, strict=True):
        columns = order[:k]
        expected = [
            model.fit(Z[learn][:, columns], y[learn]).score(Z[test][:, columns], y[test])
            for model in (KNeighborsClassifier(5), NearestCentroid())
        ]
        assert accuracy == pytest.approx(np.mean(expected), abs=2e-2)


def test_counts_that_are_tried():
    assert counts_up_to(1) == [1]
    assert counts_up_to(10) == [1, 2, 5, 10]
    assert counts_up_to(500)[-1] == 500
    assert counts_up_to(10_000)[-1] == 500


# the number of columns


def test_the_smallest_count_within_one_standard_error_is_taken():
    X, y = _sample(informative=4)
    choice = choose_count(lambda rows: np.arange(30), X, y)
    accuracy, error = choice.tried["accuracy"].to_numpy(), choice.tried["error"].to_numpy()
    best = accuracy.argmax()
    enough = accuracy >= accuracy[best] - error[best]
    assert choice.value == choice.tried["value"].to_numpy()[enough][0]
    assert choice.value in (2, 5)


@pytest.mark.parametrize("name", RANKERS)
def test_every_ranker_chooses_how_many_columns_it_keeps(name):
    X, y = _sample(n=90, d=12)
    make = registry.get(name, "ranker")
    small = {"hidden": 20, "epochs": 3} if name == "quick_selection" else {}
    ranker = make(n_features_to_select="auto", **small).fit(X, y)
    assert ranker.get_support().sum() == ranker.n_features_
    assert 1 <= ranker.n_features_ <= 12
    again = clone(ranker).fit(X, y)
    assert again.n_features_ == ranker.n_features_
    if ranker._uses_labels:
        assert set(ranker.validation_["parameter"]) == {"n_features_to_select"}
        order = np.random.default_rng(2).permutation(90)
        assert clone(ranker).fit(X[order], y[order]).n_features_ == ranker.n_features_
    else:
        assert ranker.n_features_ == split_count(ranker.scores_)


def test_informative_columns_are_enough_for_the_automatic_count():
    X, y = _sample(n=300, d=200, informative=5, seed=3)
    ranker = FisherScore("auto").fit(X, y)
    assert ranker.n_features_ in (2, 5)
    assert set(np.flatnonzero(ranker.get_support())) <= set(range(5))


def test_the_automatic_count_for_numbers():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 20))
    ranker = DistanceCorrelation("auto", target="numbers").fit(X, 2 * X[:, 3] + X[:, 5])
    assert ranker.n_features_ == 2
    assert ranker.get_support(indices=True).tolist() == [3, 5]


def test_auto_is_decided_by_fit():
    X, y = _sample()
    ranker = ECFS().fit(X, y).set_params(n_features_to_select="auto")
    with pytest.raises(ConfigError, match="fit again"):
        ranker.get_support()
    ranker.fit(X, y)
    assert ranker.set_params(n_features_to_select=7).get_support().sum() == 7
    assert not hasattr(ranker.fit(X, y), "n_features_")
    with pytest.raises(BudgetError, match="'auto'"):
        ECFS("all").fit(X, y)


# alpha


def test_another_alpha_is_taken_only_where_it_is_clearly_better():
    X, y = _sample(n=200, d=40, informative=3)
    good, bad = np.arange(40.0)[::-1], np.arange(40.0)
    for value, scores in ((0.2, {0.2: good, 0.9: bad}), (0.9, {0.2: bad, 0.9: good})):
        found = choose_alpha(lambda rows, s=scores: s.__getitem__, X, y, [0.2, 0.9], 0.9, [3, 5])
        assert found.value == value
    same = choose_alpha(lambda rows: lambda alpha: good, X, y, [0.2, 0.9], 0.9, [3, 5])
    assert same.value == 0.9


@pytest.mark.parametrize("make", [ECFS, lambda *a, **k: InfFS(*a, supervised=True, **k)])
def test_alpha_by_cross_validation(make):
    X, y = _sample(n=150, d=60)
    ranker = make(5, alpha="cv").fit(X, y)
    fixed = make(5, alpha=ranker.alpha_).fit(X, y)
    np.testing.assert_array_equal(ranker.scores_, fixed.scores_)
    assert fixed.alpha_ == ranker.alpha_
    assert ranker.alpha_ in ranker.validation_["value"].to_list()
    order = np.random.default_rng(0).permutation(150)
    moved = clone(ranker).fit(X[order], y[order])
    assert moved.alpha_ == ranker.alpha_
    assert moved.validation_.equals(ranker.validation_)
    both = make("auto", alpha="cv").fit(X, y)
    assert set(both.validation_["parameter"]) == {"alpha", "n_features_to_select"}


def test_alpha_by_cross_validation_is_as_accurate_as_the_default():
    gains = []
    for name in ("colon", "Prostate-GE"):
        X, y = load(name)
        order = np.random.default_rng(0).permutation(len(y))
        for test in np.array_split(order, 3):
            learn = np.setdiff1d(order, test)
            fold = learn, test
            for options, sign in (({"alpha": "cv"}, 1), ({}, -1)):
                ranker = ECFS(50, **options).fit(X[learn], y[learn])
                columns = np.argsort(ranker.ranking_)
                gains.append(sign * accuracies(X, y, fold, columns, [50])[0])
    assert 2 * np.mean(gains) > -0.02


@pytest.mark.parametrize("ranker", [ECFS(alpha="best"), InfFS(supervised=True, alpha="best")])
def test_other_texts_for_alpha_are_refused(ranker):
    with pytest.raises(ConfigError, match="alpha is 'best'"):
        ranker.fit(*_sample())


def test_without_labels_alpha_cannot_be_validated():
    with pytest.raises(ConfigError, match="needs labels"):
        InfFS(alpha="cv").fit(_sample()[0])


def test_what_was_tried_is_a_table():
    ranker = ECFS("auto", alpha="cv").fit(*_sample())
    assert isinstance(ranker.validation_, pl.DataFrame)
    assert ranker.validation_.columns == ["parameter", "value", "accuracy", "error"]
    assert ranker.validation_["accuracy"].is_between(0, 1).all()
