"""The value of sources: Shapley values by all orders, gains and coverage on planted sources."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.selection import source_value
from assay.selection.algorithms.knn_shapley import knn_shapley
from assay.storage.errors import InputError


def vote(rows: list[int], X, codes, T, goal, k: int) -> float:
    """Return the mean share, out of k, of the nearest rows that carry the right label."""
    found = 0.0
    for t, label in zip(T, goal, strict=True):
        near = sorted(rows, key=lambda row: (((X[row] - t) ** 2).sum(), row))[:k]
        found += sum(codes[row] == label for row in near) / k
    return found / len(T)


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_values_are_the_means_over_all_orders(k: int) -> None:
    rng = np.random.default_rng(k)
    X, T = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    X[3] = X[1]  # equal distances
    codes, goal = rng.integers(0, 2, 6), rng.integers(0, 3, 4)
    expected = np.zeros(6)
    orders = list(permutations(range(6)))
    for order in orders:
        before = 0.0
        for at, row in enumerate(order):
            after = vote(list(order[: at + 1]), X, codes, T, goal, k)
            expected[row] += after - before
            before = after
    np.testing.assert_allclose(
        knn_shapley(X, codes, T, goal, k), expected / len(orders), atol=1e-12
    )


def offers(seed: int = 0):
    """Return rows of three classes: had ones of two, and sources that are good, noisy, copied, far off."""
    rng = np.random.default_rng(seed)
    centers = 3 * np.eye(3, 8)

    def draw(classes, n):
        y = rng.choice(classes, n)
        return centers[y] + rng.normal(size=(n, 8)), y

    mine, mine_y = draw([0, 1], 200)
    third, third_y = draw([2], 100)
    wrong, wrong_y = draw([0, 1, 2], 100)
    far = rng.normal(size=(100, 8)) - 10
    X = np.concatenate([mine, third, wrong, mine[:100], far]).astype(np.float32)
    y = np.concatenate([mine_y, third_y, (wrong_y + 1) % 3, mine_y[:100], rng.choice(3, 100)])
    names = ["mine"] * 200 + ["third"] * 100 + ["wrong"] * 100 + ["copies"] * 100 + ["far"] * 100
    T, goal = draw([0, 1, 2], 300)
    return X, y, names, T.astype(np.float32), goal


def test_sources_are_ordered_by_what_they_add() -> None:
    X, y, names, T, goal = offers()
    found = source_value(X, names, wanted=T, y=y, wanted_y=goal, had=["mine"])
    assert found.frame["source"][0] == "third"
    by = {row["source"]: row for row in found.frame.rows(named=True)}
    assert by["third"]["gain"] > 0.2
    assert by["third"]["gain"] > 5 * by["third"]["gain_error"]
    assert abs(by["copies"]["gain"]) < 0.05
    assert by["wrong"]["gain"] < by["third"]["gain"]
    assert by["third"]["knn_shapley"] > by["wrong"]["knn_shapley"]
    assert by["copies"]["coverage"] == pytest.approx(0, abs=1e-9)
    assert by["far"]["novelty"] > by["third"]["novelty"] > by["copies"]["novelty"]
    assert found.report["had"] == 200
    assert 0.5 < found.report["accuracy"] < 0.75
    # without labels by coverage, as brute force has it
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = (T / np.linalg.norm(T, axis=1, keepdims=True)) @ unit.T
    plain = source_value(X, names, wanted=T, had=["mine"])
    before = np.maximum(cosine[:, :200].max(axis=1), 0)
    for name, gained in plain.frame.select("source", "coverage").rows():
        own = cosine[:, np.array(names) == name].max(axis=1)
        assert gained == pytest.approx((np.maximum(before, own) - before).mean(), abs=1e-6)
    assert plain.frame["source"][0] == "third"
    assert "gain" not in plain.frame.columns


def test_the_order_of_rows_changes_nothing() -> None:
    X, y, names, T, goal = offers(1)
    ids = [f"r{i:03}" for i in range(len(y))]
    order = np.random.default_rng(0).permutation(len(y))
    how = {"wanted": T, "wanted_y": goal, "had": ["mine"]}
    one = source_value(X, names, y=y, ids=ids, **how).frame
    other = source_value(
        X[order], np.array(names)[order], y=y[order], ids=[ids[i] for i in order], **how
    ).frame
    assert one.equals(other)


def test_what_can_not_be_valued_is_refused() -> None:
    X, y, names, T, goal = offers()
    with pytest.raises(InputError, match="go together"):
        source_value(X, names, wanted=T, y=y)
    with pytest.raises(InputError, match="'ours'"):
        source_value(X, names, wanted=T, had=["ours"])
    with pytest.raises(InputError, match="No source is on offer"):
        source_value(X, names, wanted=T, had=[*set(names)])
    with pytest.raises(InputError, match="one embedder"):
        source_value(X, names, wanted=T[:, :3])
    assert source_value(X, names, wanted=T).frame["novelty"].null_count() == 5
    alone = source_value(X, names, wanted=T, y=y, wanted_y=goal).report
    assert alone["accuracy"] == pytest.approx(np.bincount(goal).max() / 300)


def test_the_command_prints_and_writes_the_table(tmp_path: Path) -> None:
    X, y, names, T, goal = offers()
    frame = {"vector": X.tolist(), "kind": [f"c{c}" for c in y], "vendor": names}
    pl.DataFrame(frame).write_parquet(tmp_path / "pool.parquet")
    wanted = {"vector": T.tolist(), "kind": [f"c{c}" for c in goal]}
    pl.DataFrame(wanted).write_parquet(tmp_path / "wanted.parquet")
    arguments = [
        "value", str(tmp_path / "pool.parquet"), "--vector", "vector", "--by", "vendor",
        "--target", str(tmp_path / "wanted.parquet"), "--label", "kind", "--had", "mine",
        "--out", str(tmp_path / "value.csv"),
    ]  # fmt: skip
    told = CliRunner().invoke(app, [*arguments, "--json"])
    assert told.exit_code == 0, told.output
    rows = json.loads(told.stdout)["rows"]
    assert rows[0]["source"] == "third"
    assert pl.read_csv(tmp_path / "value.csv")["source"].to_list() == [r["source"] for r in rows]
    assert CliRunner().invoke(app, arguments).exit_code != 0  # the file is there
    shown = CliRunner().invoke(app, arguments[:-2])
    assert "200 rows are had" in shown.stdout
