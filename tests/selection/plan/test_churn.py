"""A stable selection: yesterday's rows are replaced only as far as the bound allows."""

from __future__ import annotations

import json
import warnings
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from assay.index import SimilarityGraph
from assay.selection import SelectionPlan
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.plan.churn import BARRED, KEPT, parse_churn
from assay.storage.errors import BudgetError, ConfigError

N, BUDGET = 300, 40
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 6)).astype(np.float32)
IDS = pl.Series("id", [f"r{i:03}" for i in RNG.permutation(N)])
GRAPH = SimilarityGraph.from_vectors(X, ids=IDS, k=6)
SCORES = RNG.normal(size=N)
TABLE = pl.DataFrame(
    {"source": RNG.choice(["a", "b", "c"], N, p=[0.7, 0.2, 0.1]), "tokens": RNG.integers(1, 60, N)}
)
YESTERDAY = RNG.choice(N, BUDGET, replace=False)
# nested, not nested, with a cutoff of its own
SELECTORS = ["random", "facility_location", "top", "k_center", "ccs", "d2", "hierarchical"]
RULES = {
    "free": {},
    "rules": {
        "filters": ["tokens < 50"],
        "cutoff": 0.1,
        "difficulty": "hard",
        "must_include": IDS[:3].to_list(),
        "must_exclude": [IDS[int(YESTERDAY[0])]],
    },
    "groups": {"by": "source", "quotas": {"a": 0.6}, "minima": {"c": 6}, "weigh": True},
    "cost": {"budget": 900, "cost": "tokens"},
}


def plan(selector="top", **rules) -> SelectionPlan:
    return SelectionPlan(**{"budget": BUDGET, "selector": selector, "random_state": 2, **rules})


def fit(made: SelectionPlan, order=None) -> SelectionPlan:
    order = np.arange(N) if order is None else order
    graph = GRAPH
    if not np.array_equal(order, np.arange(N)):
        graph = SimilarityGraph.from_vectors(X[order], ids=IDS[order], k=6)
    return made.fit(
        X[order],
        graph=graph,
        scores={"hard": SCORES[order]},
        ids=IDS[order],
        table=TABLE[order],
    )


def check_bound(made: SelectionPlan, free: SelectionPlan, limit: int) -> None:
    """Hold the bound and what is told of it against a count of one's own."""
    counted = made.cost is None
    told = made.decisions()
    previous = np.zeros(N, dtype=bool)
    previous[YESTERDAY] = True
    ever = set(IDS[YESTERDAY].to_list())
    assert set(made.previous) == ever
    # what a stage before the selector left out can't stay
    refused = told["stage"].is_in(["filter", "leakage", "deduplicate", "cutoff"]).to_numpy()
    own_cut = (free.decisions()["stage"] == "cutoff").to_numpy() & free.kept_
    mine = previous & (~refused | own_cut)
    chosen = np.zeros(N, dtype=bool)
    chosen[made.indices_] = True
    report = made.report_
    no_room = report["churn_forced"] - int(previous.sum() - mine.sum())
    assert no_room >= 0
    assert report["churn_limit"] == limit
    assert report["churn_previous"] == len(YESTERDAY)
    dropped = int((mine & ~chosen).sum())
    if counted:
        assert len(made.indices_) == len(free.indices_)
        dropped -= max(0, int(mine.sum()) - len(made.indices_))
    assert report["churn_replaced"] == dropped - no_room <= limit
    assert told["selected"].to_numpy().tolist() == chosen.tolist()
    kept = told.filter(pl.col("stage") == "churn")
    assert report["churn_kept"] == kept.height
    assert (kept["reason"] == "churn").all()
    assert kept["selected"].all()
    assert all(json.loads(d)["bound"] == KEPT for d in kept["detail"])
    was = np.isin(np.arange(N), free.indices_)
    assert previous[(told["stage"] == "churn").to_numpy()].all()
    barred = [json.loads(d).get("bound") == BARRED for d in told["detail"]]
    assert np.array_equal(np.flatnonzero(barred), np.flatnonzero(was & ~chosen))
    positions = [json.loads(d)["position"] for d in told.filter("selected")["detail"]]
    assert sorted(positions) == list(range(1, len(made.indices_) + 1))


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("rules", RULES)
def test_the_bound_holds(selector, rules) -> None:
    wanted = RULES[rules]
    free = fit(plan(selector, **wanted))
    ids = IDS[YESTERDAY].to_list()
    for churn, limit in ((0, 0), (0.1, 4), (7, 7)):
        made = fit(plan(selector, churn=churn, previous=ids, **wanted))
        check_bound(made, free, limit)
        if rules in ("free", "rules"):
            assert made.report_["churn_kept"] > 0
        spent = TABLE["tokens"].to_numpy()[made.indices_].sum()
        assert rules != "cost" or spent <= 900
    if rules == "rules":
        assert set(wanted["must_include"]) <= set(IDS[made.indices_].to_list())
        assert wanted["must_exclude"][0] not in set(IDS[made.indices_].to_list())
    if rules == "groups":
        sources = TABLE["source"].to_numpy()[made.indices_]
        assert (sources == "a").sum() <= 24
        assert (sources == "c").sum() >= 6
        assert made.weights_.sum() == N


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_bound_of_everything_is_none(selector) -> None:
    free = fit(plan(selector, **RULES["groups"]))
    for churn in (1.0, "100%", BUDGET, 10 * BUDGET):
        made = fit(
            plan(selector, churn=churn, previous=IDS[YESTERDAY].to_list(), **RULES["groups"])
        )
        np.testing.assert_array_equal(made.indices_, free.indices_)
        np.testing.assert_array_equal(made.weights_, free.weights_)
        assert made.decisions().equals(free.decisions())
    # and where nothing was chosen before there is nothing to bound
    first = fit(plan(selector, churn=0, **RULES["groups"]))
    np.testing.assert_array_equal(first.indices_, free.indices_)
    again = fit(plan(selector, churn=0, previous=IDS[free.indices_].to_list(), **RULES["groups"]))
    np.testing.assert_array_equal(again.indices_, free.indices_)
    assert again.report_["churn_replaced"] == again.report_["churn_kept"] == 0


