"""NaN and null act alike where a plan reads numbers: refused in a cost and in a blend, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.errors import InputError, NonFiniteError

N = 8
NONE: dict[str, pl.Series] = {
    "null": pl.Series([1.0, None] * 4),
    "nan": pl.Series([1.0, float("nan")] * 4),
    "whole": pl.Series([1, None] * 4),
    "decimal": pl.Series([1, None] * 4).cast(pl.Decimal(9, 2)),
}


def run(folder: Path, values: pl.Series, **options: Any) -> Any:
    frame = pl.DataFrame(
        {"id": range(N), "text": [f"row {i} of them {i % 3}" for i in range(N)], "q": values}
    )
    frame.write_parquet(folder / "p.parquet")
    return curate(
        pool=str(folder / "p.parquet"), id="id", text="text", store=str(folder / "s"),
        **{"select": "random", "scores": ["knn_density"], "budget": 2, **options},
    )  # fmt: skip


def refusals(folder: Path, error: type[Exception], **options: Any) -> set[str]:
    """Return what is said of each kind of missing number; no run may be left."""
    said = set()
    for name, values in NONE.items():
        (folder / name).mkdir()
        with pytest.raises(error) as refused:
            run(folder / name, values, **options)
        said.add(str(refused.value))
        runs = ScoreStore(folder / name / "s").sql("SELECT * FROM runs WHERE status = 'done'")
        assert runs.is_empty()
    return said


def test_costs_that_are_missing_are_refused_alike(tmp_path: Path) -> None:
    (said,) = refusals(tmp_path, InputError, plan={"cost": "q"})
    assert said.startswith("The cost 'q' is missing, negative or not finite in 4 rows")
    assert "\n" not in said


def test_scores_that_are_missing_are_not_blended_alike(tmp_path: Path) -> None:
    blend = {"select": "top", "expressions": {"mine": "q"}}
    (said,) = refusals(
        tmp_path, NonFiniteError, plan={"blend": {"mine": 1, "knn_density": 1}}, **blend
    )
    assert said.startswith("The score 'mine' is NaN or infinite in 4 rows, first in row 1")
    assert "\n" not in said


@pytest.mark.parametrize("kind", NONE)
def test_a_missing_number_passes_no_filter_and_an_expression_may_fill_it(
    tmp_path: Path, kind: str
) -> None:
    plan = {
        "filters": ["q > -5 OR q <= -5"],
        "blend": {"filled": 1, "knn_density": 1},
    }
    result = run(
        tmp_path,
        NONE[kind],
        select="top",
        expressions={"filled": "coalesce(q, 0)"},
        plan=plan,
        budget=4,
    )
    scores = result.sql("SELECT filled FROM latest_scores ORDER BY sample_id")["filled"]
    assert scores.to_list() == [1.0, 0.0] * 4
    chosen = result.sql("SELECT sample_id FROM latest_selection")["sample_id"].cast(int)
    assert sorted(chosen) == [0, 2, 4, 6]
