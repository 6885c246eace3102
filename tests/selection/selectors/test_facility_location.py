from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.selection.selectors.random import RandomSelector
from tests.selection.small_graphs import from_dense, knn


def full(graph) -> np.ndarray:
    """The dense similarity that the objective is defined on."""
    n = len(graph.indptr) - 1
    dense = np.zeros((n, n))
    for row in range(n):
        columns = slice(graph.indptr[row], graph.indptr[row + 1])
        dense[row, graph.indices[columns]] = np.maximum(graph.weights[columns], 0)
    np.fill_diagonal(dense, np.maximum(1, dense.max(axis=1)))
    return dense


def with_elsewhere(graph, elsewhere) -> np.ndarray:
    """What a chosen row (column) adds to each row at most: nothing below its least edge's share."""
    weights = np.maximum(graph.weights, 0)
    edges = np.split(weights, graph.indptr[1:-1])
    least = np.array([row.min(initial=np.inf) if len(row) else 0.0 for row in edges])
    return np.maximum(0, full(graph) - elsewhere * least[:, None])


def objective(dense, rows) -> float:
    return float(dense[:, list(rows)].max(axis=1).sum()) if len(rows) else 0.0


def plain_greedy(dense, budget) -> list[int]:
    chosen: list[int] = []
    for _ in range(budget):
        rest = [row for row in range(len(dense)) if row not in chosen]
        gains = [objective(dense, [*chosen, row]) for row in rest]
        chosen.append(rest[int(np.argmax(np.round(gains, 9)))])
    return chosen


@st.composite
def graphs(draw, most=9):
    n = draw(st.integers(1, most))
    # quarters, so that sums are exact and ties are many
    values = draw(
        st.lists(st.sampled_from([0, 0, 0.25, 0.5, 0.75, 1]), min_size=n * n, max_size=n * n)
    )
    dense = np.triu(np.array(values, dtype=np.float32).reshape(n, n), 1)
    return from_dense(dense + dense.T)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_the_ranking_is_that_of_plain_greedy_with_ties_by_row(graph):
    n = len(graph.indptr) - 1
    selector = FacilityLocationSelector(budget=n).fit(graph=graph)
    assert selector.ranking_.tolist() == plain_greedy(full(graph), n)
    gains = selector.scores_[selector.ranking_]
    assert (np.diff(gains) <= 0).all()
    assert selector.report_["objective"] == pytest.approx(objective(full(graph), range(n)))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.sampled_from([0.25, 0.5, 1.0]))
def test_elsewhere_takes_from_every_row_what_any_chosen_row_is_to_it(graph, elsewhere):
    n = len(graph.indptr) - 1
    dense = with_elsewhere(graph, elsewhere)
    selector = FacilityLocationSelector(budget=n, elsewhere=elsewhere).fit(graph=graph)
    assert selector.ranking_.tolist() == plain_greedy(dense, n)
    assert selector.report_["objective"] == pytest.approx(objective(dense, range(n)))
    assert selector.report_["objective_share"] == pytest.approx(1)
    covered = np.arange(n) == n // 2
    if n > 1:
        further = FacilityLocationSelector(budget=1, elsewhere=elsewhere)
        (chosen,) = further.fit(graph=graph, covered=covered).indices_
        assert further.report_["objective"] == pytest.approx(objective(dense, [n // 2, chosen]))


def test_elsewhere_comes_nearer_to_the_choice_on_all_pairs():
    X = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    graph = knn(X, 8)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    dense = np.maximum(unit @ unit.T, 0)
    found = [
        objective(
            dense, FacilityLocationSelector(budget=120, elsewhere=c).fit(graph=graph).indices_
        )
        for c in (0.0, 1.0)
    ]
    assert found[1] > found[0]


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 4))
def test_greedy_reaches_its_guarantee(graph, budget):
    dense = full(graph)
    budget = min(budget, len(dense))
    selector = FacilityLocationSelector(budget=budget).fit(graph=graph)
    best = max(objective(dense, rows) for rows in combinations(range(len(dense)), budget))
    found = objective(dense, selector.indices_)
    assert found == pytest.approx(selector.report_["objective"])
    assert found >= (1 - 1 / np.e) * best - 1e-9


def test_greedy_on_a_knn_graph_equals_plain_greedy():
    rng = np.random.default_rng(3)
    graph = knn(rng.normal(size=(60, 5)), 6)
    selector = FacilityLocationSelector(budget=25).fit(graph=graph)
    assert selector.indices_.tolist() == plain_greedy(full(graph), 25)
    random = RandomSelector(budget=25).fit(graph=graph)
    assert selector.report_["objective_random"] == pytest.approx(
        objective(full(graph), random.indices_)
    )
    assert selector.report_["objective"] > selector.report_["objective_random"]
    assert selector.report_["evaluations"] < 60 * 26


def test_closed_forms():
    # a star: its center represents the leaves at 0.5 each, then every leaf adds 0.5
    star = np.zeros((6, 6))
    star[0, 1:] = star[1:, 0] = 0.5
    selector = FacilityLocationSelector(budget=3).fit(graph=from_dense(star))
    assert selector.indices_.tolist() == [0, 1, 2]
    assert selector.scores_.tolist() == [3.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert selector.report_["objective"] == 4.5
    # copies: the second of a pair adds nothing, and no edge means that every row adds 1
    pairs = np.kron(np.eye(3), np.ones((2, 2)))
    selector = FacilityLocationSelector(budget=3).fit(graph=from_dense(pairs))
    assert selector.ranking_.tolist() == [0, 2, 4, 1, 3, 5]
    assert selector.scores_.tolist() == [2.0, 0.0, 2.0, 0.0, 2.0, 0.0]
    selector = FacilityLocationSelector(budget=2).fit(graph=from_dense(np.zeros((4, 4))))
    assert selector.ranking_.tolist() == [0, 1, 2, 3]


def test_negative_and_large_similarities():
    negative = -0.9 * (np.ones((3, 3)) - np.eye(3))
    selector = FacilityLocationSelector(budget=1).fit(graph=from_dense(negative))
    assert selector.report_["objective"] == 1.0
    # inner products: a row represents itself no worse than any other row does
    large = np.array([[0, 4, 0], [4, 0, 2], [0, 2, 0]], dtype=float)
    selector = FacilityLocationSelector(budget=3).fit(graph=from_dense(large))
    assert selector.ranking_.tolist() == [1, 0, 2]
    assert selector.scores_.tolist() == [0.0, 10.0, 0.0]


def test_ties_break_by_id():
    ids = ["b", "a", "d", "c"]
    selector = FacilityLocationSelector(budget=4).fit(graph=from_dense(np.zeros((4, 4))), ids=ids)
    assert [ids[row] for row in selector.ranking_] == ["a", "b", "c", "d"]
