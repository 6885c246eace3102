"""SQL expressions over a frame: one value per row, and nothing else within reach."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.storage.errors import ConfigError
from assay.storage.sql.expressions import evaluate, holds, numbers, places

FRAME = pl.DataFrame(
    {
        "sample_id": ["b", "a", "c"],
        "n": [1, 3, None],
        "odd name": ["x", "yy", None],
        "row": [7, 8, 9],
    }
)


def test_values_are_in_the_frames_order() -> None:
    assert evaluate(FRAME, 'length("odd name")').to_list() == [1, 2, None]
    np.testing.assert_array_equal(numbers(FRAME, "n / 2"), [0.5, 1.5, np.nan])
    assert holds(FRAME, "n > 1 or n is null").tolist() == [False, True, True]
    assert holds(FRAME, "n > 1").tolist() == [False, True, False]
    assert evaluate(FRAME, "n > avg(n) over ()").to_list() == [False, True, None]


def test_order_is_any_sql_order_with_ties_by_id() -> None:
    assert places(FRAME, "n desc nulls last").tolist() == [1, 0, 2]
    assert places(FRAME, "1").tolist() == [1, 0, 2]
    big = pl.DataFrame({"sample_id": [f"{i:05}" for i in range(20_000)]}).sample(
        fraction=1, shuffle=True, seed=1
    )
    assert places(big, "length(sample_id)").tolist() == big["sample_id"].cast(int).to_list()


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("nn > 1", "Columns are: sample_id, n"),
        ("max(n) > 1", "over ()"),
        ("n", "true or"),
        ("n > 1; drop view pool", "can't be evaluated"),
        ("exists (from read_csv('/etc/hosts'))", "disabled by configuration"),
        ("n > (select count(*) from '/etc/hosts')", "can't be evaluated"),
        ("n >", "can't be evaluated"),
    ],
)
def test_what_is_no_condition_is_refused(expression: str, told: str) -> None:
    with pytest.raises(ConfigError, match="condition") as error:
        holds(FRAME, expression)
    assert told in str(error.value)


def test_a_text_is_no_score() -> None:
    with pytest.raises(ConfigError, match="pass a number"):
        numbers(FRAME, "sample_id")
