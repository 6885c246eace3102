"""Budgets, quotas, minima and costs, against a walk down the order one row at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.plan.constraints import Constraints, bounds, checked_cost, take, total_budget
from assay.storage.errors import BudgetError, ConfigError, InputError


def walk(order, budget, groups, most, least, must):
    """Take rows one at a time, keeping enough of the budget for the groups' minima."""
    names = range(len(most))
    held = [sum(groups[row] == g for row in order) for g in names]
    missing = [min(least[g], held[g]) for g in names]
    taken, count = [], [0] * len(most)
    for row in [*[r for r in order if must[r]], *[r for r in order if not must[r]]]:
        g = groups[row]
        needed = g >= 0 and count[g] < missing[g]
        open_ = sum(max(0, missing[h] - count[h]) for h in names)
        if not must[row]:
            if g >= 0 and count[g] >= most[g]:
                continue
            if len(taken) + open_ >= budget and not needed:
                continue
            if len(taken) >= budget:
                continue
        taken.append(row)
        if g >= 0:
            count[g] += 1
    return taken


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_rows_under_quotas_and_minima_are_those_of_the_walk(data) -> None:
    n = data.draw(st.integers(1, 30))
    size = data.draw(st.integers(1, 4))
    groups = np.array(data.draw(st.lists(st.integers(-1, size - 1), min_size=n, max_size=n)))
    order = np.array(data.draw(st.permutations(range(n))))
    budget = data.draw(st.integers(1, n))
    most = np.array([data.draw(st.integers(0, n)) for _ in range(size)], dtype=float)
    least = np.array([data.draw(st.integers(0, int(m))) for m in most], dtype=float)
    held = np.bincount(groups[groups >= 0], minlength=size)
    found = Constraints(
        budget=budget, must=np.zeros(n, bool), groups=groups, names=list("abcd")[:size],
        most=most, least=least,
    )  # fmt: skip
    if np.minimum(least, held).sum() > budget:
        with pytest.raises(BudgetError, match="minima"):
            take(order, found)
        return
    taken = take(order, found)
    expected = walk(order, budget, groups, most, least, np.zeros(n, bool))
    assert sorted(taken.rows) == sorted(expected)
    assert taken.missing == budget - len(taken.rows)
    everyone = np.concatenate([taken.rows, taken.full, taken.costly, taken.displaced])
    assert sorted(everyone) == list(range(n))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_cost_is_not_exceeded_and_nothing_passed_over_still_fits(data) -> None:
    n = data.draw(st.integers(1, 30))
    cost = np.array(data.draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)), dtype=float)
    order = np.array(data.draw(st.permutations(range(n))))
    budget = data.draw(st.integers(1, 60))
    taken = take(order, Constraints(budget=budget, must=np.zeros(n, bool), cost=cost))
    left, expected = float(budget), []
    for row in order:
        if cost[row] <= left:
            expected.append(row)
            left -= cost[row]
    assert taken.rows.tolist() == expected
    assert taken.missing == left
    assert (cost[taken.costly] > left).all()


def test_must_include_rows_come_first_and_count() -> None:
    must = np.array([False, False, True, False])
    taken = take(np.array([0, 1, 2, 3]), Constraints(budget=2, must=must))
    assert taken.rows.tolist() == [2, 0]
    assert taken.displaced.tolist() == [1, 3]
    with pytest.raises(BudgetError, match="must-include"):
        take(np.arange(4), Constraints(budget=1, must=np.array([True, True, False, False])))
    grouped = Constraints(
        budget=3, must=must | True, groups=np.zeros(4, int), names=["news"],
        most=np.array([2.0]), least=np.array([0.0]),
    )  # fmt: skip
    with pytest.raises(BudgetError):
        take(np.arange(4), grouped)


def test_bounds_are_numbers_or_shares_of_the_budget() -> None:
    found = bounds(
        {"a": 3, "b": 0.29, "*": 0.5},
        ["a", "b", "c"],
        100,
        default=math.inf,
        whole=True,
        what="quotas",
    )
    assert found.tolist() == [3, 29, 50]
    with pytest.raises(ConfigError, match="'z', which no row has; there are: a"):
        bounds({"z": 1}, ["a"], 10, default=0, whole=True, what="quotas")
    with pytest.raises(ConfigError, match="pass a whole number"):
        bounds({"a": 1.5}, ["a"], 10, default=0, whole=True, what="quotas")


def test_budget_in_cost() -> None:
    cost = np.array([1.5, 2.5, 6.0])
    assert total_budget(0.5, 3, cost) == 5
    assert total_budget(4, 3, cost) == 4
    with pytest.raises(BudgetError, match="10 in all"):
        total_budget(11, 3, cost)


@pytest.mark.parametrize("n", [2, 11])
def test_costs_whose_sum_overflows_are_refused(n):
    with pytest.raises(
        InputError, match=r"'price' adds up to more than a 64-bit float holds .*1e\+308"
    ):
        checked_cost(np.full(n, 1e308), "price")
    assert checked_cost(np.array([1e308, 1.0]), "price").tolist() == [1e308, 1.0]
