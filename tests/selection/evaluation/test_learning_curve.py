"""Learning curves: the law, the budgets that it tells, and what a replaced selection gets wrong."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.evaluation.budget_curve import learning_curve, power_law
from assay.selection.evaluation.ledger import evaluate_selection
from assay.selection.evaluation.negative_flips import NegativeFlips
from assay.storage.errors import BudgetError, ConfigError, InputError, MissingInputError
from tests.data import shared


def blobs(n=1200, seed=0, apart=1.2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    X = (np.eye(4, 8)[y] * apart + rng.normal(size=(n, 8))).astype(np.float32)
    return X, y, np.array([f"r{i:05}" for i in rng.permutation(n)])


@pytest.mark.parametrize(("a", "b", "c"), [(0.1, 3.0, 0.5), (0.0, 1.2, 0.3), (0.25, 20.0, 1.0)])
def test_the_law_is_found(a, b, c):
    sizes = np.array([125, 177, 250, 354, 500, 707, 1000, 1414, 2000])
    found = power_law(sizes, a + b * sizes**-c)
    np.testing.assert_allclose(found, (a, b, c), rtol=1e-3, atol=1e-4)


def test_the_judge_is_ridge_with_the_best_penalty_left_one_out():
    X, y, _ = blobs(300)
    rows = np.arange(200)
    judge = RidgeJudge(lambda some: X[some], y, rows)
    F = judge.features(rows)
    onehot = np.eye(4)[y[rows]]
    errors = {}
    for penalty in (1.0, 10.0, 100.0, 1000.0):
        hat = F @ np.linalg.solve(F.T @ F + penalty * np.eye(F.shape[1]), F.T)
        errors[penalty] = (((onehot - hat @ onehot) / (1 - np.diag(hat))[:, None]) ** 2).sum()
    best = min(errors, key=errors.get)
    model = Ridge(alpha=best, fit_intercept=False, solver="cholesky").fit(F, onehot)
    np.testing.assert_allclose(judge.fit(rows), model.coef_.T, atol=1e-8)


def test_a_curve_does_not_depend_on_the_order_of_rows():
    X, y, ids = blobs()
    curve = learning_curve(X, y, ids=ids)
    order = np.random.default_rng(5).permutation(len(y))
    moved = learning_curve(X[order], y[order], ids=ids[order])
    assert curve.frame.equals(moved.frame)
    assert (curve.a, curve.b, curve.c) == (moved.a, moved.b, moved.c)
    assert curve.frame["rows"].to_list()[-1] == 800
    assert curve.tested == 400
    assert curve.reach == 1200


def test_the_budget_is_the_fewest_rows_that_reach_the_share():
    X, y, ids = blobs()
    curve = learning_curve(X, y, ids=ids)
    best = curve.accuracy(curve.reach)
    for share in (0.8, 0.95, 1.0):
        rows = curve.budget(share)
        assert curve.accuracy(rows) >= share * best
        assert rows == 1 or curve.accuracy(rows - 1) < share * best
    with pytest.raises(BudgetError, match="four times"):
        curve.accuracy(4 * 800 + 1)


def test_what_can_not_be_measured_is_refused():
    X, y, _ = blobs(200)
    with pytest.raises(MissingInputError, match="labels"):
        learning_curve(X, None)
    with pytest.raises(InputError, match="at least 150"):
        learning_curve(X, [0, 1] * 60 + [None] * 80)
    with pytest.raises(InputError, match="two classes"):
        learning_curve(X, np.zeros(200))
    with pytest.raises(ConfigError, match="largest"):
        learning_curve(X, y, largest=10)


def test_flips_are_counted():
    X, y, _ = blobs(600)
    noise = np.random.default_rng(0).random(600)
    flips = NegativeFlips(lambda rows: X[rows], y, np.arange(300), noise, 600)
    judge = RidgeJudge(lambda rows: X[rows], y, np.argsort(noise))
    every = np.argsort(noise)
    first, second = (
        np.array(sorted(rows, key=noise.__getitem__)) for rows in (range(300), range(200, 400))
    )
    before = judge.right(judge.fit(first), every)
    after = judge.right(judge.fit(second), every)
    assert flips(np.arange(200, 400))["negative_flips"] == (before & ~after).mean()
    assert flips(np.arange(300))["negative_flips"] == 0


def test_the_ledger_has_flips_where_a_selection_is_replaced():
    X, y, ids = blobs(900)
    previous = np.arange(200)
    ledger = evaluate_selection(np.arange(20, 220), X=X, y=y, ids=ids, previous=previous)
    (row,) = ledger.filter(name="negative_flips").to_dicts()
    assert row["better"] == "lower"
    # a tenth replaced flips less than a random subset does
    assert row["value"] < row["baseline"]
    assert not evaluate_selection(np.arange(200), X=X, y=y).filter(name="negative_flips").height


@pytest.mark.slow
def test_titles_are_told_within_a_point_at_four_times_the_largest_subset():
    from assay.index.embedding.text import HashedTextEmbedder

    frame = pl.read_parquet(shared("text_pool.parquet")).filter(source="stackoverflow_titles")
    frame = frame.drop_nulls("label").unique("text", keep="first", maintain_order=True)
    X = HashedTextEmbedder(dimensions=128).fit(frame["text"]).encode(frame["text"])
    y = frame["label"].to_numpy()
    curve = learning_curve(X, y)
    truth = (
        learning_curve(X, y, largest=8_000, repeats=2).frame.filter(rows=8_000)["accuracy"].item()
    )
    assert abs(curve.accuracy(8_000) - truth) < 0.01
