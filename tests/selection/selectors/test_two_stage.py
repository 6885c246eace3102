"""Two-stage greedy: equal to the plain one where it must be, guarantees, rounds, trees, `map`."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from assay.index import SimilarityGraph, embed
from assay.selection.contract.inputs import Inputs
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
    _who_runs_what_changes_nothing(graph, budget=30, shards=6)
    _who_runs_what_changes_nothing(graph, budget=30, shards=6, oversampling=2, fan_in=2)


def _who_runs_what_changes_nothing(graph, **options):
    alone = TwoStageSelector(**options).fit(graph=graph)
    with ThreadPoolExecutor(3) as pool:
        threads = TwoStageSelector(**options, map=pool.map).fit(graph=graph)
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

    away = TwoStageSelector(**options, map=elsewhere).fit(graph=graph)
    for other in (threads, away):
        np.testing.assert_array_equal(alone.indices_, other.indices_)
        np.testing.assert_array_equal(alone.scores_, other.scores_)
        assert alone.report_ == other.report_
    assert sum(seen[:6]) == 500
    assert alone.report_["largest_shard"] == max(seen)
    # in twos: six shards, three unions and two unions in each of eight rounds
    assert len(seen) == (6 if "fan_in" not in options else 8 * (6 + 3 + 2))


def test_the_order_of_the_rows_changes_nothing(graph):
    moved = np.random.default_rng(3).permutation(500)
    dense = csr_matrix((graph.weights, graph.indices, graph.indptr), shape=(500, 500)).toarray()
    ids = np.array(graph.ids)
    other = from_dense(dense[np.ix_(moved, moved)], ids=ids[moved].tolist())
    for options in ({}, {"oversampling": 2}, {"oversampling": 1.5, "fan_in": 3, "rounds": 3}):
        one = TwoStageSelector(budget=50, shards=7, **options).fit(graph=graph)
        two = TwoStageSelector(budget=50, shards=7, **options).fit(graph=other)
        assert ids[one.indices_].tolist() == ids[moved][two.indices_].tolist()
        assert one.report_ == two.report_


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
    few = TwoStageSelector(budget=100, shards=5, oversampling=1.5, rounds=1, compare=True)
    few.fit(graph=graph)
    assert 150 <= few.report_["candidates"] <= 155
    assert 0.9 < few.report_["objective_ratio"] <= 1.01
    assert few.report_["largest_union"] == few.report_["candidates"]
    # never more than the budget, never fewer rows than it
    many = TwoStageSelector(budget=100, shards=5, oversampling=50, rounds=1).fit(graph=graph)
    assert many.report_["candidates"] <= 500
    np.testing.assert_array_equal(
        many.indices_, TwoStageSelector(budget=100, shards=5).fit(graph=graph).indices_
    )
    for budget in (1, 7, 499, 500):
        least = TwoStageSelector(budget=budget, shards=7, oversampling=1).fit(graph=graph)
        assert len(set(least.indices_.tolist())) == budget


@cases
def test_as_many_rounds_as_rows_to_take_are_the_plain_greedy(name, plain, options, graph):
    # each round takes the best row there is, whatever the shards and the tree
    for shards, fan_in in ((7, None), (7, 2), (60, 5)):
        found = TwoStageSelector(
            budget=25, selector=name, options=options, shards=shards, oversampling=1,
            rounds=100, fan_in=fan_in, compare=True,
        ).fit(graph=graph)  # fmt: skip
        expected = plain(budget=25, **options).fit(graph=graph)
        np.testing.assert_array_equal(found.indices_, expected.indices_)
        np.testing.assert_array_equal(found.scores_, expected.scores_)
        assert found.report_["objective_ratio"] == 1.0
        assert found.report_["rounds"] == 25


def crowded(seed=0):
    """Return a graph of clusters of very unequal size: all shards propose from the large ones."""
    rng = np.random.default_rng(seed)
    sizes = (300 / np.arange(1, 121)).astype(int) + 4
    centers = rng.normal(size=(120, 8)) * 4
    X = np.repeat(centers, sizes, axis=0) + rng.normal(size=(sizes.sum(), 8)) * 0.4
    ids = [f"row {row}" for row in rng.permutation(len(X))]
    return SimilarityGraph.from_vectors(X, ids=ids, k=10, method="exact")


def test_rounds_tell_the_shards_what_others_took():
    pool = crowded()
    options = {"budget": 100, "shards": 60, "oversampling": 3, "compare": True}
    blind = TwoStageSelector(**options, rounds=1).fit(graph=pool).report_
    assert blind["objective_ratio"] < 0.93
    for fan_in in (None, 3):
        told = TwoStageSelector(**options, fan_in=fan_in).fit(graph=pool).report_
        assert told["rounds"] == 8
        assert told["objective_ratio"] > 0.99
        assert told["candidates"] <= 1.1 * blind["candidates"]
        # a round takes 13 rows at most, and a shard proposes one, two where it is large
        assert told["largest_union"] <= (2 * 60 if fan_in is None else 3 * 13)
        assert told["objective_best_shard"] < told["objective"]


@pytest.mark.parametrize("fan_in", [2, 3, 5, 8, 9])
def test_a_tree_holds_a_few_proposals_at_a_time(fan_in, graph):
    options = {"budget": 30, "shards": 9, "compare": True}
    flat = TwoStageSelector(**options).fit(graph=graph)
    tree = TwoStageSelector(**options, fan_in=fan_in).fit(graph=graph)
    report = tree.report_
    # nine proposals become five, three, two and one in twos
    assert report["levels"] == {2: 4, 3: 2, 5: 2, 8: 2, 9: 1}[fan_in]
    assert report["largest_union"] == 30 * fan_in
    assert report["candidates"] == flat.report_["candidates"] == 270
    assert report["objective_best_shard"] == flat.report_["objective_best_shard"]
    assert 0.98 < report["objective_ratio"] <= 1.01
    if fan_in == 9:
        np.testing.assert_array_equal(tree.indices_, flat.indices_)
        assert report == flat.report_


def test_a_union_passes_on_the_share_of_its_shards(graph):
    counts = []

    def elsewhere(function, parts):
        made = list(map(function, parts))
        counts.append([len(proposal.rows) for proposal in made])
        return made

    TwoStageSelector(
        budget=40, shards=8, oversampling=2, rounds=1, fan_in=3, map=elsewhere
    ).fit(graph=graph)  # fmt: skip
    leaves, unions = counts
    assert len(leaves) == 8
    assert len(unions) == 3
    sizes = np.bincount(_shard_of(graph, 8))
    expected = [min(40, -(-80 * part.sum() // 500)) for part in np.split(sizes, [3, 6])]
    assert unions == expected


def _shard_of(graph, shards):
    return TwoStageSelector(budget=1, shards=shards)._sharded(Inputs(graph=graph))


parameters = {
    "budget": st.integers(1, 5),
    "shards": st.integers(1, 5),
    "oversampling": st.sampled_from([None, 1, 1.5, 3]),
    "rounds": st.sampled_from([None, 1, 2, 3, 9]),
    "fan_in": st.sampled_from([None, 2, 3]),
    "seed": st.integers(0, 3),
}


@settings(max_examples=100, deadline=None)
@given(graphs(), st.fixed_dictionaries(parameters))
def test_the_guarantees_of_rounds_and_trees_hold(graph, given_):
    budget = min(given_["budget"], len(graph.indptr) - 1)
    function = FacilityLocationSelector(budget=1).set_function(graph)
    best = max(
        function.value(np.array(rows))
        for rows in combinations(range(len(graph.indptr) - 1), budget)
    )
    options = {name: given_[name] for name in ("shards", "oversampling", "rounds", "fan_in")}
    found = TwoStageSelector(budget=budget, random_state=given_["seed"], **options)
    found.fit(graph=graph)
    value = function.value(found.indices_)
    report = found.report_
    assert value == pytest.approx(report["objective"])
    assert value >= (1 - (1 - 1 / budget) ** report["rounds"]) * best - 1e-9
    if options["oversampling"] is None and report["rounds"] == 1:
        assert value >= (1 - 1 / np.e) / min(budget, options["shards"]) * best - 1e-9
        assert value >= report["objective_best_shard"] - 1e-9


@pytest.mark.filterwarnings("ignore::assay.selection.contract.budgets.ShortfallWarning")
@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries(parameters | {"budget": st.integers(1, 260)}),
    st.lists(st.integers(0, 199), max_size=60),
    st.sampled_from(CASES),
)
def test_covered_rows_and_budgets(given_, covered, case):
    name, plain, more = case
    rng = np.random.default_rng(2)
    pool = knn(rng.normal(size=(200, 5)), 6, ids=[f"row {row}" for row in rng.permutation(200)])
    mask = np.isin(np.arange(200), covered)
    budget, free = min(given_["budget"], 200), 200 - mask.sum()
    options = {name: given_[name] for name in ("shards", "oversampling", "rounds", "fan_in")}
    selector = TwoStageSelector(
        budget=budget, selector=name, options=more, random_state=given_["seed"], **options
    ).fit(graph=pool, covered=mask)  # fmt: skip
    chosen = selector.indices_
    assert len(chosen) == len(set(chosen.tolist())) == min(budget, free)
    assert not mask[chosen].any()
    function = plain(budget=1, **more).set_function(pool)
    both = np.concatenate([np.flatnonzero(mask), chosen])
    report = selector.report_
    assert report["objective"] == pytest.approx(function.value(both), rel=1e-6)
    assert (np.diff(selector.scores_[chosen]) <= 1e-6).all() or report["rounds"] == 1
    assert report["candidates"] >= len(chosen)
    assert report["largest_union"] <= free
    if options["fan_in"] is not None:
        most = -(-min(budget, free) // report["rounds"])
        assert report["largest_union"] <= options["fan_in"] * most


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
        "rounds": (0, 1.5, True, "2"),
        "fan_in": (1, 2.5, True, "2"),
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
