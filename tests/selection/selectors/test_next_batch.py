"""The next rows to label: plain greedy coverage, and what labels and covered rows change."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from assay.index import SimilarityGraph
from assay.selection import NextBatchSelector, SelectionPlan, Typicality, Uncertainty
from assay.selection.algorithms.class_uncertainty import known_probabilities
from assay.selection.algorithms.neighbor_terms import information_radius
from assay.selection.contract.inputs import Inputs
from assay.storage.errors import ConfigError, InputError, MissingInputError

RNG = np.random.default_rng(7)
CENTERS = RNG.normal(size=(6, 8)) * 2
KINDS = RNG.integers(0, 6, 240)
X = (CENTERS[KINDS] + RNG.normal(size=(240, 8))).astype(np.float32)
LABELED = RNG.choice(240, 30, replace=False)
NAMES = np.array(["a", "b", "c", "a", "b", "c"])[KINDS]


def labels(rows=LABELED):
    known = set(rows.tolist())
    return [str(NAMES[i]) if i in known else None for i in range(240)]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def assert_greedy(X, weights, had, chosen, width):
    """Check that each chosen row adds most, with every kernel value computed anew in float64.

    Two rows that cover nothing but each other add the same. Returns the objective.
    """
    squares = ((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / width)
    state = kernel[had].max(axis=0) if len(had) else np.zeros(len(X))
    share = weights / weights.sum()
    for place, row in enumerate(chosen):
        gains = np.maximum(kernel - state, 0) @ share
        gains[[*had, *chosen[:place]]] = -1
        assert gains[row] >= gains.max() - 1e-7
        state = np.maximum(state, kernel[row])
    return float(share @ state)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("informativeness", [0.0, 0.5, 1.0])
def test_the_choice_is_plain_greedy_coverage_of_uncertain_rows(metric, informativeness):
    selector = NextBatchSelector(budget=40, metric=metric, informativeness=informativeness)
    selector.fit(X, labels())
    rows = unit(X) if metric == "cosine" else X
    squares = ((rows[:, None].astype(np.float64) - rows[LABELED][None]) ** 2).sum(axis=2)
    width = np.median(squares.min(axis=1))
    assert selector.report_["width"] == pytest.approx(width, rel=1e-4)
    uncertainty = Uncertainty().fit(X, labels()).scores_
    weights = (1 - informativeness * (1 - uncertainty)) ** 2
    objective = assert_greedy(rows, weights, LABELED, selector.indices_, width)
    assert selector.report_["objective"] == pytest.approx(objective, rel=1e-5)


def brute_force_disagreement(graph, classes):
    """Jensen-Shannon divergence of each row's neighbors, one row after another, by scipy's entropy."""
    found = np.zeros(len(classes))
    for row in range(len(classes)):
        at = slice(graph.indptr[row], graph.indptr[row + 1])
        weights = np.maximum(graph.weights[at].astype(np.float64), 0)
        if weights.sum() > 0:
            weights /= weights.sum()
            members = classes[graph.indices[at]]
            mixed = entropy(weights @ members) - weights @ entropy(members, axis=1)
            found[row] = mixed / np.log(classes.shape[1])
    return found


@pytest.mark.parametrize(
    "powers",
    [
        {},
        {"disagreement": 0},
        {"disagreement": 3, "novelty": 1.5},
        {"disagreement": 0, "typicality": 2},
        {"informativeness": 0.5, "novelty": 1, "typicality": 1},
    ],
)
def test_each_term_weighs_as_its_power_says(powers):
    graph = SimilarityGraph.from_vectors(X, k=8)
    selector = NextBatchSelector(budget=40, **powers).fit(X, labels(), graph=graph)
    rows = unit(X)
    uncertainty = Uncertainty().fit(X, labels(), graph=graph).scores_
    weights = (1 - powers.get("informativeness", 1) * (1 - uncertainty)) ** 2
    inputs = Inputs(X=X, y=labels(), graph=graph)
    classes = known_probabilities(inputs, 5, 0, 50_000)
    classes[LABELED] = np.eye(3)[inputs.labels.codes[LABELED]]
    weights *= (1 - brute_force_disagreement(graph, classes)) ** powers.get("disagreement", 16)
    squares = ((rows[:, None].astype(np.float64) - rows[LABELED][None]) ** 2).sum(axis=2)
    novelty = np.sqrt(squares.min(axis=1))
    novelty[LABELED] = 0
    median = np.median(novelty[np.setdiff1d(np.arange(240), LABELED)])
    weights *= (novelty / median) ** powers.get("novelty", 0)
    typical = Typicality().fit(graph=graph).scores_
    weights *= (typical / np.median(typical)) ** powers.get("typicality", 0)
    width = selector.report_["width"]
    objective = assert_greedy(rows, weights, LABELED, selector.indices_, width)
    assert selector.report_["objective"] == pytest.approx(objective, rel=1e-4)
    told = (
        selector.decisions()
        .filter(pl.col("reason") != "covered")["detail"]
        .str.json_decode(
            pl.Struct(dict.fromkeys(("disagreement", "novelty", "typicality"), pl.Float64))
        )
    )
    for name, default in (("disagreement", 16), ("novelty", 0), ("typicality", 0)):
        assert told.struct.field(name).is_null().all() == (powers.get(name, default) == 0)


def test_neighbors_disagree_where_they_are_surely_of_different_classes():
    graph = SimilarityGraph.from_vectors(X, k=8)
    one, unknown = np.eye(3)[np.zeros(240, dtype=int)], np.full((240, 3), 1 / 3)
    assert information_radius(graph, one).max() == pytest.approx(0, abs=1e-12)
    assert information_radius(graph, unknown).max() == pytest.approx(0, abs=1e-12)
    line = SimilarityGraph.from_vectors(np.array([[1.0, 0.1], [1, 0.2], [1, 0.3]]), k=2)
    ends = np.array([[1.0, 0], [0.5, 0.5], [0, 1]])
    assert information_radius(line, ends)[1] == pytest.approx(1, abs=1e-3)


def test_a_crowd_of_mixed_classes_is_left_alone():
    rng = np.random.default_rng(3)
    mixed = rng.normal((1, 1), 0.02, size=(90, 2))
    border = np.concatenate([rng.normal(at, 0.06, size=(45, 2)) for at in ((1, 0.2), (0.2, 1))])
    rows = np.concatenate([mixed, border])
    y = [None] * 180
    for i in range(30):
        y[i] = "left" if i % 2 else "right"
    for i in range(3):
        y[90 + i], y[135 + i] = "left", "right"
    graph = SimilarityGraph.from_vectors(rows, k=10)
    counts = [
        (
            NextBatchSelector(budget=20, disagreement=power).fit(rows, y, graph=graph).indices_ < 90
        ).sum()
        for power in (0, 16)
    ]
    assert counts[1] < counts[0]


def test_before_the_first_label_coverage_alone_counts():
    selector = NextBatchSelector(budget=20, metric="l2").fit(X)
    assert selector.report_["labeled"] == 0
    assert_greedy(X, np.ones(240), [], selector.indices_, selector.report_["width"])
    one_class = ["a", *[None] * 239]
    assert "accuracy" not in NextBatchSelector(budget=5).fit(X, one_class).report_


def test_gains_never_increase_and_bound_those_of_the_rest():
    selector = NextBatchSelector(budget=30).fit(X, labels())
    gains = selector.scores_[selector.indices_]
    assert (np.diff(gains) <= 1e-12).all()
    rest = np.setdiff1d(np.arange(240), [*selector.indices_, *LABELED])
    assert (selector.scores_[rest] <= gains[-1] + 1e-12).all()
    assert (selector.scores_[LABELED] == 0).all()


def test_labeled_rows_are_covered_and_never_handed_out():
    selector = NextBatchSelector(budget=50).fit(X, labels())
    assert not set(selector.indices_) & set(LABELED)
    covered = selector.decisions()["reason"] == "covered"
    assert np.flatnonzero(covered.to_numpy()).tolist() == sorted(LABELED)
    assert selector.report_["covered"] == 30
    by_mask = NextBatchSelector(budget=50).fit(
        X, labels(), covered=np.isin(np.arange(240), LABELED)
    )
    assert by_mask.indices_.tolist() == selector.indices_.tolist()


def test_covered_rows_without_a_label_are_passed_over_too():
    first = NextBatchSelector(budget=10).fit(X, labels())
    given_out = np.isin(np.arange(240), first.indices_)
    second = NextBatchSelector(budget=10).fit(X, labels(), covered=given_out)
    assert not set(second.indices_) & set(first.indices_)
    assert second.report_["covered"] == 40
    assert second.report_["labeled"] == 30


def test_a_plan_covers_labeled_rows_too():
    plan = SelectionPlan(
        budget=15, selector="next_batch", filters=["label is null or label <> 'a'"]
    )
    ids = [f"r{i:03}" for i in range(240)]
    plan.fit(X, labels(), ids=ids)
    alone = NextBatchSelector(budget=15).fit(X, labels(), ids=ids)
    assert plan.indices_.tolist() == alone.indices_.tolist()
    assert plan.decisions().filter(reason="covered").height == 30


@pytest.mark.parametrize("powers", [{}, {"novelty": 1, "typicality": 1}])
def test_the_order_of_the_rows_changes_nothing(powers):
    graph = SimilarityGraph.from_vectors(X, k=8, ids=[f"r{i:03}" for i in range(240)])
    ids = np.array([f"r{i:03}" for i in range(240)])
    first = NextBatchSelector(budget=25, **powers).fit(X, labels(), graph=graph, ids=ids)
    order = np.random.default_rng(1).permutation(240)
    other_graph = SimilarityGraph.from_vectors(X[order], k=8, ids=ids[order])
    y = pl.Series(labels()).gather(order)
    other = NextBatchSelector(budget=25, **powers).fit(
        X[order], y, graph=other_graph, ids=ids[order]
    )
    assert ids[first.indices_].tolist() == ids[order][other.indices_].tolist()


def test_rows_between_two_classes_come_before_as_many_within_one():
    rng = np.random.default_rng(0)
    parts = [rng.normal(center, 0.3, size=(60, 2)) for center in ((-3, 0), (3, 0), (0, 0))]
    rows = np.concatenate(parts)
    y = [None] * 180
    for i in range(10):
        y[i], y[60 + i] = "left", "right"
    selector = NextBatchSelector(budget=6, metric="l2").fit(rows, y)
    assert (selector.indices_ >= 120).sum() >= 5
    assert selector.decisions()["detail"].str.contains('"uncertainty":').sum() == 160


def test_fewer_points_than_rows_are_a_sample_that_depends_on_the_ids():
    few = NextBatchSelector(budget=3, cover_rows=40).fit(X, labels())
    assert (
        few.indices_.tolist()
        == NextBatchSelector(budget=3, cover_rows=40).fit(X, labels()).indices_.tolist()
    )
    assert (
        few.report_["objective"]
        != NextBatchSelector(budget=3).fit(X, labels()).report_["objective"]
    )


@given(
    budget=st.integers(1, 60),
    had=st.sets(st.integers(0, 59), max_size=30),
    powers=st.fixed_dictionaries(
        {
            "disagreement": st.floats(0, 64),
            "novelty": st.floats(0, 4),
            "typicality": st.floats(0, 4),
        }
    ),
)
@settings(max_examples=25, deadline=None)
def test_batches_are_whole_and_hold_no_row_that_is_had(budget, had, powers):
    rows = X[:60]
    y = [str(NAMES[i]) if i in had and i % 2 else None for i in range(60)]
    selector = NextBatchSelector(budget=min(budget, 60 - len(had)), **powers)
    graph = SimilarityGraph.from_vectors(rows, k=5)
    selector.fit(rows, y, graph=graph, covered=np.isin(np.arange(60), sorted(had)))
    assert len(set(selector.indices_.tolist()) - had) == min(budget, 60 - len(had))
    assert np.isfinite(selector.scores_).all()


def test_copies_and_whole_pools_are_chosen_to_the_last_row():
    rows = np.repeat(np.eye(3), 5, axis=0)
    made = NextBatchSelector(budget=13).fit(rows, ["a", "b", *[None] * 13])
    assert sorted(made.indices_.tolist()) == list(range(2, 15))


def test_what_is_wrong_is_said():
    with pytest.raises(MissingInputError, match="vectors"):
        NextBatchSelector(budget=3).fit(y=labels())
    with pytest.raises(InputError, match="covered, so none is left"):
        NextBatchSelector(budget=3).fit(X, NAMES)
    with pytest.raises(MissingInputError, match="typicality=1"):
        NextBatchSelector(budget=3, typicality=1).fit(X)
    for name, value in (("disagreement", -1), ("novelty", 5), ("typicality", 5)):
        with pytest.raises(ConfigError, match=name):
            NextBatchSelector(budget=3, **{name: value}).fit(X)
    with pytest.raises(ConfigError, match="informativeness"):
        NextBatchSelector(budget=3, informativeness=1.5).fit(X)
