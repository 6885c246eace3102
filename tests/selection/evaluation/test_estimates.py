"""Intervals of figures that come from samples: how often they hold what all rows give."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from assay.selection import evaluate_selection
from assay.selection.evaluation.estimates import Estimate, mean_of, quantile_of, value_of


def test_all_rows_leave_nothing_to_estimate() -> None:
    values = np.arange(5.0)
    assert mean_of(values, 5) == 2.0
    assert quantile_of(values, 0.5, 2.0, 5) == 2.0
    assert value_of(3.0) == value_of(Estimate(3.0, 1)) == 3.0


def test_a_mean_has_the_interval_of_draws_without_replacement() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = mean_of(values, 500)
    assert isinstance(found, Estimate)
    error = values.std(ddof=1) / 20 * np.sqrt(100 / 499)
    assert (found.low, found.high) == pytest.approx(
        norm.interval(0.95, values.mean(), error), abs=1e-12
    )
    assert np.isnan(mean_of(np.array([1.0]), 5)[2:]).all()


@pytest.mark.parametrize(("m", "n"), [(200, 10_000), (300, 500)])
@pytest.mark.parametrize("portion", [0.5, 0.9, 0.95])
def test_intervals_hold_the_truth_as_often_as_they_say(m: int, n: int, portion: float) -> None:
    pool = np.sort(np.random.default_rng(1).exponential(size=n))
    rank = int(np.ceil(portion * n)) - 1
    hits = np.zeros(2)
    for seed in range(400):
        some = np.sort(np.random.default_rng([2, seed]).choice(pool, m, replace=False))
        mean, quantile = mean_of(some, n), quantile_of(some, portion, 0.0, n)
        assert isinstance(mean, Estimate)
        assert isinstance(quantile, Estimate)
        hits += mean.low <= pool.mean() <= mean.high, quantile.low <= pool[rank] <= quantile.high
    # three standard errors of 400 trials below .95; ranks are whole, so a radius is held more often
    assert (hits / 400 > 0.917).all()
    assert hits[0] / 400 < 0.983


def test_the_ledger_says_what_its_figures_were_measured_on() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3_000, 4)).astype(np.float32)
    words = rng.zipf(1.3, (3_000, 6))
    texts = pl.Series([" ".join(f"w{word}" for word in row) for row in words])
    y = (X[:, 0] > 0).astype(int)
    given = {"X": X, "texts": texts, "y": y, "previous": np.arange(500, 700)}
    chosen = np.arange(600)
    plain = evaluate_selection(chosen, sample=400, **given)
    told = evaluate_selection(chosen, sample=400, intervals=True, **given)
    assert told.drop("measured", "low", "high").equals(plain)
    rows = {row["name"]: row for row in told.iter_rows(named=True)}
    for name in ("coverage.auc", "coverage.radius_90", "negative_flips"):
        row = rows[name]
        assert row["low"] <= row["value"] <= row["high"]
        assert row["low"] < row["high"]
    for name in ("coverage.auc", "words_covered", "negative_flips", "spread.vendi"):
        assert rows[name]["measured"] == 400
    assert rows["cmmd_pool"]["measured"] == 2_048
    assert rows["class.entropy"]["measured"] is None
    for name in ("coverage.max_distance", "spread.vendi", "words_covered"):
        assert rows[name]["low"] is None
    # intervals of the sample hold the figures of all rows
    whole = evaluate_selection(chosen, sample=3_000, intervals=True, **given)
    judged = told.join(whole.select("name", all="value"), on="name").drop_nulls("low")
    assert judged.height >= 6
    inside = judged.select(pl.col("all").is_between("low", "high").mean()).item()
    assert inside > 0.8
    assert whole.drop_nulls("low").is_empty()


def test_a_hundred_samples_hold_the_figures_of_all_rows_95_times() -> None:
    X = np.random.default_rng(4).normal(size=(2_000, 3)).astype(np.float32)
    chosen = np.arange(100)
    truth = dict(evaluate_selection(chosen, X=X, sample=2_000).select("name", "value").iter_rows())
    held = []
    for seed in range(40):
        told = evaluate_selection(
            chosen, X=X, sample=150, draws=1, intervals=True, random_state=seed
        )
        for row in told.drop_nulls("low").iter_rows(named=True):
            held.append(row["low"] <= truth[row["name"]] <= row["high"])
    assert len(held) >= 200
    assert 0.9 < np.mean(held) < 0.99
