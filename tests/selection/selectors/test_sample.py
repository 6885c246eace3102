"""Draws in proportion to a score, against every sequence of draws and over many seeds."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import SampleSelector, SelectionPlan
from assay.selection.algorithms.gumbel import gumbel
from assay.selection.contract.inputs import derived_seed
from assay.selection.selectors.sample import drawn_in_proportion
from assay.storage.errors import InputError
from assay.storage.hashing.rows import uniform

SEEDS = 10_000


def noise_of_seeds(n):
    """float64[seeds, n]: the noise that the selector makes of the ids 0 to n - 1."""
    ids = pl.Series([str(row) for row in range(n)])
    return np.array([gumbel(uniform(ids, derived_seed(seed, "sample"))) for seed in range(SEEDS)])


def inclusion_of_all_sequences(shares, budget):
    """The probability to be drawn: over every sequence of draws without replacement."""
    found = np.zeros(len(shares))
    for sequence in permutations(range(len(shares)), budget):
        left, probability = shares.sum(), 1.0
        for row in sequence:
            probability *= shares[row] / left
            left -= shares[row]
        found[list(sequence)] += probability
    return found


def test_shares_over_many_seeds_are_those_of_all_sequences():
    scores, budget = np.array([0.5, 1.0, 1.5, 2.0, 4.0, 0.25]), 3
    noise = noise_of_seeds(len(scores))
    keys = np.log(scores) + noise
    drawn = np.argsort(-keys, axis=1)[:, :budget]
    for seed in (0, 1, 2, 77):
        selector = SampleSelector(budget=budget, exponent=1, random_state=seed)
        ids = [str(row) for row in range(len(scores))]
        assert selector.fit(scores=scores, ids=ids).indices_.tolist() == drawn[seed].tolist()
    shares = np.bincount(drawn.ravel(), minlength=len(scores)) / SEEDS
    expected = inclusion_of_all_sequences(scores / scores.sum(), budget)
    error = np.sqrt(expected * (1 - expected) / SEEDS)
    assert (np.abs(shares - expected) < 4 * error).all()
    # weights undo the draw: every row counts once on average, and so do sums of any values
    bound = np.sort(keys, axis=1)[:, -budget - 1]
    weights = 1 / -np.expm1(-np.exp(np.log(scores) - bound[:, None]))
    taken = np.zeros_like(keys)
    np.put_along_axis(taken, drawn, 1, axis=1)
    counted = taken * weights
    error = counted.std(axis=0) / np.sqrt(SEEDS)
    assert (np.abs(counted.mean(axis=0) - 1) < 4 * error).all()
    np.testing.assert_allclose(
        SampleSelector(budget=budget, exponent=1, random_state=77)
        .fit(scores=scores, ids=ids)
        .weights_,
        weights[77, drawn[77]],
    )


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=2, max_size=25),
    share=st.floats(0.05, 1),
    seed=st.integers(0, 99),
)
def test_rows_without_a_share_come_last_and_alike(scores, share, seed):
    scores = np.array(scores)
    budget = max(1, int(share * len(scores)))
    selector = SampleSelector(budget=budget, exponent=1, random_state=seed).fit(scores=scores)
    some = int((scores > 0).sum())
    assert (scores[selector.ranking_[:some]] > 0).all()
    weights = dict(zip(selector.indices_.tolist(), selector.weights_.tolist(), strict=True))
    assert min(weights.values()) >= 1
    if budget == len(scores):
        assert set(weights.values()) == {1.0}
    if budget > some:
        assert {weights[row] for row in weights if scores[row] > 0} <= {1.0}
        assert len({weight for row, weight in weights.items() if scores[row] == 0}) == 1


def test_the_temperature_goes_from_the_highest_scores_to_a_uniform_draw():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=2_000) * 50 - 1_000
    means = [
        SampleSelector(budget=200, temperature=t).fit(scores=scores).report_["score_mean"]
        for t in (1e-3, 0.3, 1, 3, 1e6)
    ]
    assert (np.diff(means) < 0).all()
    assert means[0] == pytest.approx(np.sort(scores)[-200:].mean())
    assert means[-1] == pytest.approx(scores.mean(), abs=4 * 50 / 200**0.5)
    warm = SampleSelector(budget=200, temperature=0.5)
    moved = warm.fit(scores=scores).indices_
    # the unit of the scores is of no account
    assert SampleSelector(budget=200, temperature=0.5).fit(
        scores=scores * 8 + 512
    ).indices_.tolist() == (moved.tolist())
    power = SampleSelector(budget=200, exponent=0).fit(scores=np.abs(scores))
    np.testing.assert_allclose(power.weights_, power.weights_[0])


def test_the_largest_and_smallest_floats_do_no_harm():
    for scores in ([-1.7e308, 1.7e308, 0.0], [5e-324, 0.0, 1e-320], [2.0, 2.0, 2.0]):
        for exponent in (None, 2.0):
            if exponent is not None and min(scores) < 0:
                continue
            selector = SampleSelector(budget=2, exponent=exponent).fit(scores=scores)
            assert np.isfinite(selector.weights_).all()


def test_negative_scores_have_no_power():
    with pytest.raises(InputError, match="go down to -1"):
        SampleSelector(budget=1, exponent=2).fit(scores=[1.0, -1.0])


def test_a_plan_keeps_the_weights_of_a_plain_draw_only():
    rng = np.random.default_rng(1)
    X, scores = rng.normal(size=(200, 3)).astype(np.float32), rng.random(200)
    groups = np.where(np.arange(200) < 100, "a", "b")
    alone = SampleSelector(budget=20).fit(scores=scores)
    plan = SelectionPlan(budget=20, selector="sample", difficulty="s")
    plan.fit(X, scores={"s": scores})
    np.testing.assert_array_equal(plan.indices_, alone.indices_)
    np.testing.assert_allclose(plan.weights_, alone.weights_)
    assert plan.weights_.min() > 1
    bound = SelectionPlan(budget=20, selector="sample", difficulty="s", quotas={"a": 3})
    bound.fit(X, scores={"s": scores}, groups=groups)
    assert (groups[bound.indices_] == "a").sum() == 3
    assert set(bound.weights_) == {1.0}


def test_every_row_has_its_inclusion():
    log_shares, noise = np.log([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.2, -0.3, 0.4])
    rows = np.array([0, 1, 3])
    ranking, inclusion = drawn_in_proportion(log_shares, noise, rows, 1)
    keys = log_shares + noise
    assert ranking.tolist() == sorted(rows, key=lambda row: -keys[row])
    assert inclusion[2] == 0
    np.testing.assert_allclose(
        inclusion[rows], 1 - np.exp(-np.exp(log_shares[rows] - keys[ranking[1]]))
    )
