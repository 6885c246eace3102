"""The next rows to label: plain greedy coverage, and what labels and covered rows change."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.selection import NextBatchSelector, SelectionPlan, Uncertainty
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


def test_the_order_of_the_rows_changes_nothing():
    graph = SimilarityGraph.from_vectors(X, k=8, ids=[f"r{i:03}" for i in range(240)])
    ids = np.array([f"r{i:03}" for i in range(240)])
    first = NextBatchSelector(budget=25).fit(X, labels(), graph=graph, ids=ids)
    order = np.random.default_rng(1).permutation(240)
    other_graph = SimilarityGraph.from_vectors(X[order], k=8, ids=ids[order])
    y = pl.Series(labels()).gather(order)
    other = NextBatchSelector(budget=25).fit(X[order], y, graph=other_graph, ids=ids[order])
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


def test_copies_and_whole_pools_are_chosen_to_the_last_row():
    rows = np.repeat(np.eye(3), 5, axis=0)
    made = NextBatchSelector(budget=13).fit(rows, ["a", "b", *[None] * 13])
    assert sorted(made.indices_.tolist()) == list(range(2, 15))


def test_what_is_wrong_is_said():
    with pytest.raises(MissingInputError, match="vectors"):
        NextBatchSelector(budget=3).fit(y=labels())
    with pytest.raises(InputError, match="covered, so none is left"):
        NextBatchSelector(budget=3).fit(X, NAMES)
    with pytest.raises(ConfigError, match="informativeness"):
        NextBatchSelector(budget=3, informativeness=1.5).fit(X)
