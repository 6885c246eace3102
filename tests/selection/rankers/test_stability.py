"""Bootstrap stability and the consensus of rankings: closed forms and what they must do."""

from __future__ import annotations

import warnings
from itertools import permutations, product
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from assay.selection import (
    ECFS,
    DistanceCorrelation,
    QuickSelection,
    SequentialAttention,
    bootstrap_stability,
    consensus_ranking,
)
from assay.selection.rankers.base import FeatureRanker
from assay.selection.rankers.stability import _nogueira, _wilson
from assay.storage.errors import BudgetError, ConfigError, InputError


class _Random(FeatureRanker):
    """Ranks by nothing but the rows drawn."""

    _uses_labels = False

    def __init__(self, n_features_to_select=None):
        self.n_features_to_select = n_features_to_select

    def _score(self, X, y):
        seed = np.abs(np.frombuffer(np.ascontiguousarray(X).tobytes(), dtype=np.uint32))
        return np.random.default_rng(seed).random(X.shape[1])


def _sample(n=80, d=10, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    X = rng.standard_normal((n, d))
    X[:, :3] += 4 * rng.standard_normal((classes, 3))[y]
    return X, y


def test_columns_that_matter_are_always_among_the_best():
    X, y = _sample()
    found = bootstrap_stability(ECFS(), X, y, k=3, n_resamples=40)
    table = found.features
    assert table.columns == ["feature", "rank", "frequency", "low", "high"]
    assert table["feature"].to_list() == [f"x{j}" for j in range(10)]
    assert table["rank"].to_list() == ECFS().fit(X, y).ranking_.tolist()
    assert table["frequency"].sum() == pytest.approx(3)
    assert (table["frequency"].to_numpy()[:3] > 0.8).all()
    assert (table["low"] <= table["frequency"]).all()
    assert (table["frequency"] <= table["high"]).all()
    assert found.overall > 0.7
    assert found.low <= found.overall <= found.high
    assert found.k == 3


def test_a_random_ranking_is_not_stable():
    X, _ = _sample(d=40)
    found = bootstrap_stability(_Random(), X, k=10, n_resamples=60)
    assert abs(found.overall) < 0.05
    inside = (found.features["low"] <= 0.25) & (found.features["high"] >= 0.25)
    assert inside.mean() > 0.85
    assert found.low < 0 < found.high


def test_what_is_drawn_depends_on_the_seed_and_not_on_the_order_of_rows():
    X, y = _sample()
    order = np.random.default_rng(0).permutation(len(X))
    options = {"k": 4, "n_resamples": 15}
    first = bootstrap_stability(ECFS(), X, y, **options)
    moved = bootstrap_stability(ECFS(), X[order], y[order], **options)
    assert first.features.equals(moved.features)
    other = bootstrap_stability(ECFS(), X, y, random_state=1, **options)
    assert not first.features["frequency"].equals(other.features["frequency"])


def test_no_class_vanishes_and_names_are_kept():
    X, _ = _sample(n=30, d=4)
    y = np.repeat(["a", "b", "c"], [1, 2, 27])
    frame = pl.DataFrame(X, schema=list("pqrs"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_stability(SequentialAttention(2), frame, y, n_resamples=30)
    assert found.features["feature"].to_list() == list("pqrs")
    assert found.k == 2


def test_rankers_without_classes():
    X, _ = _sample(d=5)
    numbers = bootstrap_stability(
        DistanceCorrelation(1, target="numbers"), X, X[:, 3] + 0.1 * X[:, 0], n_resamples=10
    )
    assert numbers.features["frequency"].to_list() == [0, 0, 0, 1, 0]
    assert numbers.overall == numbers.low == numbers.high == 1.0
    small = QuickSelection(2, hidden=10, epochs=2)
    assert bootstrap_stability(small, X, n_resamples=5).features["frequency"].sum() == 2.0


def test_all_columns_kept_are_stable():
    X, y = _sample(d=3)
    found = bootstrap_stability(ECFS(), X, y, k=3, n_resamples=4)
    assert (found.overall, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("taken", [0, 3, 17, 20])
def test_the_interval_is_wilsons(taken):
    expected = binomtest(taken, 20).proportion_ci(0.9, method="wilson")
    low, high = _wilson(np.array([taken / 20]), 20, 1.6448536269514722)
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 10**6))
def test_stability_is_the_mean_agreement_of_pairs_beyond_chance(n, d, seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, d))
    taken = np.argsort(rng.random((n, d)), axis=1) < k
    pairs = [
        ((taken[i] & taken[j]).sum() - k * k / d) / (k - k * k / d)
        for i in range(n)
        for j in range(i)
    ]
    overall, error = _nogueira(taken, k)
    assert overall == pytest.approx(np.mean(pairs))
    assert error >= 0


def test_the_standard_error_is_about_the_spread_of_repeated_estimates():
    rng = np.random.default_rng(0)
    weight = np.linspace(0, 2, 30)
    found = [
        _nogueira(np.argsort(weight + rng.gumbel(size=(50, 30)), axis=1) >= 22, 8)
        for _ in range(300)
    ]
    overall, error = np.array(found).T
    assert error.mean() == pytest.approx(overall.std(), rel=0.25)


# consensus


def _tail(i, m, r):
    """Probability that at least i of m uniform numbers are at most r."""
    return sum(comb(m, j) * r**j * (1 - r) ** (m - j) for j in range(i, m + 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_robust_rank_aggregation_is_its_formula(m, d, seed):
    rng = np.random.default_rng(seed)
    rankings = [rng.permutation(d) + 1 for _ in range(m)]
    rho = np.array(
        [
            min(_tail(i, m, r / d) for i, r in enumerate(sorted(column), start=1))
            for column in np.transpose(rankings).tolist()
        ]
    )
    found = consensus_ranking(rankings)
    np.testing.assert_allclose(10.0**-found.scores, rho, rtol=1e-9)
    np.testing.assert_allclose(found.p_values, np.minimum(m * rho, 1), rtol=1e-9)
    assert sorted(found.ranking) == list(range(1, d + 1))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(0, 10**6),
    st.sampled_from(["rra", "borda", "median", "merge"]),
)
def test_properties_of_every_consensus(m, d, seed, method):
    rng = np.random.default_rng(seed)
    rankings = [rng.permutation(d) + 1 for _ in range(m)]
    found = consensus_ranking(rankings, method=method)
    shuffled = [rankings[i] for i in rng.permutation(m)]
    np.testing.assert_array_equal(consensus_ranking(shuffled, method=method).ranking, found.ranking)
    columns = rng.permutation(d)
    moved = consensus_ranking([r[columns] for r in rankings], method=method)
    np.testing.assert_allclose(moved.scores, found.scores[columns])
    same = consensus_ranking([rankings[0]] * m, method=method)
    np.testing.assert_array_equal(same.ranking, rankings[0])
    ranks = np.array(rankings)
    ahead = (ranks[:, :, None] < ranks[:, None, :]).all(axis=0)
    assert (found.scores[:, None] >= found.scores - 1e-12)[ahead].all()


def merged_by_brute_force(rankings, delta):
    """The most groups in any order whose every pair is told apart by 1/2 + delta of the rankings."""
    ranks = np.array(rankings)
    d = ranks.shape[1]
    best = None
    for order in permutations(range(d)):
        for cuts in product([False, True], repeat=d - 1):
            group = np.concatenate([[0], np.cumsum(cuts)]).astype(int)
            pairs = [
                (order[i], order[j]) for i in range(d) for j in range(i) if group[j] < group[i]
            ]
            if all((ranks[:, b] < ranks[:, a]).mean() >= 0.5 + delta - 1e-9 for a, b in pairs):
                found = {frozenset(order[i] for i in range(d) if group[i] == g): g for g in group}
                if best is None or len(found) > len(best):
                    best = found
    return best


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("m", "delta"), [(3, 0.1), (5, 0.1), (8, 0.05), (8, 0.3)])
def test_merging_finds_the_finest_groups_that_are_told_apart(m, delta, seed):
    rng = np.random.default_rng(seed)
    base = np.arange(5) + rng.normal(0, 1.0, (m, 5))
    rankings = [np.argsort(np.argsort(row)) + 1 for row in base]
    found = consensus_ranking(rankings, method="merge", delta=delta)
    groups = {
        frozenset(np.flatnonzero(found.scores == score)): place
        for place, score in enumerate(np.unique(found.scores)[::-1])
    }
    assert groups == merged_by_brute_force(rankings, delta)


def test_no_share_of_bad_rankings_below_the_breakdown_point_turns_an_order():
    rng = np.random.default_rng(0)
    rankings = [np.argsort(np.argsort(np.arange(6) + rng.normal(0, 1.5, 6))) + 1 for _ in range(40)]
    found = consensus_ranking(rankings, method="merge")
    assert 0.1 <= found.breakdown <= 0.5
    replaced = int(np.ceil(found.breakdown * 40)) - 1
    worst = [np.argsort(np.argsort(found.scores)) + 1] * replaced
    ranks = np.array(rankings[replaced:] + worst)
    for a in range(6):
        for b in range(6):
            if found.scores[a] > found.scores[b]:
                assert (ranks[:, a] < ranks[:, b]).mean() > 0.5
    assert consensus_ranking([[1, 2], [2, 1]], method="merge").breakdown == 0.5
    with pytest.raises(ConfigError, match="delta"):
        consensus_ranking(rankings, method="merge", delta=0.7)
    with pytest.raises(ConfigError, match="'merge'"):
        consensus_ranking([np.arange(6_000) + 1], method="merge")


def test_one_bad_ranking_spoils_only_borda():
    good = np.arange(1, 21)
    bad = (good - 3) % 20 + 1  # the first two columns come last
    rankings = [good, good, good, good, bad]
    assert consensus_ranking(rankings).ranking[0] == 1
    assert consensus_ranking(rankings, method="median").ranking[0] == 1
    assert consensus_ranking(rankings, method="borda").ranking[0] > 1


def test_fitted_rankers_may_be_given():
    X, y = _sample()
    rankers = [ECFS().fit(X, y), DistanceCorrelation().fit(X, y), SequentialAttention(3).fit(X, y)]
    found = consensus_ranking(rankers)
    assert set(np.argsort(found.ranking)[:3]) == {0, 1, 2}
    assert found.p_values[:3].max() < 0.2


def test_input_that_is_refused():
    X, y = _sample()
    for k in (0, 11, 2.5, True):
        with pytest.raises(BudgetError, match="from 1 to 10"):
            bootstrap_stability(ECFS(), X, y, k=k)
    for options in ({"n_resamples": 1}, {"random_state": -1}, {"confidence": 1.0}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            bootstrap_stability(ECFS(), X, y, **options)
    with pytest.raises(ConfigError, match="method"):
        consensus_ranking([[1, 2]], method="mean")
    with pytest.raises(InputError, match="at least one"):
        consensus_ranking([])
    for rankings in ([[1, 2], [1, 2, 3]], [[1, 1]], [[0, 1]], [[1, 2], [2.5, 1]], [[[1]]]):
        with pytest.raises(InputError, match="permutation"):
            consensus_ranking(rankings)
