"""Draws with replacement, and for several targets."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.gumbel import gumbel
from assay.selection.algorithms.top_k import top_k
from assay.selection.importance.draws import (
    claim,
    draw_with_replacement,
    quotas,
    tempered_keys,
)
from assay.selection.importance.resampler import ImportanceResampler
from assay.storage.errors import BudgetError, ConfigError, InputError
from assay.storage.hashing.rows import uniform
from tests.selection.importance.test_resampler import sentences


def noise_of(n, seed):
    return gumbel(uniform([str(i) for i in range(n)], seed))


def test_gumbel_noise_is_what_it_is_called():
    u = np.array([0.1, 0.5, 0.9])
    assert gumbel(u.copy()).tolist() == pytest.approx([-math.log(-math.log(x)) for x in u])


@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0, 40.0])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_budgets_of_draws_with_replacement_are_exact(spread, k):
    weights = spread * np.random.default_rng(0).normal(size=50)
    weights[3] = np.nan
    noise = noise_of(50, 1)
    keys = tempered_keys(weights, 1.0, noise)
    rows, times = draw_with_replacement(keys, noise, k, np.sort)
    assert times.sum() == k
    assert times.min() >= 1
    assert 3 not in rows
    assert len(set(rows.tolist())) == len(rows)
    # rows come in the order of the draw without replacement
    assert rows.tolist() == top_k(keys, k, np.sort)[: len(rows)].tolist()


def test_draws_with_replacement_are_multinomial():
    p = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
    k, seeds = 40, 3_000
    drawn = np.zeros((seeds, 5))
    for seed in range(seeds):
        noise = noise_of(5, seed)
        rows, times = draw_with_replacement(np.log(p) + noise, noise, k, np.sort)
        drawn[seed, rows] = times
    # means and covariances of the multinomial, each within 5 standard errors or so
    mean, error = drawn.mean(axis=0), np.sqrt(k * p * (1 - p) / seeds)
    assert (abs(mean - k * p) < 5 * error).all()
    covariance = np.cov(drawn.T)
    expected = k * (np.diag(p) - np.outer(p, p))
    assert abs(covariance - expected).max() < 0.08 * k * p.max() * (1 - p.max())


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 10_000), st.floats(0.1, 20))
def test_draws_with_replacement_belong_to_the_rows(n, k, seed, spread):
    rng = np.random.default_rng(seed)
    weights, order = spread * rng.normal(size=n), rng.permutation(n)
    noise = noise_of(n, seed)
    rows, times = draw_with_replacement(weights + noise, noise, k, np.sort)
    moved, again = draw_with_replacement(
        (weights + noise)[order], noise[order], k, lambda r: r[np.argsort(order[r])]
    )
    assert order[moved].tolist() == rows.tolist()
    assert again.tolist() == times.tolist()


def test_a_selection_with_replacement():
    pool, target = sentences(200, 0), sentences(20, 1, tilt=0.2)
    pool[7] = None
    ids = [f"id {row}" for row in range(200)]
    selector = ImportanceResampler(budget=200, temperature=0.1, replace=True)
    selector.fit(pool, target=target, ids=ids, groups=["g", "h"] * 100)
    assert selector.weights_.sum() == 200
    assert selector.report_["selected"] == 200
    assert selector.report_["shortfall"] == 0
    assert len(selector.indices_) < 150
    assert 7 not in selector.indices_
    plain = ImportanceResampler(budget=len(selector.indices_), temperature=0.1)
    plain.fit(pool, target=target, ids=ids)
    np.testing.assert_array_equal(plain.indices_, selector.indices_)
    order = np.random.default_rng(2).permutation(200)
    moved = ImportanceResampler(budget=200, temperature=0.1, replace=True).fit(
        [pool[row] for row in order], target=target, ids=[ids[row] for row in order],
        groups=np.array(["g", "h"] * 100)[order],
    )  # fmt: skip
    assert order[moved.indices_].tolist() == selector.indices_.tolist()
    np.testing.assert_array_equal(moved.weights_, selector.weights_)
    assert moved.report_ == selector.report_
    details = [json.loads(text) for text in selector.decisions()["detail"]]
    for row, times in zip(selector.indices_, selector.weights_, strict=True):
        assert details[row]["times"] == times
    shares = selector.report_["groups"]
    own = selector.weights_[selector.indices_ % 2 == 0].sum() / 200
    assert shares["g"]["selected"] == pytest.approx(own)


def test_the_automatic_temperature_with_replacement_is_above_zero():
    pool, target = sentences(300, 3), sentences(30, 4, tilt=0.3)
    selector = ImportanceResampler(budget=60, replace=True).fit(pool, target=target)
    assert selector.report_["temperature"] > 0
    assert selector.weights_.sum() == 60
    # all alike: one document of target, and texts that can't be told apart
    selector = ImportanceResampler(budget=3, replace=True).fit(["a"] * 3, target=["a"])
    assert selector.weights_.sum() == 3
    with pytest.raises(ConfigError, match="temperature above 0"):
        ImportanceResampler(budget=3, replace=True, temperature=0).fit(pool, target=target)


def test_quotas_are_exact_and_nearest():
    assert quotas({"a": 0.15, "b": 0.6, "c": 0.25}, 73) == {"a": 11, "b": 44, "c": 18}
    assert quotas({"a": 1, "b": 1}, 3) == quotas({"b": 1, "a": 1}, 3) == {"a": 2, "b": 1}
    assert quotas({"a": 0, "b": 5}, 3) == {"a": 0, "b": 3}


def test_targets_claim_in_turn():
    ranked = {"a": np.array([5, 1, 2, 3]), "b": np.array([5, 2, 1, 4])}
    rows, by_target = claim(ranked, {"a": 2, "b": 2})
    # a takes 5; b passes over it, is behind by that turn, and takes what is left
    assert by_target["a"].tolist() == [5, 1]
    assert by_target["b"].tolist() == [2, 4]
    assert sorted(rows.tolist()) == [1, 2, 4, 5]
    rows, by_target = claim(ranked, {"a": 0, "b": 3})
    assert rows.tolist() == [5, 2, 1]
    assert by_target["a"].tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4))
def test_claims_are_exact_and_do_not_depend_on_the_order(seed, n, targets):
    rng = np.random.default_rng(seed)
    budget = int(rng.integers(1, n + 1))
    quota = quotas({f"t{i}": rng.random() + 0.01 for i in range(targets)}, budget)
    ranked = {name: rng.permutation(n)[:budget] for name in quota}
    rows, by_target = claim(ranked, quota)
    assert len(set(rows.tolist())) == len(rows) == budget
    assert {name: len(own) for name, own in by_target.items()} == quota
    names = list(quota)[::-1]
    other, _ = claim({name: ranked[name] for name in names}, {name: quota[name] for name in names})
    assert other.tolist() == rows.tolist()


def three_targets():
    """A pool of three kinds of text, and targets of two of them."""
    kinds = [sentences(120, 5, low=5), [], []]
    rng = np.random.default_rng(6)
    for place, words in ((1, ["enzyme", "binds", "protein", "the"]), (2, ["goal", "match", "won"])):
        kinds[place] = [" ".join(rng.choice(words, 8)) for _ in range(120)]
    pool = [text for texts in kinds for text in texts]
    target = {"sport": kinds[2][:10], "biology": kinds[1][:25]}
    return pool, target, np.repeat([0, 1, 2], 120)


@pytest.mark.parametrize("replace", [False, True])
def test_named_targets_share_the_budget(replace):
    pool, target, kind = three_targets()
    proportions = {"sport": 1, "biology": 3}
    selector = ImportanceResampler(
        budget=80, proportions=proportions, replace=replace, temperature=0.01
    ).fit(pool, target=target)
    assert selector.log_ratio_.shape == (2, 1 << 17)
    assert selector.log_weights_.shape == (2, 360)
    np.testing.assert_array_equal(selector.scores_, selector.log_weights_.max(axis=0))
    assert selector.weights_.sum() == 80
    told = selector.report_["targets"]
    assert {name: report["selected"] for name, report in told.items()} == {
        "sport": 20, "biology": 60,
    }  # fmt: skip
    drawn = np.bincount(kind[selector.indices_], selector.weights_, minlength=3)
    assert drawn.tolist() == [0, 60, 20]
    means = [(told["sport"][name] + 3 * told["biology"][name]) / 4 for name in ("kl_pool",)]
    assert selector.report_["kl_pool"] == pytest.approx(means[0])
    details = [json.loads(text) for text in selector.decisions()["detail"]]
    for row in selector.indices_:
        assert details[row]["targets"] == ["", "biology", "sport"][kind[row]]
    turned = ImportanceResampler(
        budget=80, proportions=proportions, replace=replace, temperature=0.01
    ).fit(pool, target=dict(reversed(target.items())))
    np.testing.assert_array_equal(turned.indices_, selector.indices_)
    np.testing.assert_array_equal(turned.weights_, selector.weights_)
    np.testing.assert_array_equal(turned.log_weights_[::-1], selector.log_weights_)
    assert turned.report_ == selector.report_


def test_proportions_are_the_targets_ngrams_by_default():
    pool, target, _ = three_targets()
    selector = ImportanceResampler(budget=70).fit(pool, target=target)
    # 10 and 25 texts of 8 words
    assert {name: r["quota"] for name, r in selector.report_["targets"].items()} == {
        "sport": 20, "biology": 50,
    }  # fmt: skip


def test_a_single_named_target_is_drawn_like_one_without_a_name():
    pool, target, _ = three_targets()
    named = ImportanceResampler(budget=40, temperature=0).fit(
        pool, target={"sport": target["sport"]}
    )
    plain = ImportanceResampler(budget=40, temperature=0).fit(pool, target=target["sport"])
    np.testing.assert_array_equal(named.indices_, plain.indices_)
    np.testing.assert_array_equal(named.log_weights_[0], plain.log_weights_)
    assert named.report_["kl_selected"] == pytest.approx(plain.report_["kl_selected"])


def test_all_usable_rows_are_shared_out():
    pool, target, _ = three_targets()
    selector = ImportanceResampler(budget=1.0).fit(pool, target=target)
    assert sorted(selector.indices_.tolist()) == list(range(360))


@pytest.mark.parametrize(
    "wrong",
    [{"sport": 1}, {"sport": 1, "biology": -1}, {"sport": 0, "biology": 0}, [1, 2],
     {"sport": True, "biology": 1}, {"sport": math.nan, "biology": 1}],
)  # fmt: skip
def test_proportions_are_checked(wrong):
    pool, target, _ = three_targets()
    with pytest.raises(ConfigError, match="proportions"):
        ImportanceResampler(budget=5, proportions=wrong).fit(pool, target=target)


def test_targets_are_checked():
    with pytest.raises(InputError, match="empty mapping"):
        ImportanceResampler(budget=1).fit(["a"], target={})
    with pytest.raises(InputError, match="names of targets are text"):
        ImportanceResampler(budget=1).fit(["a"], target={1: ["a"]})
    with pytest.raises(InputError, match="No text of sport"):
        ImportanceResampler(budget=1).fit(["a"], target={"sport": [""]})
    with pytest.raises(BudgetError):
        ImportanceResampler(budget=2, replace=True).fit(["a"], target=["a"])


def test_a_ranking_is_there_where_budgets_are_prefixes():
    pool, target = sentences(100, 8), sentences(10, 9)
    fixed = ImportanceResampler(budget=20, temperature=0.2).fit(pool, target=target)
    assert fixed.ranking_[:20].tolist() == fixed.indices_.tolist()
    assert sorted(fixed.ranking_.tolist()) == list(range(100))
    for other in ({"temperature": "auto"}, {"temperature": 0.2, "replace": True}):
        selector = ImportanceResampler(budget=20, **other).fit(pool, target=target)
        assert not hasattr(selector, "ranking_")
    assert not hasattr(ImportanceResampler(budget=1), "ranking_")
