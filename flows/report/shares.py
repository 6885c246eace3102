"""Shares of groups before and after a selection."""

from __future__ import annotations

import polars as pl

from assay.storage import ScoreStore
from assay.storage.names import stored_name
from assay.storage.runs.schema import identifier


def shares(store: ScoreStore, run_id: str, column: str) -> pl.DataFrame:
    """Return, by value of a kept column, how many rows were chosen and the shares of both sets.

    The value comes first, under the column's name; where that is one of the others (`pool`,
    `chosen`, `share`, `random_share`), it is called `value`. `random_share` is the share that a
    random subset is expected to have: the pool's own.
    """
    counts = store.run_table(
        run_id,
        f"""SELECT samples.{identifier(stored_name(column))} AS value, count(*) AS pool,
        count(*) FILTER (decisions.selected) AS chosen,
        chosen / sum(chosen) OVER () AS share, pool / sum(pool) OVER () AS random_share
        FROM samples JOIN decisions USING (key) GROUP BY 1
        ORDER BY chosen DESC, pool DESC, value""",
    )
    return counts if column in counts.columns else counts.rename({"value": column})
