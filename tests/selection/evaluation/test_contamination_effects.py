"""What contaminated items gain: planted gains are found, the formula by hand, and chance is told."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.selection import contamination_effect
from assay.storage.errors import ColumnError, InputError


def planted(n: int, seed: int, high: float) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    span = np.where(rng.random(n) < 0.5, rng.integers(5, 60, n), 0)
    correct = rng.random(n) < np.where(span >= 30, high, 0.5)
    return pl.DataFrame({"span": span, "correct": correct})


def test_a_planted_gain_is_found_with_its_threshold() -> None:
    frame = planted(2_000, 0, 0.9)
    row = contamination_effect(frame).row(0, named=True)
    assert abs(row["threshold"] - 30) <= 3
    below = frame.filter(pl.col("span") < row["threshold"])
    gain = frame["correct"].mean() - below["correct"].mean()
    assert row["gain"] == pytest.approx(gain)
    assert row["marked"] == pytest.approx(1 - below.height / 2_000)
    assert row["accuracy_below"] == pytest.approx(below["correct"].mean())
    assert row["p"] < 0.002
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    assert contamination_effect(shuffled).row(0, named=True) == row


def test_z_is_that_of_permutations() -> None:
    frame = planted(300, 3, 0.8)
    row = contamination_effect(frame).row(0, named=True)
    correct = frame["correct"].cast(float).to_numpy()
    clean = (frame["span"] < row["threshold"]).to_numpy()
    rng = np.random.default_rng(0)
    gains = [correct.mean() - rng.permutation(correct)[clean].mean() for _ in range(4_000)]
    assert row["z"] == pytest.approx((row["gain"] - np.mean(gains)) / np.std(gains), rel=0.08)


def test_chance_gives_a_p_that_counts_the_choice_of_the_threshold() -> None:
    small = [
        contamination_effect(planted(300, seed, 0.5), permutations=99)["p"][0] <= 0.1
        for seed in range(100)
    ]
    assert np.mean(small) <= 0.2


def test_benchmarks_and_models_are_told_apart(tmp_path) -> None:
    frames = [
        planted(600, at, high).with_columns(benchmark=pl.lit(name), model=pl.lit("m"))
        for at, (name, high) in enumerate([("leaked", 0.95), ("clean", 0.5)])
    ]
    pl.concat(frames).write_csv(tmp_path / "results.csv")
    told = CliRunner().invoke(app, ["contamination", str(tmp_path / "results.csv"), "--json"])
    assert told.exit_code == 0, told.output
    by = {row["benchmark"]: row for row in json.loads(told.stdout)["rows"]}
    assert by["leaked"]["p"] < 0.01 < by["clean"]["p"]
    assert by["leaked"]["gain"] > 0.05
    shown = CliRunner().invoke(app, ["contamination", str(tmp_path / "results.csv")])
    assert "leaked" in shown.stdout


def test_what_can_not_be_measured_is_null_or_refused() -> None:
    assert contamination_effect({"span": [0, None], "correct": [1, 0]})["gain"].to_list() == [None]
    with pytest.raises(ColumnError, match="correct"):
        contamination_effect({"span": [1]})
    with pytest.raises(InputError, match="0 to 1"):
        contamination_effect({"span": [1], "correct": [2]})
    with pytest.raises(InputError, match="give numbers"):
        contamination_effect({"span": ["a"], "correct": [1]})
