from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.allocation import allocate
from assay.storage.errors import BudgetError, ConfigError

RULES = ["even", "proportional", "largest_remainder", "dhondt"]


def plain_even(counts, total):
    """Bins served from the smallest up: each gets its size or an equal part of the rest."""
    shares, rest = np.zeros(len(counts), dtype=int), total
    for served, bin_ in enumerate(np.argsort(counts, kind="stable")):
        shares[bin_] = min(counts[bin_], rest // (len(counts) - served))
        rest -= shares[bin_]
    return shares.tolist()


def plain_dhondt(weights, total, low, high):
    """One seat at a time, in exact fractions."""
    shares = list(low)
    for _ in range(total - sum(low)):
        open_bins = [i for i in range(len(shares)) if shares[i] < high[i] and weights[i] > 0]
        shares[max(open_bins, key=lambda i: (Fraction(weights[i], shares[i] + 1), -i))] += 1
    return shares


def plain_remainders(weights, total, low, high):
    """Quotas in exact fractions: bins that break a bound are fixed one by one."""
    corners = sorted(
        {
            Fraction(bound, w)
            for w, least, h in zip(weights, low, high, strict=True)
            if w
            for bound in (least, h)
        }
    )

    def at(factor):
        return [
            min(max(factor * w, least), h) for w, least, h in zip(weights, low, high, strict=True)
        ]

    start = max([c for c in corners if sum(at(c)) <= total], default=Fraction(0))
    slope = sum(
        w for w, least, h in zip(weights, low, high, strict=True) if w and least <= start * w < h
    )
    rest = total - sum(at(start))
    quotas = at(start + Fraction(rest, slope) if rest else start)
    shares = [q.numerator // q.denominator if isinstance(q, Fraction) else q for q in quotas]
    order = sorted(range(len(shares)), key=lambda i: (shares[i] - quotas[i], i))
    for bin_ in order[: total - sum(shares)]:
        shares[bin_] += 1
    return shares


@st.composite
def bounded(draw, most=40):
    n = draw(st.integers(1, 12))
    counts = draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
    low = [draw(st.integers(0, min(c, 5))) for c in counts]
    high = [draw(st.integers(least, c + 3)) for least, c in zip(low, counts, strict=True)]
    capped = [min(h, c) for h, c in zip(high, counts, strict=True)]
    weights = draw(st.lists(st.integers(0, 60), min_size=n, max_size=n))
    used = [c if w else least for w, least, c in zip(weights, low, capped, strict=True)]
    total = draw(st.integers(sum(low), sum(used)))
    return counts, low, high, capped, weights, total


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=20), st.floats(0, 1))
def test_even_is_water_filling_from_the_smallest_up(counts, share):
    total = int(sum(counts) * share)
    assert allocate(counts, total).tolist() == plain_even(counts, total)


@settings(max_examples=300, deadline=None)
@given(bounded(), st.sampled_from(RULES))
def test_shares_are_exact_and_within_their_bounds(case, rule):
    counts, low, high, capped, weights, total = case
    options = {} if rule == "even" else {"weights": weights}
    shares = allocate(counts, total, rule=rule, minima=low, maxima=high, **options)
    assert shares.dtype == np.int64
    assert shares.sum() == total
    assert (shares >= low).all()
    assert (shares <= capped).all()
    again = allocate(counts, total, rule=rule, minima=low, maxima=high, **options)
    np.testing.assert_array_equal(shares, again)


@settings(max_examples=300, deadline=None)
@given(bounded())
def test_even_within_bounds_is_level(case):
    counts, low, high, capped, _, total = case
    shares = allocate(counts, total, minima=low, maxima=high)
    may_grow, may_shrink = shares < capped, shares > low
    if may_grow.any() and may_shrink.any():
        assert shares[may_shrink].max() - shares[may_grow].min() <= 1


@settings(max_examples=300, deadline=None)
@given(bounded())
def test_dhondt_is_that_of_one_seat_at_a_time(case):
    counts, low, high, capped, weights, total = case
    shares = allocate(counts, total, rule="dhondt", weights=weights, minima=low, maxima=high)
    assert shares.tolist() == plain_dhondt(weights, total, low, capped)


