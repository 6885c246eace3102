from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.set_functions import similarities
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.selection.selectors.graph_cut import GraphCutSelector
from assay.selection.selectors.random import RandomSelector
from assay.selection.selectors.saturated_coverage import SaturatedCoverageSelector
from assay.storage.errors import ConfigError
from tests.selection.small_graphs import from_dense, knn


def dense_similarity(graph) -> np.ndarray:
    indptr, indices, weights, own = similarities(graph)
    dense = np.diag(own).astype(np.float64)
    for row in range(len(own)):
        columns = slice(indptr[row], indptr[row + 1])
        dense[row, indices[columns]] = weights[columns]
    return dense


def facility_location(dense, rows, _):
    return dense[:, rows].max(axis=1).sum() if len(rows) else 0.0


def saturated_coverage(dense, rows, alpha):
    return np.minimum(alpha * dense.sum(axis=1), dense[:, rows].sum(axis=1)).sum()


def graph_cut(dense, rows, lam):
    return lam * dense[:, rows].sum() - dense[np.ix_(rows, rows)].sum()


CASES = [
    (FacilityLocationSelector, facility_location, None),
    (SaturatedCoverageSelector, saturated_coverage, 0.25),
    (SaturatedCoverageSelector, saturated_coverage, 0.75),
    (SaturatedCoverageSelector, saturated_coverage, 1.0),
    (GraphCutSelector, graph_cut, 2.0),
    (GraphCutSelector, graph_cut, 4.5),
    (GraphCutSelector, graph_cut, 0.5),
    (GraphCutSelector, graph_cut, 0.0),
]
cases = pytest.mark.parametrize(
    ("selector", "value", "parameter"), CASES, ids=lambda case: getattr(case, "__name__", case)
)


def made(selector, parameter, budget):
    names = {SaturatedCoverageSelector: "alpha", GraphCutSelector: "lam"}
    given = {names[selector]: parameter} if selector in names else {}
    return selector(budget=budget, **given)


def plain_greedy(dense, value, parameter, budget):
    chosen: list[int] = []
    for _ in range(budget):
        rest = [row for row in range(len(dense)) if row not in chosen]
        values = np.array([value(dense, [*chosen, row], parameter) for row in rest])
        chosen.append(rest[int(np.argmax(np.round(values, 9)))])
    return chosen


@st.composite
def graphs(draw, most=8):
    n = draw(st.integers(1, most))
    # quarters, so that sums are exact and ties are many
    some = st.sampled_from([0, 0, 0.25, 0.5, 0.75, 1])
    values = draw(st.lists(some, min_size=n * n, max_size=n * n))
    dense = np.triu(np.array(values, dtype=np.float32).reshape(n, n), 1)
    return from_dense(dense + dense.T)


@cases
@settings(max_examples=60, deadline=None)
@given(graph=graphs())
def test_the_ranking_is_that_of_plain_greedy_with_ties_by_row(selector, value, parameter, graph):
    dense = dense_similarity(graph)
    n = len(dense)
    found = made(selector, parameter, n).fit(graph=graph)
    assert found.ranking_.tolist() == plain_greedy(dense, value, parameter, n)
    gains = found.scores_[found.ranking_]
    assert (np.diff(gains) <= 1e-12).all()
    steps = [value(dense, found.ranking_[:t].tolist(), parameter) for t in range(n + 1)]
    np.testing.assert_allclose(gains, np.diff(steps), atol=1e-9)


@cases
def test_on_a_knn_graph_it_equals_plain_greedy(selector, value, parameter):
    graph = knn(np.random.default_rng(3).normal(size=(60, 5)), 6)
    dense = dense_similarity(graph)
    found = made(selector, parameter, 25).fit(graph=graph)
    assert found.indices_.tolist() == plain_greedy(dense, value, parameter, 25)
    report = found.report_
    assert report["objective"] == pytest.approx(value(dense, found.indices_, parameter))
    random = RandomSelector(budget=25).fit(graph=graph).indices_
    assert report["objective_random"] == pytest.approx(value(dense, random, parameter))
    assert report["objective"] > report["objective_random"]
    everything = value(dense, np.arange(60), parameter)
    if selector is GraphCutSelector:
        assert "objective_share" not in report
    else:
        assert report["objective_share"] == pytest.approx(report["objective"] / everything)


