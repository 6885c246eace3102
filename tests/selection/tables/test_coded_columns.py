"""Columns as bins and levels: against plain loops, and the cases that are easily got wrong."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from assay.selection.tables.coded_columns import MISSING, OTHER, coded_columns


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bins", [2, 10, 20])
def test_bins_hold_equal_shares_and_equal_values_together(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.lognormal(size=997), 2)
    (column,), _ = coded_columns(pl.DataFrame({"x": values}), bins)
    for code in range(len(column.words)):
        inside = values[column.codes == code]
        assert inside.size
        assert not np.isin(values[column.codes != code], inside).any()
    assert (np.diff(column.codes[np.argsort(values, kind="stable")]) >= 0).all()
    assert column.counts().max() <= 997 / bins + np.unique(values, return_counts=True)[1].max()
    assert column.counts(values > 1).sum() == (values > 1).sum()


def test_few_values_keep_a_code_each_and_rare_levels_share_one() -> None:
    table = pl.DataFrame(
        {
            "few": [3.0, 1.0, 3.0, None, float("nan")],
            "flag": [True, False, True, True, None],
            "word": ["b", "a", "b", "c", "a"],
            "day": [date(2026, 1, day) for day in (1, 2, 3, 4, 5)],
        }
    )
    columns, _ = coded_columns(table, 2)
    found = {column.name: ([column.words[code] for code in column.codes]) for column in columns}
    assert found["few"] == ["3", "1", "3", MISSING, MISSING]
    assert found["flag"] == ["true", "false", "true", "true", MISSING]
    assert found["word"] == [OTHER, "a", OTHER, OTHER, "a"]
    assert found["day"] == ["<= 2026-01-03"] * 3 + ["> 2026-01-03"] * 2


def test_what_cannot_be_coded_is_said() -> None:
    table = pl.DataFrame(
        {
            "id": [f"row {row}" for row in range(40)],
            "nothing": [None] * 40,
            "list": [[1, 2]] * 40,
            "constant": [1] * 40,
        },
        schema_overrides={"nothing": pl.String},
    )
    columns, left_out = coded_columns(table, 20)
    assert [column.name for column in columns] == ["constant"]
    assert left_out == {
        "id": "an identifier or text",
        "nothing": "it has no value",
        "list": "its type is List(Int64)",
    }
