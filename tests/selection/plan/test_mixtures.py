"""Mixtures: exact shares of sources, repeats, and what is short."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import SelectionPlan
from assay.selection.plan.mixtures import Mixture
from assay.storage.errors import BudgetError, ColumnError, ConfigError, MissingInputError


def pool(sizes, seed=0):
    rng = np.random.default_rng(seed)
    source = np.repeat(list(sizes), list(sizes.values()))
    order = rng.permutation(len(source))
    source = source[order]
    return pl.DataFrame({"source": source, "tokens": rng.integers(1, 30, len(source))})


def fitted(table, budget, mixture, scores=None, **rules):
    n = table.height
    scores = np.random.default_rng(1).random(n) if scores is None else scores
    ids = [f"r{i:04}" for i in range(n)]
    plan = SelectionPlan(budget=budget, selector="top", mixture=mixture, **rules)
    return plan.fit(scores=scores, ids=ids, table=table)


def counts(table, plan):
    return dict(table["source"].gather(plan.indices_).value_counts().iter_rows())


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    weights=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    share=st.floats(0.05, 0.9),
    repeat=st.integers(1, 4),
)
def test_shares_are_exact_up_to_what_there_is(sizes, weights, share, repeat):
    weights = weights[: len(sizes)]
    if not sum(weights):
        weights[0] = 1
    named = {f"s{i}": size for i, size in enumerate(sizes)}
    table = pool(named)
    budget = max(1, int(share * table.height))
    plan = fitted(table, budget, dict(zip(named, weights, strict=True)), repeat=repeat)
    exact = {name: budget * w / sum(weights) for name, w in zip(named, weights, strict=True)}
    report = plan.report_["mixture"]
    weight = np.zeros(table.height)
    weight[plan.indices_] = plan.weights_
    got = dict(
        table.with_columns(w=pl.Series(weight))
        .group_by("source")
        .agg(pl.col("w").sum())
        .iter_rows()
    )
    total = 0
    for name, size in named.items():
        wanted = report[name]["wanted"] if name in report else 0
        assert abs(wanted - exact[name]) < 1
        assert got[name] == min(wanted, size * repeat)
        assert counts(table, plan).get(name, 0) == min(wanted, size)
        total += wanted
    assert total == budget
    assert plan.report_["shortfall"] == budget - sum(got.values())
    assert plan.weights_.max() <= repeat
    assert len(plan.decisions()) == table.height


def test_each_source_gives_its_best_rows():
    table = pool({"web": 50, "law": 20, "code": 30})
    scores = np.random.default_rng(3).random(100)
    plan = fitted(table, 20, {"web": 0.5, "law": 0.3, "code": 0.2}, scores)
    for name, count in (("web", 10), ("law", 6), ("code", 4)):
        rows = np.flatnonzero((table["source"] == name).to_numpy())
        best = rows[np.argsort(-scores[rows])][:count]
        assert set(best) == {row for row in plan.indices_ if row in set(rows)}
    reasons = set(plan.decisions()["reason"])
    assert reasons <= {"selected", "quota", "lower_score", "displaced", "budget"}


def test_rules_for_shares():
    there = np.array([100.0, 25.0, 0.0])
    names = ["a", "b", "c"]
    for rule, shares in (
        ("even", [0.5, 0.5, 0.0]),
        ("proportional", [0.8, 0.2, 0.0]),
        ("sqrt", [2 / 3, 1 / 3, 0.0]),
    ):
        mixture = Mixture.of(rule, names, there, 30, counted=True, repeat=1)
        assert mixture.shares == pytest.approx(shares)
        assert mixture.wanted.sum() == 30


def test_rounding_by_dhondt_takes_nothing_back():
    table = pool({"a": 60, "b": 30, "c": 10})
    shares = {"a": 60, "b": 30, "c": 10}
    assert counts(table, fitted(table, 7, shares)) == {"a": 4, "b": 2, "c": 1}
    assert counts(table, fitted(table, 7, shares, rounding="dhondt")) == {"a": 5, "b": 2}
    before = dict.fromkeys(shares, 0)
    for budget in range(1, 30):
        now = counts(table, fitted(table, budget, shares, rounding="dhondt"))
        assert all(now.get(name, 0) >= before[name] for name in shares)
        before = {name: now.get(name, 0) for name in shares}
    with pytest.raises(ConfigError, match="rounding is 'up'"):
        fitted(table, 7, shares, rounding="up")


def test_a_short_source_is_repeated_in_turns():
    table = pool({"law": 4, "web": 40})
    plan = fitted(table, 20, {"law": 1, "web": 1}, repeat=4)
    law = (table["source"].gather(plan.indices_) == "law").to_numpy()
    assert plan.weights_[law].tolist() == [3.0, 3.0, 2.0, 2.0]
    assert set(plan.weights_[~law]) == {1.0}
    assert plan.report_["selected"] == 20
    assert plan.report_["shortfall"] == 0
    with pytest.warns(match="6 are missing"):
        short = fitted(table, 20, {"law": 1, "web": 1})
    assert short.report_["mixture"]["law"]["shortfall"] == 6


def test_shares_of_a_cost():
    table = pool({"web": 300, "law": 300})
    plan = fitted(table, 1000, {"web": 3, "law": 1}, cost="tokens")
    spent = table[plan.indices_].group_by("source").agg(pl.col("tokens").sum())
    spent = dict(spent.iter_rows())
    assert 750 - 30 < spent["web"] <= 750
    assert 250 - 30 < spent["law"] <= 250


def test_rows_without_a_source_and_covered_ones_are_not_taken():
    table = pool({"web": 20, "law": 20}).with_columns(
        source=pl.when(pl.int_range(40) < 10).then(None).otherwise("source")
    )
    plan = fitted(table, 8, {"web": 1, "law": 1}, covered=["r0015", "r0016"])
    assert min(plan.indices_) >= 10
    assert not {15, 16} & set(plan.indices_)
    assert counts(table, plan) == {"web": 4, "law": 4}


def test_the_order_of_rows_does_not_matter():
    table = pool({"web": 50, "law": 20}).with_columns(id=pl.int_range(70).cast(pl.String))
    scores = np.random.default_rng(3).random(70)
    order = np.random.default_rng(4).permutation(70)
    chosen = []
    for rows in (np.arange(70), order):
        plan = SelectionPlan(budget=21, selector="top", mixture="sqrt", by="source")
        plan.fit(scores=scores[rows], table=table[rows], ids=table["id"].gather(rows))
        chosen.append(table["id"].gather(rows[plan.indices_]).to_list())
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({"mixture": {"music": 1}}, ConfigError, "'music'"),
        ({"mixture": {"web": -1}}, ConfigError, ">= 0"),
        ({"mixture": {"web": 0}}, ConfigError, "all 0"),
        ({"mixture": {}}, ConfigError, "mixture is"),
        ({"mixture": "odd"}, ConfigError, "proportional"),
        ({"mixture": "even", "repeat": 0}, ConfigError, "repeat"),
        ({"mixture": "even", "quotas": {"web": 1}}, ConfigError, "either a mixture"),
        ({"mixture": {"law": 1}, "must_include": "web"}, BudgetError, "must-include"),
    ],
)
def test_mixtures_that_can_not_be_met_are_refused(rules, error, message):
    table = pool({"web": 20, "law": 20})
    if rules.get("must_include"):
        row = (table["source"] == "web").arg_true()[0]
        rules = rules | {"must_include": [f"r{row:04}"]}
    with pytest.raises(error, match=message):
        fitted(table, 10, rules.pop("mixture"), **rules)


def test_sources_are_needed():
    with pytest.raises(MissingInputError, match="sources"):
        SelectionPlan(budget=2, selector="top", mixture="even").fit(scores=np.arange(5.0))


@pytest.mark.parametrize("by", ["source", None])
def test_the_mixture_of_the_target(by):
    rng = np.random.default_rng(0)
    centers = 5 * rng.normal(size=(3, 4))
    kind = rng.integers(0, 3, 600)
    X = (centers[kind] + rng.normal(size=(600, 4))).astype(np.float32)
    wanted = rng.choice(3, 300, p=[0.7, 0.3, 0.0])
    target = (centers[wanted] + rng.normal(size=(300, 4))).astype(np.float32)
    table = pl.DataFrame({"source": np.array(["a", "b", "c"])[kind]}) if by else None
    plan = SelectionPlan(budget=100, selector="random", mixture="target", by=by)
    plan.fit(X, target=target, table=table, ids=[f"r{i}" for i in range(600)])
    counts = np.bincount(kind[plan.indices_], minlength=3)
    share = np.bincount(wanted, minlength=3) / 3
    assert np.abs(counts - share).max() <= (4 if by else 12)
    with pytest.raises(MissingInputError, match="needs a target"):
        SelectionPlan(budget=10, selector="random", mixture="target").fit(X)


def runs_for(names, best, n=60):
    """Return runs that are the better the more they had of one source."""
    rng = np.random.default_rng(5)
    weights = rng.dirichlet(np.ones(len(names)), n)
    loss = 3 - 0.4 * np.log(weights[:, names.index(best)] + 0.01)
    return pl.DataFrame(dict(zip(names, weights.T, strict=True)) | {"loss": loss})


def test_a_mixture_is_learned_within_what_the_pool_has():
    table = pool({"code": 12, "law": 200, "web": 300})
    runs = runs_for(["code", "law", "web"], "law")
    options = {"metric": "loss", "bootstraps": 10}
    plan = fitted(table, 100, None, mixture_from_runs=runs, mixture_options=options)
    got = counts(table, plan)
    assert got["law"] > 60
    assert sum(got.values()) == 100
    learned = plan.report_["learned_mixture"]
    assert learned["runs"] == 60
    assert learned["sources"]["law"]["share"] == pytest.approx(got["law"] / 100, abs=0.01)
    # the source that is wanted is short: it gives what it has, four times over
    scarce = runs_for(["code", "law", "web"], "code")
    plan = fitted(table, 100, None, mixture_from_runs=scarce, mixture_options=options, repeat=4)
    assert counts(table, plan)["code"] == 12
    assert plan.weights_.sum() == 100
    assert plan.report_["mixture"]["code"]["share"] <= 0.48 + 1e-9
    assert plan.report_["shortfall"] == 0


def test_models_fill_the_best_source_first():
    table = pool({"code": 20, "law": 200, "web": 300})
    skill = np.linspace(0, 1, 15)
    models = {"code": 3 - skill, "law": 3 + skill, "web": 3 - skill**2, "error": 1 - skill}
    models["web"][[3, 9]] = models["web"][[9, 3]]
    plan = fitted(table, 50, None, mixture_from_models=models, mixture_options={"metric": "error"})
    assert counts(table, plan) == {"code": 20, "web": 30}
    assert "a table" in [value for _, value in plan._notebook_rows()]


def test_what_a_mixture_is_learned_from_must_be_clear():
    table = pool({"code": 20, "law": 200})
    runs = runs_for(["code", "law"], "law")
    with pytest.raises(ConfigError, match="one of mixture, mixture_from_runs"):
        fitted(table, 5, "even", mixture_from_runs=runs, mixture_options={"metric": "loss"})
    with pytest.raises(ConfigError, match="for a metric"):
        fitted(table, 5, None, mixture_from_runs=runs)
    with pytest.raises(ConfigError, match="has neither"):
        fitted(table, 5, "even", mixture_options={"metric": "loss"})
    options = {"metric": "loss", "draw": 3}
    with pytest.raises(ColumnError, match="'draw'"):
        fitted(table, 5, None, mixture_from_runs=runs, mixture_options=options)
    stepped = runs.with_columns(step=pl.lit(7))
    with pytest.raises(ConfigError, match="'step', which is no source"):
        fitted(table, 5, None, mixture_from_runs=stepped, mixture_options={"metric": "loss"})
