from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment, linprog

from assay.selection.algorithms.sinkhorn import extended_potential, sinkhorn
from assay.storage.errors import ConfigError, InputError, NonFiniteError


def case(m, n, seed):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(m, 3)), rng.normal(size=(n, 3)) + 0.3
    cost = np.sqrt(((left[:, None] - right[None]) ** 2).sum(axis=2))
    a, b = rng.random(m) + 0.1, rng.random(n) + 0.1
    return cost, a / a.sum(), b / b.sum()


def plan_of(cost, a, b, found, epsilon):
    exponents = (found.rows[:, None] + found.columns - cost) / epsilon
    return a[:, None] * b * np.exp(exponents)


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0, 10.0])
def test_two_by_two_has_a_closed_form(epsilon):
    # half the mass of the plan is off the diagonal in the ratio exp(-1 / epsilon)
    found = sinkhorn([[0, 1], [1, 0]], epsilon=epsilon)
    assert found.cost == pytest.approx(1 / (1 + np.exp(1 / epsilon)), rel=1e-9, abs=1e-12)
    # with costs 0, c, c, 0 and masses (p, 1 - p) the plan solves x (1 - 2 p + x) = r (p - x)^2
    p, c = 0.3, 0.4
    found = sinkhorn([[0, c], [c, 0]], [p, 1 - p], [p, 1 - p], epsilon=epsilon, tolerance=1e-12)
    ratio = np.exp(2 * c / epsilon)
    roots = np.roots([1 - ratio, 1 - 2 * p + 2 * ratio * p, -ratio * p * p])
    diagonal = next(x.real for x in roots if 0 < x.real <= p and 1 - 2 * p + x.real > 0)
    assert found.cost == pytest.approx(2 * c * (p - diagonal), abs=1e-6)


def test_one_row_or_one_column_leaves_no_choice():
    cost = np.array([[0.2, 0.7, 0.4]])
    b = np.array([0.5, 0.2, 0.3])
    assert sinkhorn(cost, b=b).cost == pytest.approx(float(cost[0] @ b))
    assert sinkhorn(cost.T, a=b).cost == pytest.approx(float(cost[0] @ b))
    assert sinkhorn(np.zeros((4, 5))).cost == 0
    assert sinkhorn(np.full((4, 5), -2.0)).cost == pytest.approx(-2)


def test_a_small_epsilon_gives_the_exact_transport():
    cost, a, b = case(9, 7, seed=1)
    rows = np.kron(np.eye(9), np.ones(7))
    columns = np.kron(np.ones(9), np.eye(7))
    exact = linprog(cost.ravel(), A_eq=np.r_[rows, columns], b_eq=np.r_[a, b])
    found = sinkhorn(cost, a, b, epsilon=1e-3, max_iterations=20_000)
    assert found.cost == pytest.approx(exact.fun, abs=2e-3)
    assert found.cost >= exact.fun - 1e-6
    square = case(8, 8, seed=2)[0]
    pairs = linear_sum_assignment(square)
    found = sinkhorn(square, epsilon=1e-3, max_iterations=20_000)
    assert found.cost == pytest.approx(square[pairs].mean(), abs=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.05, 0.3, 2]))
def test_the_plan_has_the_masses_given(m, n, seed, epsilon):
    cost, a, b = case(m, n, seed)
    found = sinkhorn(cost, a, b, epsilon=epsilon)
    plan = plan_of(cost, a, b, found, epsilon)
    np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-9)
    assert found.error < 1e-6 or found.iterations == 2_000
    np.testing.assert_allclose(plan.sum(axis=0), b, atol=found.error + 1e-9)
    assert found.cost == pytest.approx((plan * cost).sum())
    other = sinkhorn(cost.T, b, a, epsilon=epsilon)
    slack = 1e-4 + (found.error + other.error) * cost.max()
    assert other.cost == pytest.approx(found.cost, abs=slack)


def test_iterations_are_limited_and_the_rows_fit_whenever_it_stops():
    cost, a, b = case(20, 30, seed=5)
    errors = []
    for most in (1, 2, 40, 51, 52, 53, 300):
        found = sinkhorn(cost, a, b, epsilon=0.02, tolerance=0, max_iterations=most)
        assert found.iterations == most
        plan = plan_of(cost, a, b, found, 0.02)
        np.testing.assert_allclose(plan.sum(axis=1), a, atol=1e-12)
        assert np.abs(plan.sum(axis=0) - b).sum() == pytest.approx(found.error, abs=1e-9)
        errors.append(found.error)
    assert errors[0] > errors[2] > errors[-1]


def test_far_costs_that_underflow_are_no_problem():
    # masses that must go far: every kernel value there is 0 in float64
    cost = np.array([[0.0, 900.0], [1_000.0, 2_000.0]])
    found = sinkhorn(cost, [0.5, 0.5], [0.9, 0.1], epsilon=0.5, max_iterations=5_000)
    # either way of the last tenth costs 100 more or less than the other
    assert found.cost == pytest.approx(0.4 * 0 + 0.1 * 900 + 0.5 * 1_000, rel=1e-3)
    assert np.isfinite(found.rows).all()


def test_potentials_are_the_gradient_by_the_masses():
    cost, a, b = case(6, 5, seed=3)
    epsilon, step = 0.2, 1e-5

    def optimum(masses):
        found = sinkhorn(cost, masses, b, epsilon=epsilon, tolerance=1e-13, max_iterations=9_999)
        plan = plan_of(cost, masses, b, found, epsilon)
        ratio = plan / (masses[:, None] * b)
        return (plan * cost).sum() + epsilon * (plan * np.log(ratio)).sum()

    found = sinkhorn(cost, a, b, epsilon=epsilon, tolerance=1e-13, max_iterations=9_999)
    for i, j in ((0, 1), (2, 5)):
        moved = a.copy()
        moved[[i, j]] += [step, -step]
        slope = (optimum(moved) - optimum(a)) / step
        assert slope == pytest.approx(found.rows[i] - found.rows[j], abs=1e-3)


def test_the_potential_extends_to_other_rows():
    cost = case(30, 20, seed=4)[0]
    found = sinkhorn(cost, epsilon=0.1, tolerance=1e-12)
    again = extended_potential(cost[:7], found.columns, 0.1)
    np.testing.assert_allclose(again, found.rows[:7], atol=1e-9)


@pytest.mark.parametrize("epsilon", [0.01, 0.05, 0.5])
def test_costs_and_plans_equal_those_of_pot(epsilon):
    ot = pytest.importorskip("ot", reason="POT is not installed")
    for seed, (m, n) in enumerate([(5, 5), (40, 25), (17, 90)]):
        cost, a, b = case(m, n, seed)
        found = sinkhorn(cost, a, b, epsilon=epsilon, tolerance=1e-9, max_iterations=50_000)
        theirs = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=100_000, stopThr=1e-10)
        assert found.cost == pytest.approx((theirs * cost).sum(), abs=1e-4)
        plan = plan_of(cost, a, b, found, epsilon)
        np.testing.assert_allclose(plan, theirs, atol=1e-4)


def test_what_can_not_be_transported_is_refused():
    for cost in ([1.0, 2.0], np.zeros((0, 3))):
        with pytest.raises(InputError, match="matrix"):
            sinkhorn(cost)
    with pytest.raises(NonFiniteError):
        sinkhorn([[np.nan]])
    with pytest.raises(ConfigError, match="epsilon"):
        sinkhorn([[1.0]], epsilon=0)
    for masses in ([0.5], [0.5, 0.6], [1.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(InputError, match="2 masses"):
            sinkhorn(np.ones((2, 3)), a=masses)
