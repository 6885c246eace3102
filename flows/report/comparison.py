"""What the report shows of two runs: which rows came in and went out, and why."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

import polars as pl

from assay.flows.report.contents import Contents
from assay.flows.report.differences import Difference
from assay.flows.report.facts import run_groups, run_rows, sample_points
from assay.flows.report.galleries import SHOWN, Gallery, cards
from assay.flows.report.rows import row_payload
from assay.storage import ScoreStore

CAUSES = {
    "new": "the row is new",
    "gone": "the row is no longer in the pool",
    "content": "its content has changed",
    "score": "its score has changed",
    "competition": "other rows were preferred, or no longer",
}


@dataclass
class Comparison:
    """Everything on the page that compares two runs.

    Attributes
    ----------
    counts : DataFrame
        change ("in", "out"), cause, rows, words.
    groups : dict
        column -> value, random_share (the earlier pool), share (the later pool), and the shares
        of both selections: chosen_before, chosen_after.
    """

    run_a: dict[str, Any]
    run_b: dict[str, Any]
    came_in: int
    went_out: int
    stayed: int
    counts: pl.DataFrame
    rows: dict[str, Any]
    n_points: int
    groups: dict[str, pl.DataFrame]
    ledger: list[dict[str, Any]]
    galleries: list[Gallery]
    notes: list[str]
    command: str


def comparison_facts(
    store: ScoreStore, difference: Difference, runs: list[dict[str, Any]], places: pl.DataFrame
) -> Comparison:
    """Collect what the page shows of two runs.

    Parameters
    ----------
    difference : Difference
    runs : two rows of the view `runs`
        The earlier and the later run.
    places : DataFrame
        sample_id, x, y of the later run's map.
    """
    run_a, run_b = runs
    rows, scores = run_rows(store, run_b["run_id"])
    rows = rows.join(places, on="sample_id", how="left", maintain_order="left")
    changed = difference.rows.select("sample_id", "change", "cause")
    rows = rows.join(changed, on="sample_id", how="left", maintain_order="left")
    rows = rows.with_columns(
        change=pl.when(pl.col("change") == "in")
        .then(pl.lit("came in: ") + pl.col("cause"))
        .when(pl.col("change") == "out")
        .then(pl.lit("went out: ") + pl.col("cause"))
        .when("selected")
        .then(pl.lit("stayed chosen"))
        .otherwise(pl.lit("left out in both"))
    )
    points, notes = sample_points(rows)
    contents = Contents(store, run_b)
    length = max(40, min(160, 2_000_000 // max(points.height, 1)))
    rank = pl.col("change").str.contains("came in|went out").cast(pl.Int8) + pl.col("selected")
    points = points.sort(rank, pl.col("key"))
    points = points.with_columns(excerpt=contents.excerpts(points["key"], length))
    payload = row_payload(store, run_b["run_id"], rows, points, scores, contents)
    names = sorted(points["change"].unique())
    codes = points["change"].replace_strict(names, range(len(names)), return_dtype=pl.Int32)
    payload["values"] = {"change": {"names": names, "codes": codes.to_list()}} | payload["values"]
    if contents.problem:
        notes.append(contents.problem)
    came = difference.rows.filter(pl.col("change") == "in").height
    counts = difference.counts().with_columns(
        words=pl.col("cause").replace_strict(CAUSES, default=pl.col("cause"))
    )
    gone = difference.rows.filter(pl.col("cause") == "gone").height
    if gone:
        notes.append(f"{gone:,} rows that went out are no longer in the pool, nor on the map.")
    parts = ["assay", "report", "--compare", run_a["run_id"], run_b["run_id"]]
    return Comparison(
        run_a=run_a,
        run_b=run_b,
        came_in=came,
        went_out=difference.rows.height - came,
        stayed=difference.stayed,
        counts=counts,
        rows=payload,
        n_points=points.height,
        groups=_groups(store, run_a, run_b, rows),
        ledger=_ledger(store, run_a["run_id"], run_b["run_id"]),
        galleries=_galleries(rows, contents),
        notes=notes,
        command=shlex.join([*parts, "--store", str(store.path)]),
    )


def _galleries(rows: pl.DataFrame, contents: Contents) -> list[Gallery]:
    galleries = []
    for title, prefix in (("Came in", "came in: "), ("Went out", "went out: ")):
        part = rows.filter(pl.col("change").str.starts_with(prefix)).sort(
            "position", "sample_id", nulls_last=True
        )
        part = part.head(SHOWN).with_columns(
            extra=pl.format(
                "{} because {}.",
                pl.lit(title),
                pl.col("change")
                .str.strip_prefix(prefix)
                .replace_strict(CAUSES, default=pl.col("change")),
            )
        )
        if part.height:
            note = f"The first of the rows that {title.lower()}, in order of the later selection."
            galleries.append(Gallery(title, note, cards(part, contents)))
    return galleries


def _groups(
    store: ScoreStore, run_a: dict[str, Any], run_b: dict[str, Any], rows: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    config_a, config_b = json.loads(run_a["config"]), json.loads(run_b["config"])
    shared = {"keep": [name for name in config_b["keep"] if name in config_a["keep"]]}
    rows_a, _ = run_rows(store, run_a["run_id"])
    before = run_groups(store, run_a["run_id"], shared, rows_a)
    after = run_groups(store, run_b["run_id"], shared, rows)
    groups = {}
    for name in (name for name in after if name in before):
        joined = after[name].join(before[name], on="value", how="full", coalesce=True, suffix="_a")
        zero = pl.exclude("value").fill_null(0)
        groups[name] = (
            joined.with_columns(zero)
            .select(
                "value",
                random_share="random_share_a",
                share="random_share",
                chosen_before="share_a",
                chosen_after="share",
            )
            .sort(pl.max_horizontal("random_share", "share"), "value", descending=[True, False])
        )
    return groups


def _ledger(store: ScoreStore, run_a: str, run_b: str) -> list[dict[str, Any]]:
    columns = "name, value, baseline, better, verdict"
    a, b = (store.run_table(run, f"SELECT {columns} FROM ledger") for run in (run_a, run_b))
    joined = b.join(a.select("name", before="value"), on="name", how="left", maintain_order="left")
    return joined.rows(named=True)
