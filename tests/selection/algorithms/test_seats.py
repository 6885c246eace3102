"""Seats by importance, against seats given one at a time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import share_seats
from assay.storage.errors import ConfigError, InputError


def one_at_a_time(votes, seats):
    got = Counter()
    for _ in range(seats):
        best = max(sorted(votes), key=lambda name: votes[name] / (got[name] + 1))
        got[best] += 1
    return got


@settings(max_examples=25, deadline=None)
@given(
    scores=st.lists(st.integers(-3, 20), min_size=1, max_size=9),
    seats=st.integers(1, 30),
    threshold=st.sampled_from([0.0, 0.05, 0.2]),
)
def test_seats_are_those_of_one_at_a_time(scores, seats, threshold):
    names = [f"{'abc'[i % 3]}_{i}" for i in range(len(scores))]
    votes = Counter()
    for name, score in zip(names, scores, strict=True):
        votes[name[0]] += max(score, 0)
    total = sum(votes.values())
    counted = {name: v for name, v in votes.items() if v > 0 and v / total >= threshold}
    if not counted:
        with pytest.raises(InputError, match="No alliance"):
            share_seats(names, scores, seats=seats, threshold=threshold, alliance="_")
        return
    found = share_seats(names, scores, seats=seats, threshold=threshold, alliance="_")
    assert found["seats"].sum() == seats
    got = {name: n for name, n in found.select("alliance", "seats").iter_rows() if n}
    assert got == {name: n for name, n in one_at_a_time(counted, seats).items() if n}
    by_function = share_seats(
        names, scores, seats=seats, threshold=threshold, alliance=lambda name: name[0]
    )
    assert by_function.equals(found)


def test_columns_stand_alone_without_a_separator_and_bounds_are_checked():
    found = share_seats(["x", "y"], [3.0, 1.0], seats=4)
    assert found.rows() == [("x", 1, 0.75, 3), ("y", 1, 0.25, 1)]
    with pytest.raises(ConfigError, match="threshold"):
        share_seats(["x"], [1.0], threshold=1.0)
    for scores in ([1.0], [1.0, np.nan]):
        with pytest.raises(InputError, match="one finite number"):
            share_seats(["x", "y"], scores)