@cases
@settings(max_examples=40, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 1_000))
def test_the_functions_have_the_properties_that_are_claimed(
    selector, value, parameter, graph, seed
):
    dense = dense_similarity(graph)
    rng = np.random.default_rng(seed)
    n = len(dense)
    row, *others = rng.permutation(n)
    small = others[: rng.integers(0, n)]
    large = others[: rng.integers(len(small), n)]
    function = made(selector, parameter, 1).set_function(graph)
    for rows in (small, large, [row]):
        assert function.value(rows) == pytest.approx(value(dense, rows, parameter))
    gains = [function.value([*rows, row]) - function.value(rows) for rows in (small, large)]
    assert gains[0] >= gains[1] - 1e-9, "submodular"
    if parameter is None or parameter > 0.5 or selector is SaturatedCoverageSelector:
        assert gains[1] >= -1e-9, "monotone"
    assert gains[1] >= function.least - 1e-9


@pytest.mark.parametrize("hub", [False, True], ids=["spread over buckets", "most in few buckets"])
def test_many_rows_and_buckets_equal_a_heap_of_all_rows(hub):
    rng = np.random.default_rng(5)
    graph = knn(np.round(rng.normal(size=(400, 3)), 1), 8)
    dense = dense_similarity(graph)
    if hub:
        # the gain of one row is a hundred times that of the others, so that buckets are wide
        dense[7] = dense[:, 7] = 1.0
        graph = from_dense(dense - np.diag(np.diag(dense)))
        dense = dense_similarity(graph)
    best = np.zeros(400)
    left = np.ones(400, dtype=bool)
    expected = []
    for _ in range(400):
        gains = np.maximum(0, dense - best[:, None]).sum(axis=0)
        row = int(np.argmax(np.where(left, np.round(gains, 9), -1)))
        expected.append(row)
        left[row] = False
        best = np.maximum(best, dense[:, row])
    found = FacilityLocationSelector(budget=400).fit(graph=graph)
    assert found.ranking_.tolist() == expected


@cases
def test_no_edges_copies_and_a_star(selector, value, parameter):
    bare = made(selector, parameter, 3).fit(graph=from_dense(np.zeros((5, 5))))
    assert bare.ranking_.tolist() == [0, 1, 2, 3, 4]
    star = np.zeros((6, 6))
    star[0, 1:] = star[1:, 0] = 0.5
    found = made(selector, parameter, 6).fit(graph=from_dense(star))
    assert (found.ranking_[0] == 0) == (parameter != 0.0 or found.ranking_.tolist() == [*range(6)])
    copies = made(selector, parameter, 4).fit(graph=from_dense(np.ones((4, 4))))
    assert copies.ranking_.tolist() == [0, 1, 2, 3]
    ids = ["b", "a", "d", "c"]
    named = made(selector, parameter, 4).fit(graph=from_dense(np.zeros((4, 4))), ids=ids)
    assert [ids[row] for row in named.ranking_] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "much", float("nan")])
def test_alpha_is_checked(wrong):
    with pytest.raises(ConfigError, match="alpha"):
        SaturatedCoverageSelector(budget=1, alpha=wrong).fit(graph=from_dense(np.ones((2, 2))))


@pytest.mark.parametrize("wrong", [-1, True, "much", float("nan"), float("inf")])
def test_lam_is_checked(wrong):
    with pytest.raises(ConfigError, match="lam"):
        GraphCutSelector(budget=1, lam=wrong).fit(graph=from_dense(np.ones((2, 2))))
