from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.selectors import k_center
from assay.selection.selectors.herding import HerdingSelector
from assay.selection.selectors.k_center import CostWarning
from assay.selection.selectors.random import RandomSelector
from assay.storage.errors import ConfigError, MissingInputError


def plain(X, budget):
    """Try every row as the next one; also the distance of means that each would give."""
    X = X.astype(np.float64)
    mean = X.mean(axis=0)
    chosen: list[int] = []
    told = np.zeros(len(X))
    for step in range(budget + 1):
        sums = X + X[chosen].sum(axis=0)
        away = np.linalg.norm(mean - sums / (step + 1), axis=1)
        free = ~np.isin(np.arange(len(X)), chosen)
        told[free] = away[free]
        if step < budget:
            chosen.append(int(np.argmin(np.where(free, np.round(away, 9), np.inf))))
    return chosen, told


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_trying_every_row(seed):
    X = np.random.default_rng(seed).normal(size=(120, 5)).astype(np.float32) + 3
    chosen, told = plain(X, 40)
    selector = HerdingSelector(budget=40).fit(X)
    assert selector.indices_.tolist() == chosen
    np.testing.assert_allclose(-selector.scores_, told, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=16), st.data())
def test_copies_and_all_rows(values, data):
    X = np.array(values, dtype=np.float32)[:, None]
    budget = data.draw(st.integers(1, len(X)))
    selector = HerdingSelector(budget=budget).fit(X)
    assert len(set(selector.indices_.tolist())) == budget
    # the first is nearest to the mean, and all rows together have it
    away = np.abs(X[:, 0].astype(np.float64) - X.mean(dtype=np.float64))
    assert away[selector.indices_[0]] == pytest.approx(away.min())
    if budget == len(X):
        assert selector.report_["mean_distance"] == pytest.approx(0, abs=1e-12)


def test_the_mean_is_matched_far_better_than_by_chance_or_by_the_farthest_rows():
    X = np.random.default_rng(0).gamma(1.0, size=(3_000, 10)).astype(np.float32)
    found = HerdingSelector(budget=60).fit(X).report_["mean_distance"]
    random = RandomSelector(budget=60).fit(X).indices_
    by_chance = np.linalg.norm(X[random].mean(axis=0) - X.mean(axis=0))
    assert found < by_chance / 10


@pytest.mark.parametrize("by", ["labels", "groups"])
def test_classes_are_herded_apart(by):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 3)).astype(np.float32)
    of_class = np.repeat(["a", "b", "c"], [70, 25, 5])
    given_ = {"y": of_class} if by == "labels" else {"groups": of_class}
    selector = HerdingSelector(budget=35, by=by).fit(X, **given_)
    assert selector.report_["shares"] == {"a": 15, "b": 15, "c": 5}
    for name in "abc":
        rows = np.flatnonzero(of_class == name)
        expected = rows[plain(X[rows], selector.report_["shares"][name])[0]]
        mine = selector.indices_[of_class[selector.indices_] == name]
        np.testing.assert_array_equal(mine, expected)
    assert of_class[selector.indices_[:3]].tolist() == ["a", "b", "c"]
    unlabeled = HerdingSelector(budget=4, by="labels").fit(
        X[:6], y=["a", None, "a", None, "a", "a"]
    )
    assert unlabeled.report_["shares"] == {"(none)": 2, "a": 2}


def test_more_classes_than_the_budget():
    X = np.random.default_rng(0).normal(size=(12, 2))
    selector = HerdingSelector(budget=5, by="labels").fit(X, y=np.arange(12))
    assert len(selector.indices_) == 5
    assert sum(selector.report_["shares"].values()) == 5


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(1)
    X = rng.integers(-2, 3, size=(80, 3)).astype(np.float32)
    ids = np.array([f"r{i:02}" for i in rng.permutation(80)])
    order = rng.permutation(80)
    one = HerdingSelector(budget=30).fit(X, ids=ids)
    other = HerdingSelector(budget=30).fit(X[order], ids=ids[order])
    assert ids[one.indices_].tolist() == ids[order][other.indices_].tolist()


def test_wrong_inputs_are_named(monkeypatch):
    X = np.random.default_rng(0).normal(size=(10, 2))
    with pytest.raises(ConfigError, match="by is"):
        HerdingSelector(budget=1, by="y").fit(X)
    with pytest.raises(MissingInputError, match="needs labels, and y"):
        HerdingSelector(budget=1, by="labels").fit(X)
    with pytest.raises(MissingInputError, match="needs groups"):
        HerdingSelector(budget=1, by="groups").fit(X, y=np.arange(10))
    monkeypatch.setattr(k_center, "MULTIPLY_ADDS", 10 * 2 * 3 - 1)
    with pytest.warns(CostWarning):
        HerdingSelector(budget=3).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HerdingSelector(budget=2).fit(X)


def test_a_class_that_is_called_as_rows_without_a_label_are():
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = ["(none)", None, "(none 2)"] * 10
    selector = HerdingSelector(budget=9, by="labels").fit(X, y)
    assert selector.report_["shares"] == {"(none)": 3, "(none 2)": 3, "(none 3)": 3}
    renamed = HerdingSelector(budget=9, by="labels").fit(X, ["b", "a", "c"] * 10)
    np.testing.assert_array_equal(np.sort(selector.indices_), np.sort(renamed.indices_))
    np.testing.assert_array_equal(selector.scores_, renamed.scores_)
    different = HerdingSelector(budget=9, by="labels").fit(X, range(30))
    assert len(set(different.indices_)) == 9
    assert np.isfinite(different.scores_).all()


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e6), (1e25, 0.0), (1e-25, 0.0), (1e20, 1e5)])
def test_neither_scale_nor_offset_changes_the_choice(scale, offset):
    X = np.random.default_rng(5).normal(size=(200, 4))
    expected = HerdingSelector(budget=20).fit(X)
    found = HerdingSelector(budget=20).fit((X + offset) * scale)
    np.testing.assert_array_equal(found.indices_[:10], expected.indices_[:10])
    np.testing.assert_allclose(found.scores_, expected.scores_ * scale, rtol=1e-3)
