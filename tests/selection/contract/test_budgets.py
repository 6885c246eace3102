from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.selection.contract.budgets import parse_budget, resolve_budget
from assay.storage.errors import BudgetError


@pytest.mark.parametrize(
    ("budget", "n", "count"),
    [
        (1, 10, 1),
        (10, 10, 10),
        (np.int64(3), 10, 3),
        (1.0, 10, 10),
        (0.1, 10, 1),
        (0.01, 10, 1),
        (0.19, 10, 1),
        (0.29, 100, 29),
        (0.57, 100, 57),
        (1 / 3, 3_000, 1_000),
        ("10%", 1_000, 100),
        ("29%", 100, 29),
        ("2.5%", 1_000, 25),
        ("100%", 7, 7),
        ("7", 10, 7),
        ("0.5", 10, 5),
        (" 1_000 ", 2_000, 1_000),
    ],
)
def test_a_budget_is_a_count_or_a_share(budget, n, count):
    assert resolve_budget(budget, n) == count


@pytest.mark.parametrize(
    "budget",
    [True, False, np.bool_(True), 0, -1, 0.0, -0.1, 1.5, math.nan, math.inf, "120%", "0%", "0",
     "-5", "many", "", "nan", "1.5", None, [1], 1 + 0j],
)  # fmt: skip
def test_what_is_no_budget_is_refused_and_told_what_is(budget):
    for read in (parse_budget, lambda value: resolve_budget(value, 100)):
        with pytest.raises(BudgetError, match=r"may be a count .* a share .*10%"):
            read(budget)


def test_more_rows_than_the_pool_has_is_refused_with_both_numbers():
    with pytest.raises(BudgetError, match=r"11 rows but the pool has 10"):
        resolve_budget(11, 10)


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_whole_percentages_are_exact(n, percent):
    assert resolve_budget(percent / 100, n) == max(1, math.floor(Fraction(percent, 100) * n))
