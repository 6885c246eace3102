from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.cells import cluster
from assay.selection.contract.inputs import Inputs
from assay.selection.selectors.moderate import ModerateSelector
from assay.storage.errors import ConfigError


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.data())
def test_one_class_keeps_the_middle_ranks(n, data):
    budget = data.draw(st.integers(1, n))
    X = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    selector = ModerateSelector(budget=budget).fit(X, y=["a"] * n)
    distance = np.linalg.norm(X.astype(np.float64) - np.median(X, axis=0), axis=1)
    order = np.argsort(distance, kind="stable")
    begin = (n - budget) // 2
    assert sorted(selector.indices_) == sorted(order[begin : begin + budget])
    # where budget and class allow it, the same share is left out on both sides, as published
    rate = budget / n
    if (n - budget) % 2 == 0:
        low, high = round(n * (0.5 - rate / 2)), round(n * (0.5 + rate / 2))
        assert sorted(selector.indices_) == sorted(order[low:high])


def test_shares_are_proportional_and_exact():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c", "d"], [501, 300, 150, 49])
    X = rng.normal(size=(1_000, 4)).astype(np.float32)
    for budget in (1, 7, 100, 333, 1_000):
        selector = ModerateSelector(budget=budget).fit(X, y=y)
        shares = selector.report_["shares"]
        assert len(set(selector.indices_.tolist())) == sum(shares.values()) == budget
        for name, share in shares.items():
            size = (y == name).sum()
            assert abs(share - budget * size / 1_000) < 1
            rows = np.flatnonzero(y == name)
            away = np.linalg.norm(X[rows] - np.median(X[rows], axis=0), axis=1)
            begin = (size - share) // 2
            expected = rows[np.argsort(away, kind="stable")][begin : begin + share]
            mine = selector.indices_[y[selector.indices_] == name]
            assert sorted(mine) == sorted(expected)
    assert selector.report_["classes"] == "labels"


def test_the_order_of_preference_starts_in_the_middle_of_every_class():
    X = np.arange(10, dtype=np.float32)[:, None] ** 2
    y = np.repeat(["a", "b"], 5)
    selector = ModerateSelector(budget=10).fit(X, y=y)
    # class a: 0 1 4 9 16, center 4, by distance 4 1 0 9 16; the middle is 0, then the nearer side
    of_a = selector.indices_[y[selector.indices_] == "a"]
    assert of_a.tolist() == [0, 1, 3, 2, 4]
    assert y[selector.indices_].tolist() == ["a", "b"] * 5
    np.testing.assert_allclose(selector.scores_[of_a], [1, 0.6, 0.6, 0.2, 0.2])
    details = json.loads(selector.decisions()["detail"][0])
    assert details["distance"] == 4.0


def test_without_labels_clusters_take_their_place():
    X = np.random.default_rng(0).normal(size=(160, 6)).astype(np.float32)
    found = ModerateSelector(budget=20, clusters=4).fit(X)
    assert found.report_["classes"] == "clusters"
    assert sum(found.report_["shares"].values()) == 20
    cells = cluster(X, 4, "l2", Inputs(X=X).noise(0, "moderate")).of_row
    assert len(np.unique(cells)) == len(found.report_["shares"]) == 4
    labeled = ModerateSelector(budget=20).fit(X, y=cells)
    np.testing.assert_array_equal(found.indices_, labeled.indices_)
    assert len(ModerateSelector(budget=3, clusters=50).fit(X[:3]).indices_) == 3
    copies = ModerateSelector(budget=3).fit(np.ones((9, 2)))
    assert len(copies.indices_) == 3


@pytest.mark.parametrize("labeled", [True, False])
def test_the_order_of_the_rows_does_not_matter(labeled):
    rng = np.random.default_rng(1)
    X = rng.integers(-2, 3, size=(90, 3)).astype(np.float32) + 0.5
    ids = np.array([f"r{i:02}" for i in rng.permutation(90)])
    y = rng.choice(["a", "b", None], 90)
    order = rng.permutation(90)
    one = ModerateSelector(budget=40).fit(X, y if labeled else None, ids=ids)
    other = ModerateSelector(budget=40).fit(X[order], y[order] if labeled else None, ids=ids[order])
    assert ids[one.indices_].tolist() == ids[order][other.indices_].tolist()


def test_the_cosine_does_not_see_lengths():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    longer = X * rng.choice([0.5, 2.0, 8.0], 60)[:, None].astype(np.float32)
    y = rng.integers(0, 3, 60)
    one, other = (ModerateSelector(budget=20, metric="cosine").fit(V, y) for V in (X, longer))
    np.testing.assert_array_equal(one.indices_, other.indices_)


@pytest.mark.parametrize(
    "wrong", [{"metric": "ip"}, {"clusters": 0}, {"clusters": 2.5}, {"clusters": True}]
)
def test_parameters_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ModerateSelector(budget=1, **wrong).fit(np.eye(3), y=[0, 1, 1])


def test_a_class_that_is_called_as_rows_without_a_label_are():
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = ["(none)", None, "(none 2)"] * 10
    selector = ModerateSelector(budget=9).fit(X, y)
    assert selector.report_["shares"] == {"(none)": 3, "(none 2)": 3, "(none 3)": 3}
    renamed = ModerateSelector(budget=9).fit(X, ["b", "a", "c"] * 10)
    np.testing.assert_array_equal(np.sort(selector.indices_), np.sort(renamed.indices_))
    np.testing.assert_array_equal(selector.scores_, renamed.scores_)
    different = ModerateSelector(budget=9).fit(X, range(30))
    assert len(set(different.indices_)) == 9
    assert np.isfinite(different.scores_).all()