@settings(max_examples=300, deadline=None)
@given(bounded())
def test_largest_remainders_are_those_of_exact_fractions(case):
    counts, low, high, capped, weights, total = case
    arguments = {"weights": weights, "minima": low, "maxima": high}
    shares = allocate(counts, total, rule="largest_remainder", **arguments)
    assert shares.tolist() == plain_remainders(weights, total, low, capped)
    alias = allocate(counts, total, rule="proportional", **arguments)
    np.testing.assert_array_equal(shares, alias)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8), st.floats(0, 1))
def test_dhondt_never_takes_back(counts, share):
    total = int(sum(counts) * share)
    shares = allocate(counts, total, rule="dhondt")
    if total:
        fewer = allocate(counts, total - 1, rule="dhondt")
        assert (shares >= fewer).all()
        assert (shares - fewer).sum() == 1


def test_known_elections():
    votes = [100_000, 80_000, 30_000, 20_000]
    assert allocate([99] * 4, 8, rule="dhondt", weights=votes).tolist() == [4, 3, 1, 0]
    votes = [47_000, 16_000, 15_800, 12_000, 6_100, 3_100]
    shares = allocate([99] * 6, 10, rule="largest_remainder", weights=votes)
    assert shares.tolist() == [5, 2, 1, 1, 1, 0]
    # equal claims: earlier bins first
    assert allocate([9] * 4, 6, rule="dhondt", weights=[1] * 4).tolist() == [2, 2, 1, 1]
    assert allocate([9] * 4, 6, rule="proportional", weights=[1] * 4).tolist() == [2, 2, 1, 1]
    assert allocate([4, 2], 3, rule="dhondt").tolist() == [2, 1]


@pytest.mark.parametrize("rule", RULES)
def test_large_totals_take_no_longer(rule):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 10**9, 5_000)
    total = int(counts.sum() // 3)
    shares = allocate(counts, total, rule=rule)
    assert shares.sum() == total
    assert (shares <= counts).all()
    if rule != "even":
        assert abs(shares - counts * (total / counts.sum())).max() < (
            5_000 if rule == "dhondt" else 1
        )
        weights = [1e-300, 1, 1e300]
        assert allocate([3, 3, 3], 4, rule=rule, weights=weights).tolist() == [0, 1, 3]


def test_weights_and_bounds_of_one_bin_or_none():
    for rule in RULES:
        assert allocate([], 0, rule=rule).tolist() == []
        assert allocate([7], 3, rule=rule).tolist() == [3]
        assert allocate([7, 0], 7, rule=rule).tolist() == [7, 0]
    assert allocate([9, 9], 6, rule="dhondt", weights=[1, 0], minima=[0, 2]).tolist() == [4, 2]
    assert allocate([9, 9, 9], 9, minima=2, maxima=[2, 9, 9]).tolist() == [2, 3, 4]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("options", "total", "said"),
    [
        ({}, -1, "negative"),
        ({}, 7, "at most 6"),
        ({"maxima": 1}, 4, "at most 3"),
        ({"minima": [0, 1, 3]}, 3, "minima sum to 4"),
        ({"minima": [0, 3, 0]}, 4, "minimum of bin 1 is 3 but it may take at most 2"),
        ({"minima": 1, "maxima": [1, 0, 3]}, 4, "minimum of bin 1"),
    ],
)
def test_what_the_bounds_do_not_allow_is_refused_and_named(rule, options, total, said):
    with pytest.raises(BudgetError, match=said):
        allocate([1, 2, 3], total, rule=rule, **options)


def test_what_is_no_allocation_is_refused():
    with pytest.raises(BudgetError, match="weight above 0"):
        allocate([5, 5], 7, rule="dhondt", weights=[1, 0])
    with pytest.raises(BudgetError, match="weight above 0"):
        allocate([5, 5], 1, rule="proportional", weights=[0, 0])
    for total in (2.5, True, "3", None):
        with pytest.raises(BudgetError, match="whole number"):
            allocate([5, 5], total)
    for options in (
        {"rule": "hare"},
        {"weights": [1, 1]},
        {"rule": "dhondt", "weights": [1]},
        {"rule": "dhondt", "weights": [1, -1]},
        {"rule": "dhondt", "weights": [1, np.nan]},
        {"minima": [1]},
        {"maxima": [1.5, 2]},
        {"minima": -1},
    ):
        with pytest.raises(ConfigError):
            allocate([5, 5], 4, **options)
