"""Whole numbers and decimals that 64-bit floats don't tell apart."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.selection import ECFS
from assay.selection.rankers.tables import rank_table
from assay.selection.tables.matrix import encode, to_matrix
from assay.storage.reading.tables import Table


@settings(max_examples=200, deadline=None)
@given(
    low=st.integers(-(2**63), 2**63 - 1001),
    steps=st.lists(st.integers(0, 1000), min_size=2, max_size=20),
)
# as floats both are 2**63, which no int64 is
@example(low=2**63 - 512, steps=[0, 1])
def test_small_differences_survive_any_offset(low: int, steps: list[int]) -> None:
    table = pl.DataFrame({"a": pl.Series([low + s for s in steps], dtype=pl.Int64)})
    X = encode(table, np.zeros(len(steps))).X[:, 0]
    assert (X - X.min()).tolist() == [s - min(steps) for s in steps]


@pytest.mark.parametrize(
    ("sentinel", "kind"), [(2**63 - 1, pl.Int64), (-(2**63), pl.Int64), (2**64 - 1, pl.UInt64)]
)
def test_a_sentinel_beside_missing_values_is_filled_exactly(sentinel: int, kind: Any) -> None:
    column = pl.Series([sentinel, None, sentinel, None, 3, sentinel], dtype=kind)
    matrix = encode(pl.DataFrame({"a": column}), np.arange(6) % 2)
    assert matrix.X[:, 0].tolist() == [float(v) for v in [sentinel] * 4 + [3, sentinel]]
    assert "2 of 6 values are missing" in matrix.report["a"]


def test_what_floats_merge_is_reported() -> None:
    frame = pl.DataFrame(
        {
            "wide": pl.Series([-(2**62), -(2**62) + 1, 2**62, 2**62 + 1]),
            "fine": pl.Series([Decimal(f"1234567890123456789.{i}") for i in range(4)]),
            "y": [0, 1, 0, 1],
        }
    )
    X, names, _, report = to_matrix(frame, label="y")
    assert names == ["wide", "fine"]
    assert report["wide"] == "its 4 different values are 2 as 64-bit floats"
    assert "1234567890123456789.0, is subtracted" in report["fine"]
    assert np.unique(X[:, 1]).size == 4


def test_by_rows_and_by_columns_agree_on_long_numbers(tmp_path: Path) -> None:
    y = np.random.default_rng(0).integers(0, 2, 500)
    frame = pl.DataFrame({"long": 2**60 + y, "noise": np.arange(500) % 7, "y": y})
    frame.write_parquet(tmp_path / "t.parquet")
    whole = rank_table(ECFS(1), Table(tmp_path / "t.parquet"), label="y")
    parts = rank_table(ECFS(1), Table(tmp_path / "t.parquet"), label="y", memory=1)
    assert (whole.mode, parts.mode) == ("memory", "rows")
    np.testing.assert_allclose(whole.ranker.scores_, parts.ranker.scores_, rtol=1e-12)
    assert whole.ranker.get_support().tolist() == [True, False]
    assert "is subtracted" in parts.report["long"]
