"""Two-stage greedy: equal to the plain one where it must be, its guarantee, and who runs shards."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import SimilarityGraph, embed
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.selection.selectors.graph_cut import GraphCutSelector
from assay.selection.selectors.saturated_coverage import SaturatedCoverageSelector
from assay.selection.selectors.two_stage import Proposal, Shard, TwoStageSelector, merge, propose
from assay.storage.errors import ColumnError, ConfigError
from tests.data import shared
from tests.selection.small_graphs import from_dense, knn

CASES = [
    ("facility_location", FacilityLocationSelector, {}),
    ("saturated_coverage", SaturatedCoverageSelector, {"alpha": 0.3}),
    ("graph_cut", GraphCutSelector, {"lam": 3.0}),
]
cases = pytest.mark.parametrize(("name", "plain", "options"), CASES, ids=[c[0] for c in CASES])


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(4)
    centers = rng.normal(size=(12, 6)) * 3
    X = centers[rng.integers(0, 12, 500)] + rng.normal(size=(500, 6))
    return knn(X, 8, ids=[f"row {row}" for row in rng.permutation(500)])


@st.composite
def graphs(draw):
    n = draw(st.integers(2, 8))
    values = draw(
        st.lists(st.sampled_from([0, 0, 0.25, 0.5, 0.75, 1]), min_size=n * n, max_size=n * n)
    )
    dense = np.triu(np.array(values, dtype=np.float32).reshape(n, n), 1)
    return from_dense(dense + dense.T)


@cases
def test_one_shard_is_the_plain_greedy(name, plain, options, graph):
    found = TwoStageSelector(budget=60, selector=name, options=options, shards=1).fit(graph=graph)
    expected = plain(budget=60, **options).fit(graph=graph)
    np.testing.assert_array_equal(found.indices_, expected.indices_)
    np.testing.assert_array_equal(found.scores_, expected.scores_)
    assert found.report_["objective"] == pytest.approx(expected.report_["objective"])
    assert found.report_["objective_random"] == expected.report_["objective_random"]


@cases
def test_shards_that_propose_all_their_rows_lose_nothing(name, plain, options, graph):
    found = TwoStageSelector(budget=200, selector=name, options=options, shards=9, compare=True)
    found.fit(graph=graph)
    assert found.report_["largest_shard"] < 200
    np.testing.assert_array_equal(
        found.indices_, plain(budget=200, **options).fit(graph=graph).indices_
    )
    assert found.report_["objective_ratio"] == 1.0


@cases
def test_a_shard_sees_the_objective_over_the_whole_pool(name, plain, options, graph):
    function = plain(budget=1, **options).set_function(graph)
    rows = np.flatnonzero(np.random.default_rng(1).random(500) < 0.3)
    own = function.restricted(rows)
    some = np.random.default_rng(2).permutation(len(rows))[:40]
    assert own.value(some) == function.value(rows[some])
    np.testing.assert_array_equal(own.along(some)[0], function.along(rows[some])[0])
    # and the gains of the others after them, which touch rows of other shards
    gains = own.gains(own.along(some)[1])
    np.testing.assert_array_equal(gains, function.gains(function.along(rows[some])[1])[rows])
    assert own.covered > len(rows)
    assert len(own.indices) < len(function.indices)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_the_worst_case_guarantee_holds(graph, budget, shards, seed):
    function = FacilityLocationSelector(budget=1).set_function(graph)
    n = len(graph.indptr) - 1
    budget = min(budget, n)
    best = max(function.value(np.array(rows)) for rows in combinations(range(n), budget))
    found = TwoStageSelector(budget=budget, shards=shards, random_state=seed).fit(graph=graph)
    value = function.value(found.indices_)
    assert value == pytest.approx(found.report_["objective"])
    assert value >= found.report_["objective_best_shard"] - 1e-9
    assert value >= (1 - 1 / np.e) ** 2 / min(budget, shards) * best - 1e-9


def test_the_guarantee_in_expectation_holds():
    rng = np.random.default_rng(0)
    for trial in range(5):
        dense = np.triu((rng.random((9, 9)) < 0.4) * rng.random((9, 9)), 1)
        graph = from_dense(dense + dense.T)
        function = FacilityLocationSelector(budget=1).set_function(graph)
        best = max(function.value(np.array(rows)) for rows in combinations(range(9), 3))
        found = [
            TwoStageSelector(budget=3, shards=4, random_state=seed).fit(graph=graph)
            for seed in range(40)
        ]
        mean = np.mean([selector.report_["objective"] for selector in found])
        assert mean >= 0.5 * (1 - 1 / np.e) * best, trial


def test_a_shard_that_beats_the_union_is_taken_and_filled_up():
    star = np.zeros((6, 6))
    star[0, 1:] = star[1:, 0] = 0.5
    function = FacilityLocationSelector(budget=1).set_function(from_dense(star))
    # row 0 is worth 3.5, but the greedy of the union is made to miss it
    strong = Proposal(np.array([0]), np.array([99.0]))
    weak = Proposal(np.array([1, 2]), function.along(np.array([1, 2]))[0])
    rows, gains, report = merge(function, [weak, strong], 2)
    assert rows.tolist() == [0, 1]
    assert gains.tolist() == [3.5, 0.5]
    assert report["objective_best_shard"] == 99.0
    assert report["candidates"] == 3


def test_who_runs_the_shards_and_their_order_change_nothing(graph):
    alone = TwoStageSelector(budget=30, shards=6).fit(graph=graph)
    with ThreadPoolExecutor(3) as pool:
        threads = TwoStageSelector(budget=30, shards=6, map=pool.map).fit(graph=graph)
    seen = []

    def elsewhere(function, shards):
        # what an engine of other processes does
        for shard in shards:
            shard = pickle.loads(pickle.dumps(shard))
            assert function is propose
            assert isinstance(shard, Shard)
            assert (np.diff(shard.rows) > 0).all()
            seen.append(len(shard.rows))
            yield pickle.loads(pickle.dumps(function(shard)))

    away = TwoStageSelector(budget=30, shards=6, map=elsewhere).fit(graph=graph)
    for other in (threads, away):
        np.testing.assert_array_equal(alone.indices_, other.indices_)
        np.testing.assert_array_equal(alone.scores_, other.scores_)
        assert alone.report_ == other.report_
    assert sum(seen) == 500
    assert alone.report_["largest_shard"] == max(seen)
    assert alone.report_["candidates"] == 6 * 30


def test_a_row_stays_in_its_shard_when_the_pool_grows(graph):
    small = TwoStageSelector(budget=90, shards=4).fit(graph=graph)
    ids = list(graph.ids)
    shards = dict(zip(ids, _shards(small), strict=True))
    grown_ids = [*ids, *(f"new {row}" for row in range(200))]
    more = knn(np.random.default_rng(0).normal(size=(700, 4)), 5, ids=grown_ids)
    grown = TwoStageSelector(budget=90, shards=4).fit(graph=more)
    both = [
        (shard, shards[name])
        for name, shard in zip(grown_ids, _shards(grown), strict=True)
        if shard is not None and shards.get(name) is not None
    ]
    assert len(both) > 5
    assert all(before == after for before, after in both)


def _shards(selector):
    return selector.decisions()["detail"].str.json_path_match("$.shard").to_list()


def test_oversampling_bounds_the_candidates(graph):
    few = TwoStageSelector(budget=100, shards=5, oversampling=1.5, compare=True).fit(graph=graph)
    assert 150 <= few.report_["candidates"] <= 155
    assert 0.9 < few.report_["objective_ratio"] <= 1.01
    # never more than the budget, never fewer rows than it
    many = TwoStageSelector(budget=100, shards=5, oversampling=50).fit(graph=graph)
    assert many.report_["candidates"] <= 500
    np.testing.assert_array_equal(
        many.indices_, TwoStageSelector(budget=100, shards=5).fit(graph=graph).indices_
    )
    for budget in (1, 7, 499, 500):
        least = TwoStageSelector(budget=budget, shards=7, oversampling=1).fit(graph=graph)
        assert len(set(least.indices_.tolist())) == budget


def test_decisions_say_in_which_stage_a_row_lost(graph):
    selector = TwoStageSelector(budget=20, shards=6).fit(graph=graph)
    reasons = dict(selector.decisions()["reason"].value_counts().iter_rows())
    assert reasons == {"selected": 20, "lower_gain": 100, "lower_gain_in_shard": 380}


def test_what_is_not_allowed(graph):
    for bad in ("random", "d2", "two_stage", "facility"):
        with pytest.raises(ConfigError, match="facility_location, saturated_coverage, graph_cut"):
            TwoStageSelector(budget=3, selector=bad).fit(graph=graph)
    with pytest.raises(ColumnError, match="option of graph_cut"):
        TwoStageSelector(budget=3, selector="graph_cut", options={"alpha": 1}).fit(graph=graph)
    for name, values in {
        "shards": (0, 2.5, True, "4"),
        "oversampling": (0.5, "2", True, np.inf),
        "map": ("threads",),
    }.items():
        for value in values:
            with pytest.raises(ConfigError, match=name):
                TwoStageSelector(budget=3, **{name: value}).fit(graph=graph)


def test_real_documents():
    pool = pl.read_parquet(shared("text_pool.parquet")).sample(4_000, seed=0)
    X = embed(pool["text"], ids=pool["id"], dimensions=32)
    real = SimilarityGraph.from_vectors(X, ids=pool["id"], k=15)
    for shards in (4, 16):
        found = TwoStageSelector(budget=100, shards=shards, compare=True).fit(graph=real)
        assert 0.98 < found.report_["objective_ratio"] <= 1.005
        assert found.report_["objective"] > found.report_["objective_random"]
