from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.selectors import k_center
from assay.selection.selectors.k_center import CostWarning, KCenterSelector
from assay.storage.errors import ConfigError, InputError


def squares(X, point):
    return ((X.astype(np.float64) - point) ** 2).sum(axis=1)


def plain(X, budget):
    """Farthest-first traversal with the distance of every row to every row taken."""
    X = X.astype(np.float64)
    chosen = [int(np.argmin(squares(X, X.mean(axis=0))))]
    nearest = squares(X, X[chosen[0]])
    bounds = [nearest.max()]
    while len(chosen) < budget:
        free = np.where(np.isin(np.arange(len(X)), chosen), -1, nearest)
        chosen.append(int(np.argmax(free)))
        bounds.append(nearest[chosen[-1]])
        nearest = np.minimum(nearest, squares(X, X[chosen[-1]]))
    return chosen, np.sqrt(bounds), float(np.sqrt(nearest.max()))


def unit(X):
    lengths = np.sqrt((X.astype(np.float64) ** 2).sum(axis=1))[:, None]
    return (X / np.where(lengths > 0, lengths, 1)).astype(np.float32)


@pytest.mark.parametrize("d", [1, 2, 17, 64])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_the_order_is_that_of_the_plain_method(d, metric):
    X = np.random.default_rng(d).normal(size=(1_500, d)).astype(np.float32)
    selector = KCenterSelector(budget=300, metric=metric).fit(X)
    chosen, bounds, radius = plain(X if metric == "l2" else unit(X), 300)
    assert selector.indices_.tolist() == chosen
    if metric == "cosine":
        bounds, radius = bounds**2 / 2, radius**2 / 2
    np.testing.assert_allclose(selector.scores_[chosen], bounds, rtol=1e-9)
    assert selector.report_["radius"] == pytest.approx(radius, rel=1e-9)
    assert (np.diff(selector.scores_[chosen]) <= 0).all()
    assert selector.report_["multiply_adds"] == 1_500 * 300 * d
    assert selector.report_["distances"] < 1


@st.composite
def pools(draw):
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    # whole numbers, so that distances are exact and ties and copies are many
    values = draw(st.lists(st.integers(-3, 3), min_size=n * d, max_size=n * d))
    return np.array(values, dtype=np.float32).reshape(n, d)


@settings(max_examples=200, deadline=None)
@given(pools(), st.data())
def test_ties_and_copies_to_the_last_row(X, data):
    budget = data.draw(st.integers(1, len(X)))
    selector = KCenterSelector(budget=budget, metric="l2").fit(X)
    chosen, _, radius = plain(X, budget)
    assert selector.indices_.tolist() == chosen
    assert selector.report_["radius"] == pytest.approx(radius)
    # bounds hold for the rows that were not taken
    near = np.sqrt(np.min([squares(X, X[row]) for row in chosen], axis=0))
    rest = np.setdiff1d(np.arange(len(X)), chosen)
    assert (selector.scores_[rest] >= near[rest] - 1e-9).all()
    assert (selector.scores_[rest] <= selector.scores_[chosen[0]] + 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(pools(), st.integers(1, 4))
def test_the_radius_is_at_most_twice_the_best(X, budget):
    budget = min(budget, len(X))
    best = min(
        max(min(np.linalg.norm(x - X[row]) for row in rows) for x in X)
        for rows in combinations(range(len(X)), budget)
    )
    found = KCenterSelector(budget=budget, metric="l2").fit(X).report_["radius"]
    assert found <= 2 * best + 1e-9


def test_every_smaller_budget_is_a_prefix():
    X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    all_rows = KCenterSelector(budget=300, metric="l2").fit(X)
    assert sorted(all_rows.indices_.tolist()) == list(range(300))
    for budget in (1, 2, 77):
        some = KCenterSelector(budget=budget, metric="l2").fit(X)
        np.testing.assert_array_equal(some.indices_, all_rows.indices_[:budget])
    assert not hasattr(some, "ranking_")


def test_ids_decide_and_the_order_of_the_rows_does_not():
    rng = np.random.default_rng(1)
    X = rng.integers(-2, 3, size=(90, 3)).astype(np.float32)
    ids = np.array([f"r{i:02}" for i in rng.permutation(90)])
    order = rng.permutation(90)
    one = KCenterSelector(budget=40).fit(X, ids=ids)
    other = KCenterSelector(budget=40).fit(X[order], ids=ids[order])
    assert ids[one.indices_].tolist() == ids[order][other.indices_].tolist()


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e18, 1e30])
def test_very_small_and_very_large_vectors(scale):
    X = (np.random.default_rng(2).normal(size=(200, 4)) * scale).astype(np.float32)
    assert KCenterSelector(budget=60, metric="l2").fit(X).indices_.tolist() == plain(X, 60)[0]


def test_much_work_is_announced(monkeypatch):
    monkeypatch.setattr(k_center, "MULTIPLY_ADDS", 100 * 10 * 3 - 1)
    X = np.random.default_rng(0).normal(size=(100, 3))
    with pytest.warns(CostWarning, match="100 rows times a budget of 10"):
        KCenterSelector(budget=10).fit(X)


def test_wrong_inputs_are_named():
    with pytest.raises(ConfigError, match="metric"):
        KCenterSelector(budget=1, metric="ip").fit(np.eye(3))
    with pytest.raises(InputError, match="shape"):
        KCenterSelector(budget=1).fit(np.ones(3))