@pytest.mark.parametrize("selector", ["facility_location", "ccs", "top"])
def test_the_order_of_rows_and_of_yesterday_changes_nothing(selector) -> None:
    rules = {"churn": 0.2, "by": "source", "quotas": {"a": 0.6}}
    ids = IDS[YESTERDAY].to_list()
    made = fit(plan(selector, previous=ids, **rules))
    order = RNG.permutation(N)
    other = fit(plan(selector, previous=ids[::-1] + ids[:5], **rules), order)
    np.testing.assert_array_equal(order[other.indices_], made.indices_)
    assert other.decisions().equals(made.decisions()[order])


def test_equal_scores_break_by_id() -> None:
    ids = [f"s{i}" for i in (3, 1, 0, 2, 9, 8)]
    made = plan(budget=3, churn=1, previous=["s3", "s1", "s0"])
    made.fit(scores=np.array([0.0, 0, 0, 0, 1, 1]), ids=ids)
    assert [ids[i] for i in made.indices_] == ["s8", "s0", "s1"]


SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray, set[int], int, int]:
    """Return scores without ties, roles, yesterday's rows, a budget and a limit that mostly bites."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 10))
    roles = rng.choice(["free", "banned", "must"], n, p=[0.8, 0.1, 0.1])
    budget = int(rng.integers(1, n))
    size = int(rng.integers(0, n + 1)) if rng.random() < 0.3 else budget
    previous = set(rng.choice(n, size, replace=False).tolist())
    return rng, rng.permutation(n), roles, previous, budget, int(rng.integers(0, 3))


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_the_best_scores_under_the_bound_are_those_of_every_subset_tried(seed) -> None:
    _, scores, roles, previous, budget, limit = drawn(seed)
    n = len(roles)
    banned = set(np.flatnonzero(roles == "banned").tolist())
    must = set(np.flatnonzero(roles == "must").tolist())
    assume(len(must) <= budget and len(banned) < n)
    ids = [f"r{i}" for i in range(n)]
    made = plan(
        budget=budget,
        churn=limit,
        previous=[ids[i] for i in sorted(previous)] + ["gone"],
        must_exclude=[ids[i] for i in sorted(banned)],
        must_include=[ids[i] for i in sorted(must)],
    )
    left = set(range(n)) - banned
    if len(left) < budget:
        with pytest.warns(ShortfallWarning):
            made.fit(scores=scores.astype(float), ids=ids)
    else:
        made.fit(scores=scores.astype(float), ids=ids)
    size = min(budget, len(left))
    usable = previous & left
    most = min(len(usable), size - len(must - usable))
    stay = min(most, min(len(usable), size) - limit)
    allowed = [
        set(rows)
        for rows in combinations(sorted(left), size)
        if must <= set(rows) and len(usable & set(rows)) >= stay
    ]
    best = max(allowed, key=lambda rows: sum(scores[i] for i in rows))
    assert set(made.indices_.tolist()) == best
    report = made.report_
    no_room = max(0, min(len(usable), size) - limit - most)
    assert report["churn_forced"] == len(previous) + 1 - len(usable) + no_room
    assert report["churn_replaced"] <= limit


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_as_many_stay_under_quotas_and_minima_as_any_subset_allows(seed) -> None:
    rng, scores, roles, previous, budget, limit = drawn(seed)
    n = len(roles)
    must = set(np.flatnonzero(roles == "must").tolist())
    groups = rng.choice(["a", "b"], n).tolist()
    most = {g: int(rng.integers(2, n)) for g in sorted(set(groups))}
    least = {g: int(rng.integers(0, 3)) for g in most}
    ids = [f"r{i}" for i in range(n)]
    rules = {"by": "g", "quotas": most, "minima": least, "must_include": [ids[i] for i in must]}
    inputs = {"scores": scores.astype(float), "ids": ids, "table": {"g": groups}}
    free = plan(budget=budget, **rules)
    made = plan(budget=budget, churn=limit, previous=[ids[i] for i in previous], **rules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShortfallWarning)
        try:
            free.fit(**inputs)
        except BudgetError:
            assume(False)
        made.fit(**inputs)

    def of(rows, group) -> int:
        return sum(groups[i] == group for i in rows)

    def fits(rows) -> bool:
        return must <= set(rows) and all(
            min(least[g], of(range(n), g)) <= of(rows, g) <= most[g] for g in most
        )

    # must-include rows may leave the minima no room
    assume(fits(free.indices_.tolist()))
    chosen, size = set(made.indices_.tolist()), len(free.indices_)
    assert len(chosen) == size
    assert fits(chosen)
    most_stay = max(len(previous & set(r)) for r in combinations(range(n), size) if fits(r))
    wanted = min(len(previous), size) - limit
    assert len(previous & chosen) >= min(wanted, most_stay)
    assert made.report_["churn_replaced"] <= limit
    assert made.report_["churn_forced"] == max(0, wanted - most_stay)
    # what has to stay stays, no more than that is changed
    if len(previous & set(free.indices_.tolist())) >= min(wanted, most_stay):
        assert chosen == set(free.indices_.tolist())


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_costs_are_kept_to_before_the_bound(seed) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 9))
    cost, groups = rng.integers(1, 10, n), rng.choice(["a", "b"], n)
    previous = rng.choice(n, int(rng.integers(2, n)), replace=False)
    there = {g: int(cost[groups == g].sum()) for g in np.unique(groups).tolist()}
    minima = {g: int(rng.integers(0, 12)) for g in there}
    budget, limit = int(rng.integers(5, cost.sum() + 1)), int(rng.integers(0, 3))
    rules = {"budget": budget, "cost": "c", "by": "g", "minima": minima}
    inputs = {
        "scores": rng.permutation(n).astype(float),
        "ids": [f"r{i}" for i in range(n)],
        "table": {"c": cost, "g": groups},
    }
    free = plan(**rules)
    try:
        free.fit(**inputs)
    except BudgetError:
        assume(False)
    made = plan(churn=limit, previous=[f"r{i}" for i in previous], **rules).fit(**inputs)
    assert cost[made.indices_].sum() <= budget

    def met(rows) -> bool:
        spent = {g: cost[rows][groups[rows] == g].sum() for g in minima}
        return all(spent[g] >= min(least, there[g]) for g, least in minima.items())

    assert met(made.indices_) or not met(free.indices_)
    stayed = np.isin(previous, made.indices_).sum()
    assert stayed >= min(len(previous) - limit, np.isin(previous, free.indices_).sum())
    cheapest = np.sort(cost[previous])[: max(0, len(previous) - limit)].sum()
    if not any(minima.values()) and cheapest > budget:
        assert made.report_["churn_forced"] > 0
    assert made.report_["churn_forced"] == max(0, len(previous) - limit - stayed)


@pytest.mark.parametrize(("budget", "kept"), [(20, 18), (40, 36), (60, 34)])
def test_another_budget(budget, kept) -> None:
    """A smaller budget drops rows, which replaces none; a larger one has a larger share."""
    made = fit(plan("top", budget=budget, churn=0.1, previous=IDS[YESTERDAY].to_list()))
    assert len(made.indices_) == budget
    mine = set(YESTERDAY.tolist()) & set(made.indices_.tolist())
    assert len(mine) == kept
    assert made.report_["churn_replaced"] == budget // 10


def test_draws_with_replacement_stay_as_many() -> None:
    words = ["graph", "index", "score", "pool", "target", "sample", "budget", "table"]
    texts = [" ".join(RNG.choice(words, 6)) for _ in range(60)]
    rules = {"selector": "importance", "budget": 25, "options": {"replace": True}}
    inputs = {"X": texts, "target": texts[::2], "ids": [f"t{i}" for i in range(60)]}
    free = plan(**rules).fit(**inputs)
    assert 10 < len(free.indices_) < 25
    out = np.setdiff1d(np.arange(60), free.indices_)[:10]
    made = plan(**rules, churn=2, previous=[f"t{i}" for i in out]).fit(**inputs)
    assert len(made.indices_) == len(free.indices_)
    assert np.isin(out, made.indices_).sum() == made.report_["churn_kept"] == 8


def test_empty_rows_are_replaced_beyond_the_bound() -> None:
    texts = ["a b c", "", "a b d", "b c d", "c d e", "a c e"]
    made = plan("importance", budget=2, churn=0, previous=["1", "5"])
    made.fit(texts, target=["a b"], ids=[str(i) for i in range(6)])
    assert 5 in made.indices_
    assert (made.report_["churn_forced"], made.report_["churn_replaced"]) == (1, 0)


@pytest.mark.parametrize("churn", [-1, 1.5, "120%", "some", True, float("nan"), -0.1])
def test_what_is_no_bound_is_refused(churn) -> None:
    with pytest.raises(ConfigError, match="churn"):
        parse_churn(churn)
    with pytest.raises(ConfigError, match="churn"):
        fit(plan(churn=churn))
