from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import SimilarityGraph
from assay.selection.selectors.d2 import D2Selector
from assay.selection.steps.hard_cutoff import HardCutoff
from assay.storage.errors import ConfigError, MissingInputError
from tests.selection.small_graphs import SmallGraph, from_dense, knn


def published(neighbors, distances, difficulty, budget, *, mode, update, gamma):
    """The published rule on given neighbors, with a search through all rows for each one taken."""
    messages = np.exp(-distances.astype(np.float64))
    incoming = (messages * difficulty[neighbors]).sum(axis=1)
    density = difficulty * incoming if mode == "product" else difficulty + incoming
    chosen = []
    for _ in range(budget):
        row = int(np.argmax(density))
        push = np.exp(-gamma * distances[row].astype(np.float64))
        push = np.ones_like(push) if update == "absolute" else push
        density[neighbors[row]] -= push * density[row]
        chosen.append(row)
        density[chosen] = density.min() - 1
    return chosen


both = pytest.mark.parametrize("mode", ["sum", "product"])
updates = pytest.mark.parametrize("update", ["weighted", "absolute"])


@both
@updates
@pytest.mark.parametrize("gamma", [0.1, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_rows_are_those_of_the_published_rule(mode, update, gamma, shift):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(2_000, 6)).astype(np.float32)
    # with a shift some difficulties, and so some densities, are negative
    difficulty = rng.gamma(2.0, size=2_000) - shift
    graph = SimilarityGraph.from_vectors(X, k=8, metric="l2")
    selector = D2Selector(budget=500, mode=mode, update=update, gamma=gamma, cutoff=0)
    selector.fit(graph=graph, scores=difficulty)
    expected = published(
        graph.neighbors, graph.distances(), difficulty, 500, mode=mode, update=update, gamma=gamma
    )
    assert selector.indices_.tolist() == expected


class Distant(SmallGraph):
    """A graph that tells distances."""

    def distances(self):
        return np.where(self.neighbors < 0, np.inf, 1 - self.similarities).astype(np.float32)


@st.composite
def cases(draw):
    n = draw(st.integers(2, 10))
    k = draw(st.integers(1, n - 1))
    seed = draw(st.integers(0, 10_000))
    scores = draw(
        st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 4.0]), min_size=n, max_size=n)
    )
    return knn(np.random.default_rng(seed).normal(size=(n, 3)), k), np.array(scores)


@both
@updates
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_small_pools_to_the_last_row(mode, update, case):
    graph, difficulty = case
    n = len(difficulty)
    selector = D2Selector(budget=n, mode=mode, update=update, cutoff=0)
    selector.fit(graph=graph, scores=difficulty)
    expected = published(
        graph.neighbors, 1 - graph.similarities, difficulty, n, mode=mode, update=update, gamma=0.1
    )
    assert selector.indices_.tolist() == expected


def test_a_graph_that_tells_distances_is_asked_for_them():
    base = knn(np.random.default_rng(0).normal(size=(40, 3)), 5)
    told = Distant(**vars(base))
    scores = np.random.default_rng(1).random(40)
    first, second = (D2Selector(budget=10).fit(graph=g, scores=scores) for g in (base, told))
    np.testing.assert_array_equal(first.indices_, second.indices_)
    np.testing.assert_array_equal(first.scores_, second.scores_)


def test_a_cutoff_first_is_a_hard_cutoff():
    rng = np.random.default_rng(3)
    graph, scores = knn(rng.normal(size=(100, 3)), 6), rng.random(100)
    selector = D2Selector(budget=20).fit(graph=graph, scores=scores)
    step = HardCutoff().fit(scores=scores, budget=20)
    assert selector.report_["cut"] == 26 == (~step.keep_).sum()
    cut = (selector.decisions()["reason"] == "hard_cutoff").to_numpy()
    np.testing.assert_array_equal(cut, ~step.keep_)
    # rows that are cut send no messages
    messages = np.where(
        step.keep_[graph.neighbors], np.exp(graph.similarities - 1.0) * scores[graph.neighbors], 0
    )
    np.testing.assert_allclose(selector.scores_, scores + messages.sum(axis=1), rtol=1e-6)
    shrunk = D2Selector(budget=80, cutoff=0.5).fit(graph=graph, scores=scores)
    assert (shrunk.report_["cut"], shrunk.report_["cutoff_shrunk"]) == (20, True)
    assert sorted(np.flatnonzero(HardCutoff(cutoff=0.2).fit(scores=scores).keep_)) == sorted(
        shrunk.indices_
    )


def test_no_edges_means_hardest_first_with_ties_by_id():
    graph = from_dense(np.zeros((5, 5)))
    scores = [1.0, 3.0, 2.0, 3.0, 1.0]
    found = D2Selector(budget=5, cutoff=0).fit(graph=graph, scores=scores)
    assert found.indices_.tolist() == [1, 3, 2, 0, 4]
    ids = ["e", "d", "c", "b", "a"]
    named = D2Selector(budget=5, cutoff=0).fit(graph=graph, scores=scores, ids=ids)
    assert named.indices_.tolist() == [3, 1, 2, 4, 0]


def test_decisions_tell_what_is_left():
    graph = knn(np.random.default_rng(0).normal(size=(30, 3)), 4)
    scores = np.random.default_rng(1).random(30)
    selector = D2Selector(budget=6).fit(graph=graph, scores=scores)
    details = [json.loads(detail) for detail in selector.decisions()["detail"]]
    assert set(details[selector.indices_[0]]) == {"position", "score", "difficulty", "left"}
    first = details[selector.indices_[0]]
    assert first["left"] == pytest.approx(first["score"])
    taken = [details[row]["left"] for row in selector.indices_]
    out = [d["left"] for d in details if "left" in d and "position" not in d]
    assert min(taken) >= max(out)


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "max"}, {"update": "none"}, {"gamma": -1}, {"gamma": True}, {"gamma": "1"},
     {"gamma": float("inf")}, {"cutoff": 1.0}],
)  # fmt: skip
def test_parameters_are_checked(wrong):
    graph = from_dense(np.ones((3, 3)))
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        D2Selector(budget=1, **wrong).fit(graph=graph, scores=[1.0, 2.0, 3.0])
    with pytest.raises(MissingInputError, match="needs scores"):
        D2Selector(budget=1).fit(graph=graph)
