from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.scorers.graph import KNNDensity
from assay.selection.scorers.label_agreement import LabelAgreement
from assay.selection.selectors.coverage_centric import CoverageCentricSelector
from assay.storage.errors import ConfigError, MissingInputError
from tests.selection.small_graphs import knn


def published_counts(easiness, budget, cutoff, n_strata=50):
    """The rule as published, one stratum and one bin at a time (easiness: higher = easier)."""
    kept = np.sort(easiness)[int(len(easiness) * cutoff) :]
    low, high = kept.min(), kept.max() * 1.0001
    step = (high - low) / n_strata
    sizes = [
        int(((kept >= low + i * step) & (kept < low + (i + 1) * step)).sum())
        for i in range(n_strata)
    ]
    budgets, rest = [0] * n_strata, budget
    for done, i in enumerate(sorted(range(n_strata), key=lambda i: sizes[i])):
        budgets[i] = min(sizes[i], rest // (n_strata - done))
        rest -= budgets[i]
    return sizes, budgets


@pytest.mark.parametrize("n", [200, 1_000, 20_000])
@pytest.mark.parametrize("cutoff", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5])
def test_strata_and_budgets_are_the_published_ones(n, cutoff, share):
    # positive easiness, on which the published rule loses no row
    easiness = np.random.default_rng(n).gamma(2.0, size=n) + 0.1
    budget = int(n * share)
    selector = CoverageCentricSelector(budget=budget, cutoff=cutoff).fit(scores=-easiness)
    sizes, budgets = published_counts(easiness, budget, cutoff)
    assert selector.report_["strata"] == sizes
    assert selector.report_["budgets"] == budgets
    kept = np.sort(easiness)[int(n * cutoff) :]
    edges = kept.min() + np.arange(51) * ((kept.max() * 1.0001 - kept.min()) / 50)
    drawn = np.histogram(easiness[selector.indices_], edges)[0]
    assert drawn.tolist() == budgets


def test_the_easiest_row_is_kept_where_easiness_is_negative():
    difficulty = np.linspace(1.0, 2.0, 100)  # easiness from -2 to -1
    selector = CoverageCentricSelector(budget=100, cutoff=0).fit(scores=difficulty)
    assert sum(selector.report_["strata"]) == 100
    assert selector.report_["strata"][-1] > 0
    assert len(set(selector.indices_.tolist())) == 100


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.floats(0, 1),
    st.floats(0, 0.99),
    st.integers(1, 60),
)
def test_totals_are_exact_whatever_the_scores(scores, share, cutoff, n_strata):
    n = len(scores)
    budget = max(1, int(share * n))
    selector = CoverageCentricSelector(budget=budget, cutoff=cutoff, n_strata=n_strata)
    selector.fit(scores=scores)
    assert len(set(selector.indices_.tolist())) == budget
    assert selector.decisions()["reason"].value_counts()["count"].sum() == n


def test_the_hardest_rows_are_cut_off_with_value_and_threshold():
    difficulty = np.arange(100.0)
    selector = CoverageCentricSelector(budget=10).fit(scores=difficulty)
    assert selector.report_["cut"] == 30
    decisions = selector.decisions()
    assert decisions[70:]["reason"].to_list() == ["hard_cutoff"] * 30
    assert set(decisions[70:]["stage"]) == {"cutoff"}
    assert json.loads(decisions["detail"][99]) == {"value": 99.0, "threshold": 70.0, "rank": 1}


@pytest.mark.parametrize(
    ("budget", "cut"), [(100, 0), (50, 16), (40, 20), (25, 25), (11, 29), (10, 30), (1, 30)]
)
def test_the_cutoff_follows_the_share_kept(budget, cut):
    selector = CoverageCentricSelector(budget=budget).fit(scores=np.arange(100.0))
    assert selector.report_["cut"] == cut
    assert selector.report_["cutoff_shrunk"] is False


def test_a_cutoff_that_leaves_too_few_rows_shrinks_and_says_so():
    selector = CoverageCentricSelector(budget=80, cutoff=0.5).fit(scores=np.arange(100.0))
    assert len(selector.indices_) == 80
    assert selector.report_["cut"] == 20
    assert selector.report_["cutoff_shrunk"] is True


def test_the_first_rows_cover_all_strata():
    difficulty = np.random.default_rng(0).random(5_000)
    selector = CoverageCentricSelector(budget=500, cutoff=0).fit(scores=difficulty)
    first = [json.loads(d)["stratum"] for d in selector.decisions()["detail"][selector.indices_]]
    assert sorted(first[:50]) == list(range(50))


def test_rows_of_a_stratum_are_drawn_evenly():
    taken = np.zeros(40)
    for seed in range(300):
        selector = CoverageCentricSelector(budget=20, cutoff=0, n_strata=1, random_state=seed)
        taken[selector.fit(scores=np.zeros(40)).indices_] += 1
    # each of 40 rows is expected 150 times, with standard deviation 8.7
    assert abs(taken - 150).max() < 5 * 8.7


def test_without_scores_the_difficulty_is_made_from_the_graph():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4))
    y = (X[:, 0] > 0).astype(int)
    graph = knn(X, 5)
    labeled = CoverageCentricSelector(budget=10).fit(graph=graph, y=y)
    assert labeled.report_["difficulty"] == "label_agreement"
    np.testing.assert_array_equal(
        labeled.scores_, 1 - LabelAgreement().fit(graph=graph, y=y).scores_
    )
    bare = CoverageCentricSelector(budget=10).fit(graph=graph)
    assert bare.report_["difficulty"] == "knn_density"
    np.testing.assert_array_equal(bare.scores_, -KNNDensity().fit(graph=graph).scores_)
    with pytest.raises(MissingInputError, match=r"scores .*graph"):
        CoverageCentricSelector(budget=10).fit(X)


@pytest.mark.parametrize(
    "wrong", [{"cutoff": 1.0}, {"cutoff": -0.1}, {"cutoff": "much"}, {"cutoff": True},
              {"n_strata": 0}, {"n_strata": 2.5}, {"n_strata": True}],
)  # fmt: skip
def test_parameters_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CoverageCentricSelector(budget=1, **wrong).fit(scores=[1.0, 2.0])
