"""Systematic sampling along nested clusters: shares by design, inclusion alike, no favorites."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.selectors.stratified import StratifiedSelector, cell_counts, reversed_bits
from assay.storage.errors import ConfigError


def kinds(sizes, seed=0, spread=0.01):
    """Tight, distant clusters of the sizes, in a mixed order, and the cluster of every row."""
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.eye(len(sizes))[kind] + spread * rng.normal(size=(len(kind), len(sizes))), kind


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(8, 90), min_size=2, max_size=6),
    share=st.floats(0.02, 1.0),
    seed=st.integers(0, 99),
)
def test_every_cluster_gets_its_share_up_to_one(sizes, share, seed):
    # rows that are equal are one cell, and so one stretch of the line
    X, kind = kinds(sizes, spread=0)
    budget = max(1, int(share * len(X)))
    selector = StratifiedSelector(budget=budget, random_state=seed, metric="l2").fit(X)
    got = np.bincount(kind[selector.indices_], minlength=len(sizes))
    assert abs(got - np.array(sizes) * budget / len(X)).max() < 1 + 1e-9
    assert selector.scores_[selector.indices_].tolist() == sorted(selector.scores_)[::-1][:budget]


def test_every_row_is_as_likely_as_any_other():
    X, _ = kinds([60, 25, 15])
    taken = np.zeros(len(X))
    for seed in range(400):
        taken[StratifiedSelector(budget=20, random_state=seed).fit(X).indices_] += 1
    # 80 of 400, standard deviation 8
    assert abs(taken - 80).max() < 5 * 8


def test_first_rows_are_spread_too():
    X, kind = kinds([100, 100, 100, 100])
    chosen = StratifiedSelector(budget=64, metric="l2").fit(X).indices_
    assert abs(np.bincount(kind[chosen[:16]], minlength=4) - 4).max() <= 1


def test_shares_are_nearer_to_those_of_the_pool_than_at_random():
    X = np.random.default_rng(1).normal(size=(2_000, 8))
    report = StratifiedSelector(budget=200).fit(X).report_
    assert report["deviation"] < 0.7 * report["deviation_random"]


@pytest.mark.parametrize("n", [1, 2, 3, 17, 64, 100])
def test_reversed_bits_hold_every_number(n):
    assert sorted(reversed_bits(n).tolist()) == list(range(n))


def test_there_are_never_more_cells_than_stated():
    assert cell_counts(10**7)[0] == 4_096
    assert cell_counts(1) == [1]


@pytest.mark.parametrize("metric", ["ip", "euclidean", None])
def test_other_metrics_are_refused(metric):
    with pytest.raises(ConfigError, match="pass 'cosine' or 'l2'"):
        StratifiedSelector(budget=2, metric=metric).fit(np.eye(4))
