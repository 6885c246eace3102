from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.top_k import (
    Cut,
    cut_at,
    key_histogram,
    refine,
    take_shard,
    threshold,
    top_k,
)

KEYS = st.lists(
    st.one_of(
        st.floats(width=64),
        st.sampled_from([0.0, -0.0, 1.5, 1.5, -2.0, np.inf, -np.inf, np.nan, 5e-324]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(KEYS, st.integers(0, 70), st.integers(0, 2**32 - 1))
def test_the_largest_keys_are_taken_and_ties_break_by_the_order_given(keys, k, seed):
    keys = np.array(keys)
    place = np.random.default_rng(seed).permutation(len(keys))
    found = top_k(keys, k, lambda rows: rows[np.argsort(place[rows])])
    held = np.flatnonzero(~np.isnan(keys))
    assert found.tolist() == held[np.lexsort((place[held], -keys[held]))][:k].tolist()


@settings(max_examples=80, deadline=None)
@given(KEYS, st.integers(0, 70), st.lists(st.integers(0, 60), max_size=5))
def test_any_shards_give_the_same_rows(keys, k, bounds):
    keys = np.array(keys)
    starts = [0, *sorted(min(bound, len(keys)) for bound in bounds), len(keys)]
    shards = [keys[a:b] for a, b in itertools.pairwise(starts)]
    whole, cut = cut_at([keys], k), cut_at(shards, k)
    assert whole == cut
    above, tied = take_shard(keys, whole)
    parts = [take_shard(shard, cut) for shard in shards]
    for one, many in ((above, [p[0] for p in parts]), (tied, [p[1] for p in parts])):
        moved = [rows + start for rows, start in zip(many, starts, strict=False)]
        assert np.concatenate(moved).tolist() == one.tolist()
    usable = np.count_nonzero(~np.isnan(keys))
    assert len(above) + (cut.left if len(tied) else 0) == min(k, usable)
    assert not len(tied) or 0 < cut.left < len(tied)


def test_histograms_are_asked_for_no_more_often_than_is_needed():
    keys = np.concatenate([np.full(10, 2.0), np.arange(100) / 7])
    asked = []

    def histogram_of(cut):
        asked.append(cut.level)
        return key_histogram(keys, cut)

    cut = threshold(histogram_of, 5)
    assert asked == [0, 1, 2, 3][: len(asked)]
    assert take_shard(keys, cut)[0].tolist() == [105, 106, 107, 108, 109]
    asked.clear()
    assert threshold(histogram_of, 0) == Cut(0)
    assert not asked
    # all keys: the first histogram's lowest bin holds no more than is left of them
    assert [len(rows) for rows in take_shard(keys, threshold(histogram_of, 110))] == [110, 0]


def test_histograms_of_shards_add_up():
    keys = np.random.default_rng(0).normal(size=1000)
    cut = refine(Cut(100), key_histogram(keys, Cut(100)))
    for at in (Cut(100), cut):
        parts = sum(key_histogram(part, at) for part in np.array_split(keys, 7))
        np.testing.assert_array_equal(parts, key_histogram(keys, at))
    assert key_histogram(keys, Cut(100)).sum() == 1000
    assert key_histogram(keys, cut).sum() == cut.tied


@pytest.mark.parametrize("k", [1, 500, 300_000])
def test_more_keys_than_are_looked_at_together(k):
    keys = np.random.default_rng(1).integers(0, 50_000, 600_000).astype(float)
    found = top_k(keys, k, np.sort)
    assert found.tolist() == np.argsort(-keys, kind="stable")[:k].tolist()
