"""The best window, against every window learned from by itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import CoverageCentricSelector, SelectionPlan, WindowSelector
from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.algorithms.windows import WindowJudge, window_starts


def pool(seed, n=240, d=4, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = (np.eye(classes, d)[y] * 2 + rng.normal(size=(n, d))).astype(np.float32)
    return X, y, rng.random(n)


def plain_right(selector, X, codes, subsets):
    """The share of the labeled rows that ridge regression on each subset gets right."""
    judge = RidgeJudge(lambda rows: X[rows], codes, np.arange(len(X)), selector.random_state)
    F = judge.features(np.arange(len(X)))
    labeled = codes >= 0
    onehot = np.eye(codes.max() + 1)[codes] * labeled[:, None]
    shares = []
    for rows in subsets:
        rows = rows[labeled[rows]]
        gram = F[rows].T @ F[rows] + selector.penalty * np.eye(F.shape[1])
        guess = (F @ np.linalg.solve(gram, F[rows].T @ onehot[rows])).argmax(axis=1)
        shares.append((guess == codes)[labeled].mean())
    return np.array(shares)


@pytest.mark.parametrize("seed", range(2))
def test_each_window_is_judged_as_if_it_were_alone(seed):
    X, y, difficulty = pool(seed)
    codes = np.where(np.random.default_rng(seed).random(len(y)) < 0.1, -1, y)
    named = [None if code < 0 else f"kind {code}" for code in codes]
    covered = np.arange(len(y)) % 7 == 0
    selector = WindowSelector(budget=31, random_state=seed)
    selector.fit(X, named, scores=difficulty, covered=covered)
    order = np.argsort(-difficulty)
    order = order[~covered[order]]
    starts = (np.array(selector.report_["starts"]) * len(order)).round().astype(int)
    assert np.diff(starts).max() <= 0.05 * len(order) + 1
    assert starts[-1] + 31 > 0.9 * len(order)
    ccs = CoverageCentricSelector(budget=31, random_state=seed)
    even = ccs.fit(scores=difficulty, covered=covered).indices_
    had = np.flatnonzero(covered)
    subsets = [np.append(order[start : start + 31], had) for start in starts]
    shares = plain_right(selector, X, codes, [*subsets, np.append(even, had)])
    report = selector.report_
    np.testing.assert_allclose([*report["right"], report["right_ccs"]], shares, atol=1e-12)
    best = int(shares[:-1].argmax())
    if shares[best] >= shares[-1] + 0.01:
        assert (report["taken"], sorted(selector.indices_)) == (
            "window",
            sorted(subsets[best][:31]),
        )
    else:
        assert report["taken"] == "ccs"
        assert selector.indices_.tolist() == even.tolist()
    assert report["ccs"] == {name: ccs.report_[name] for name in report["ccs"]}


@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 60), share=st.floats(0.01, 1), step=st.floats(0.01, 1))
def test_windows_start_at_every_step_and_end_in_the_pool(n, share, step):
    budget = max(1, int(n * share))
    starts = window_starts(n, budget, step)
    assert starts[0] == 0
    assert (starts + budget <= n).all()
    assert len(starts) == sum(i * step <= 1 - budget / n + 1e-9 * step for i in range(101))
    X = np.random.default_rng(n).normal(size=(n, 2))
    codes = np.arange(n) % 3 - 1
    judge = WindowJudge(RidgeJudge(lambda rows: X[rows], codes, np.arange(n)), codes, 1.0)
    order = np.random.default_rng(n).permutation(n)
    for start, sums in zip(starts, judge.windows(order, starts, budget), strict=True):
        alone = judge.sums(order[start : start + budget])
        np.testing.assert_allclose(sums.gram, alone.gram, atol=1e-9)
        np.testing.assert_allclose(sums.cross, alone.cross, atol=1e-9)


def test_noise_at_the_hard_end_is_passed_over_and_said():
    """Hard rows are mislabeled, easy ones copies of one point: what lies between is learned from."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = np.where(y, 1.0, -1.0)[:, None] * [1.0, 0.3] + 0.4 * rng.normal(size=(600, 2))
    X[400:] = np.where(y[400:], 1.0, -1.0)[:, None] * [4.0, -3.0]
    given = y.copy()
    given[:150] = 1 - y[:150]
    difficulty = np.arange(600.0)[::-1]
    selector = WindowSelector(budget=60, margin=0, random_state=1)
    selector.fit(X.astype(np.float32), given, scores=difficulty)
    report = selector.report_
    assert report["right"][0] < report["right_ccs"] < max(report["right"])
    assert selector.indices_.min() >= 90
    frame = selector.decisions()
    first, last = selector.indices_.min(), selector.indices_.max()
    reasons = frame["reason"].to_list()
    assert set(reasons[:first]) == {"harder_than_window"}
    assert set(reasons[last + 1 :]) == {"easier_than_window"}
    assert json.loads(frame["detail"][0]) == {
        "value": 599.0,
        "threshold": difficulty[first],
        "rank": 1,
    }


def test_without_any_label_ccs_decides():
    X, _, difficulty = pool(0, n=60)
    even = CoverageCentricSelector(budget=10).fit(scores=difficulty).indices_
    selector = WindowSelector(budget=10).fit(X, [None] * 60, scores=difficulty)
    assert selector.indices_.tolist() == even.tolist()
    assert selector.report_["taken"] == "ccs"


def test_a_plan_takes_windows_within_quotas():
    X, y, difficulty = pool(2)
    groups = np.where(np.arange(len(y)) % 3 == 0, "a", "b")
    plan = SelectionPlan(budget=40, selector="window", difficulty="hard", quotas={"a": 5})
    plan.fit(X, y, scores={"hard": difficulty}, groups=groups)
    assert len(plan.indices_) == 40
    assert (groups[plan.indices_] == "a").sum() <= 5
