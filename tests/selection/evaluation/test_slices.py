"""Weak slices: against brute force over all conjunctions, planted slices, and Adult."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy.stats import false_discovery_control, norm

from assay.selection import weak_slices
from assay.selection.tables.coded_columns import coded_columns
from assay.storage.errors import ConfigError, InputError, NonFiniteError
from tests.data import shared


def table(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "kind": rng.choice(["a", "b", "c"], n),
            "place": rng.choice(["x", "y", None], n).tolist(),
            "age": rng.normal(40, 10, n),
        }
    )


@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_brute_force(seed: int) -> None:
    n = 900
    frame = table(n, seed)
    rng = np.random.default_rng(seed)
    bad = (frame["kind"] == "a").to_numpy() & (frame["place"] == "x").fill_null(False).to_numpy()
    by = rng.gamma(1 + 2 * bad)
    columns, _ = coded_columns(frame, 10)
    mean, spread = by.mean(), by.std(ddof=1)
    expected, ps = {}, []
    for size in (1, 2):
        for chosen in combinations(columns, size):
            for values in np.ndindex(*(len(column.words) for column in chosen)):
                rows = np.all([c.codes == v for c, v in zip(chosen, values, strict=True)], axis=0)
                if not 32 <= rows.sum() < n:
                    continue
                inside = by[rows]
                stays = size == 1 or all(
                    inside.mean() - 2 * inside.std() / np.sqrt(len(inside))
                    > by[c.codes == v].mean()
                    for c, v in zip(chosen, values, strict=True)
                )
                error = spread * np.sqrt(1 / len(inside) - 1 / n)
                ps.append(norm.sf((inside.mean() - mean) / error))
                name = (
                    tuple(c.name for c in chosen),
                    tuple(c.words[v] for c, v in zip(chosen, values, strict=True)),
                )
                score = 0.95 * (inside.mean() / mean - 1) - 0.05 * (n / len(inside) - 1)
                expected[name] = (score, len(inside), inside.mean(), stays, len(ps) - 1)
    adjusted = false_discovery_control(ps)
    wanted = {
        name: (score, size, m, adjusted[at])
        for name, (score, size, m, stays, at) in expected.items()
        if stays and score > 0 and adjusted[at] <= 0.05
    }
    found = weak_slices(frame, by, most=1_000)
    rows = {(tuple(r["columns"]), tuple(r["values"])): r for r in found.frame.iter_rows(named=True)}
    assert set(rows) == set(wanted)
    assert found.report_["looked_at"] == len(ps)
    for name, (score, size, m, p) in wanted.items():
        assert rows[name]["n"] == size
        assert [rows[name][k] for k in ("score", "mean", "p")] == pytest.approx([score, m, p])
    assert found.frame["score"].is_sorted(descending=True)
    assert next(iter(rows)) == (("kind", "place"), ("a", "x"))


def test_a_pair_that_says_nothing_new_is_left_out() -> None:
    frame = table(4_000, 5)
    wrong = np.random.default_rng(5).random(4_000) < np.where(frame["kind"] == "b", 0.4, 0.1)
    found = weak_slices(frame, wrong)
    assert found.frame["columns"].to_list() == [["kind"]]
    assert found.frame["ratio"][0] == pytest.approx(2, abs=0.1)


def test_chance_is_not_told() -> None:
    assert (
        sum(
            weak_slices(table(800, seed), np.random.default_rng(seed).random(800)).frame.height
            for seed in range(20)
        )
        <= 6
    )


def test_rows_without_a_score_do_not_count_and_order_does_not_matter() -> None:
    frame = table(1_000, 6)
    by = [None if row % 5 == 0 else float(k == "c") for row, k in enumerate(frame["kind"])]
    found = weak_slices(frame, by)
    assert found.report_["rows"] == 800
    order = np.random.default_rng(6).permutation(1_000)
    again = weak_slices(frame[order], [by[row] for row in order])
    assert again.frame.equals(found.frame)


def test_what_cannot_be_cut_is_said() -> None:
    frame = table(100, 7)
    with pytest.raises(InputError, match="100 rows"):
        weak_slices(frame, [1.0])
    with pytest.raises(InputError, match=">= 0"):
        weak_slices(frame, np.zeros(100))
    with pytest.raises(InputError, match="no value"):
        weak_slices(frame, [None] * 100)
    with pytest.raises(NonFiniteError):
        weak_slices(frame, np.full(100, np.inf))
    with pytest.raises(InputError, match="identifier"):
        weak_slices({"id": [f"r{i}" for i in range(100)]}, np.ones(100))
    with pytest.raises(ConfigError, match="alpha"):
        weak_slices(frame, np.ones(100), alpha=0)


@pytest.mark.slow
def test_slices_of_adult_are_not_all_one() -> None:
    frame = pl.read_parquet(shared("tabular_adult.parquet")).drop(
        "split", "fnlwgt", "education_num"
    )
    rich = frame["income"].str.contains(">")
    found = weak_slices(frame.drop("income"), rich, most=8)
    first = found.frame
    assert (first["ratio"] > 1.5).all()
    assert (first["p"] < 1e-6).all()
    married = first["values"].list.contains("Married-civ-spouse").sum()
    assert married <= 4
