from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from assay.selection.selectors.coverage_centric import CoverageCentricSelector
from assay.selection.selectors.random import RandomSelector
from assay.selection.steps.hard_cutoff import HardCutoff
from assay.storage.errors import BudgetError, ConfigError, MissingInputError, NonFiniteError
from tests.selection.small_graphs import knn


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.5, 1e6]), min_size=1, max_size=40),
    st.floats(0, 0.99),
)
def test_the_hardest_are_cut_and_ties_by_id(scores, cutoff):
    n = len(scores)
    step = HardCutoff(cutoff=cutoff).fit(scores=scores)
    n_cut = min(int(n * cutoff), n - 1)
    expected = sorted(range(n), key=lambda row: (-scores[row], row))[:n_cut]
    assert np.flatnonzero(~step.keep_).tolist() == sorted(expected)
    assert step.threshold_ == (min(scores[row] for row in expected) if expected else None)
    told = step.decisions()
    assert told["kept"].to_list() == step.keep_.tolist()
    assert (told["reason"] == "hard_cutoff").to_list() == (~step.keep_).tolist()
    for row, detail in enumerate(map(json.loads, told["detail"])):
        assert detail["value"] == scores[row]
        assert detail.get("threshold") == (None if step.keep_[row] else step.threshold_)


@pytest.mark.parametrize(
    ("budget", "cut"), [(100, 0), (50, 16), (40, 20), (25, 25), (0.1, 30), ("1%", 30)]
)
def test_auto_follows_the_share_kept(budget, cut):
    step = HardCutoff().fit(scores=np.arange(100.0), budget=budget)
    assert step.report_["cut"] == cut == (~step.keep_).sum()
    assert step.report_["kept"] == 100 - cut


def test_it_leaves_the_budget_and_says_so():
    step = HardCutoff(cutoff=0.5).fit(scores=np.arange(100.0), budget=80)
    assert step.report_["cut"] == 20
    assert step.report_["cutoff_shrunk"] is True
    assert HardCutoff(cutoff=0.99).fit(scores=[1.0]).keep_.tolist() == [True]
    with pytest.raises(BudgetError):
        HardCutoff(cutoff=0.5).fit(scores=[1.0], budget=2)


@pytest.mark.parametrize("seed", range(4))
def test_it_cuts_what_coverage_centric_selection_cuts(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 200) / 4
    ids = rng.permutation([f"r{i:03}" for i in range(200)])
    whole = CoverageCentricSelector(budget=20).fit(scores=scores, ids=ids)
    step = HardCutoff().fit(scores=scores, ids=ids, budget=20)
    cut = (whole.decisions()["reason"] == "hard_cutoff").to_numpy()
    np.testing.assert_array_equal(~step.keep_, cut)
    assert step.threshold_ == whole.report_["threshold"]


def test_it_composes_with_any_selector_in_any_order_of_the_rows():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, 60).astype(float)
    ids = np.array([f"r{i:02}" for i in rng.permutation(60)])
    order = rng.permutation(60)

    def chosen(scores, ids):
        kept = np.flatnonzero(HardCutoff(cutoff=0.4).fit(scores=scores, ids=ids, budget=12).keep_)
        rest = RandomSelector(budget=12).fit(ids=ids[kept].tolist())
        return ids[kept[rest.indices_]].tolist()

    assert chosen(scores, ids) == chosen(scores[order], ids[order])


@pytest.mark.parametrize(("budget", "by_labels"), [(25, 0), (24, 5), (6, 5), (5, 15), (1, 15)])
def test_auto_goes_by_where_the_difficulty_comes_from(budget, by_labels):
    X = np.random.default_rng(0).normal(size=(50, 4))
    graph, y = knn(X, 5), (X[:, 0] > 0).astype(int)
    assert HardCutoff().fit(graph=graph, y=y, budget=budget).report_["cut"] == by_labels
    assert HardCutoff().fit(graph=graph, budget=budget).report_["cut"] == 0


def test_the_difficulty_may_come_from_the_graph():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4))
    graph = knn(X, 5)
    assert HardCutoff(cutoff=0.2).fit(graph=graph).report_["difficulty"] == "knn_density"
    labeled = HardCutoff(cutoff=0.2).fit(graph=graph, y=(X[:, 0] > 0).astype(int))
    assert labeled.report_["difficulty"] == "label_agreement"
    json.dumps(labeled.report_, allow_nan=False)


def test_wrong_inputs_are_named():
    with pytest.raises(MissingInputError, match="HardCutoff needs a difficulty"):
        HardCutoff(cutoff=0.1).fit(np.eye(3))
    with pytest.raises(ConfigError, match="budget="):
        HardCutoff().fit(scores=[1.0, 2.0])
    for wrong in (1.0, -0.1, "much", True, float("nan")):
        with pytest.raises(ConfigError, match="cutoff"):
            HardCutoff(cutoff=wrong).fit(scores=[1.0, 2.0], budget=1)
    with pytest.raises(NonFiniteError):
        HardCutoff(cutoff=0.1).fit(scores=[1.0, np.nan])
    with pytest.raises(NotFittedError):
        HardCutoff(cutoff=0.1).decisions()
