"""`weigh = "noise"`: the weights of the score, rows of weight 0 left out with a reason."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from assay.selection import NoiseWeight, SelectionPlan
from assay.selection.evaluation.label_noise import noise_transition
from assay.storage.errors import ConfigError, MissingInputError

RNG = np.random.default_rng(4)
TRUTH = np.repeat([0, 1, 2], 80)
X = (np.eye(3, 12)[TRUTH] * 5 + RNG.normal(size=(240, 12))).astype(np.float32)
LABELS = np.array(list("abc"))[TRUTH].astype(object)
LABELS[:16] = "b"
LABELS[230:] = None
IDS = [f"r{i:03}" for i in RNG.permutation(240)]


def fitted(order=None, **settings):
    order = np.arange(240) if order is None else order
    plan = SelectionPlan(**{"budget": 200, "selector": "random", "weigh": "noise", **settings})
    ids = [IDS[i] for i in order]
    return plan.fit(X[order], LABELS[order], ids=ids)


def test_weights_are_those_of_the_transition_and_wrong_rows_go() -> None:
    plan = fitted()
    oracle = noise_transition(X, LABELS, ids=IDS)
    np.testing.assert_allclose(plan.weights_, oracle.weights[plan.indices_])
    decisions = plan.decisions()
    out = (decisions["reason"] == "label_noise").to_numpy()
    np.testing.assert_array_equal(out, oracle.weights < 1e-3)
    assert out[230:].all()
    assert decisions.filter(pl.Series(out))["stage"].unique().to_list() == ["cutoff"]
    detail = json.loads(decisions["detail"].filter(pl.Series(out))[0])
    assert detail["value"] < detail["threshold"] == 1e-3
    assert plan.report_["noise"]["rate"] == pytest.approx(16 / 230, abs=0.02)
    # what is left of the wrong labels weighs next to nothing
    wrong = np.isin(plan.indices_, np.arange(16))
    assert plan.weights_[wrong].sum() < 0.02 * plan.weights_.sum()


def test_a_score_that_is_there_is_taken() -> None:
    weights = NoiseWeight().fit(X, LABELS, ids=IDS).scores_
    weights = np.where(np.arange(240) == 100, 0.0, weights)
    plan = SelectionPlan(budget=5, selector="top", difficulty="own", weigh="noise")
    scores = {"noise_weight": weights, "own": -np.abs(np.arange(240.0) - 100)}
    plan.fit(scores=scores, ids=IDS)
    assert {98, 99, 101, 102} < set(plan.indices_.tolist()) < {97, 98, 99, 101, 102, 103}
    assert plan.decisions()["reason"][100] == "label_noise"
    np.testing.assert_array_equal(plan.weights_, weights[plan.indices_])


def test_rows_that_must_be_there_stay_with_their_weight() -> None:
    plan = fitted(must_include=[IDS[235]], budget=50)
    assert plan.indices_[0] == 235
    assert plan.weights_[0] == 0


def test_the_order_of_the_rows_is_without_effect() -> None:
    order = np.random.default_rng(0).permutation(240)
    plan, moved = fitted(budget=60), fitted(order, budget=60)
    np.testing.assert_array_equal(order[moved.indices_], plan.indices_)
    np.testing.assert_allclose(moved.weights_, plan.weights_, rtol=1e-12)


def test_what_is_missing_or_wrong_is_named() -> None:
    with pytest.raises(MissingInputError, match="no row has a label"):
        SelectionPlan(budget=5, selector="random", weigh="noise").fit(X)
    with pytest.raises(ConfigError, match="'noise'"):
        SelectionPlan(budget=5, selector="random", weigh="loud").fit(X, LABELS)
