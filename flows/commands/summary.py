"""What a run came to, and why a sample is in or out, printed for people."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from assay.flows.commands.output import print_table, printable
from assay.flows.report.rows import surroundings
from assay.flows.report.shares import shares
from assay.flows.running.finished import finished_run
from assay.flows.running.results import (
    RunResult,
    column_anomalies,
    curation_summary,
    selected_features,
)
from assay.storage import ScoreStore
from assay.storage.errors import IdError
from assay.storage.runs.schema import literal

SHOWN_GROUPS = 12


def print_curation(result: RunResult) -> None:
    """Print what `curate` did."""
    summary = curation_summary(result)
    if summary["defaults"]:
        print(f"Defaults taken: {', '.join(summary['defaults'])}")
    if not result.computed:
        print(f"Nothing changed: run {summary['run_id']} was there already, nothing was computed.")
    print(
        f"Pool {summary['pool']}: {summary['samples']:,} rows went in, {summary['selected']:,} were "
        f"chosen by {summary['select']} (run {summary['run_id']})."
    )
    _print_history(summary)
    for row in summary["reasons"]:
        if not row["selected"]:
            print(f"  {row['n']:>9,} left out at stage {row['stage']}: {row['reason']}")
    _print_churn({name: row["value"] for name, row in summary["metrics"].items()})
    for column in summary["shares"]:
        _print_shares(shares(result.store, result.run_id, column), column)
    _print_ledger(summary["ledger"])
    print(f"Store: {summary['store']}")
    if summary["report"]:
        print(f"Report: {summary['report']}")


def _print_history(summary: dict[str, Any]) -> None:
    value = {name: row["value"] for name, row in summary["metrics"].items()}
    if "rows.new" in value:
        print(
            f"  Since the run before: {value['rows.new']:,.0f} rows are new or changed, "
            f"{value['rows.gone']:,.0f} gone or changed. Generation {summary['generation']}, drift "
            f"{value['drift']:.3f}."
        )


def _print_churn(metrics: dict[str, float]) -> None:
    if metrics.get("churn_previous"):
        said = {name: f"{int(value):,}" for name, value in metrics.items() if "churn_" in name}
        print(
            "Of the {churn_previous} rows chosen before, {churn_replaced} were replaced (at most "
            "{churn_limit}), {churn_forced} could not stay, and {churn_kept} are in because of "
            "that bound.".format(**said)
        )


def _print_shares(frame: pl.DataFrame, column: str) -> None:
    def percent(name: str, title: str) -> pl.Expr:
        return (pl.col(name) * 100).round(1).cast(pl.String).add("%").alias(title)

    print_table(
        frame.head(SHOWN_GROUPS).select(
            pl.nth(0),
            "pool",
            "chosen",
            percent("share", "share"),
            percent("random_share", "in a random subset"),
        ),
        title=f"What was chosen, by {column}:",
    )
    if frame.height > SHOWN_GROUPS:
        print(f"  and {frame.height - SHOWN_GROUPS} more values of {column}")


def _print_ledger(ledger: list[dict[str, Any]]) -> None:
    """Say in which figures the selection beats random subsets of equal size, and in which not."""
    told: dict[str, list[str]] = {}
    for row in ledger:
        if row["verdict"]:
            told.setdefault(row["verdict"], []).append(
                f"{row['name']} {row['value']:.3g} ({row['baseline']:.3g})"
            )
    if told:
        print("Beside random subsets of equal size (their figure in brackets):")
    for verdict in sorted(told):
        print(f"  {verdict}: {', '.join(told[verdict])}")


def print_features(result: RunResult, shown: int = 10) -> None:
    """Print the first features of each method."""
    if not result.computed:
        print(f"Nothing changed: run {result.run_id} was there already, nothing was computed.")
    ranked = selected_features(result)
    print_table(
        ranked.filter(pl.col("rank") <= shown), title=f"The first features (run {result.run_id}):"
    )
    anomalies = column_anomalies(result)
    if anomalies.height:
        print_table(anomalies, title="Columns to look at:")
    print(f"Store: {result.store.path}")


def explanation(store: ScoreStore, sample_id: str) -> list[dict[str, Any]]:
    """Return, for every pool that holds the sample, its decision and scores.

    Raises
    ------
    IdError
        If no pool's newest run holds a sample of that id.
    """
    rows = store.trusted_sql(f"SELECT * FROM explain({literal(sample_id)})")
    if rows.is_empty():
        raise IdError(
            f"There is no sample {sample_id!r} in the newest run of any pool of {store.path}. "
            '`assay sql "select sample_id from latest_samples limit 5"` shows some.'
        )
    found = []
    for (pool,), part in rows.group_by("pool", maintain_order=True):
        decision = part.row(0, named=True)
        scores = part.filter(pl.col("method").is_not_null())
        found.append(
            {
                "pool": pool,
                "run_id": decision["run_id"],
                "selected": decision["selected"],
                "stage": decision["stage"],
                "reason": decision["reason"],
                "detail": json.loads(decision["detail"]),
                "scores": scores.select("method", "score", "rank").rows(named=True),
                **surroundings(store, finished_run(store, decision["run_id"]), sample_id),
            }
        )
    return found


def print_explanation(sample_id: str, found: list[dict[str, Any]]) -> None:
    """Print why a sample is in or out."""
    for one in found:
        said = "IN" if one["selected"] else "OUT"
        print(f"{sample_id} is {said} the selection of {one['pool']} (run {one['run_id']})")
        print(f"  stage {one['stage']}, reason {one['reason']}")
        for key, value in one["detail"].items():
            print(f"  {key}: {value}")
        if one["content"]:
            print(f"  content: {printable(one['content'])}")
        elif one["content_problem"]:
            print(f"  {one['content_problem']}")
        if one["represented_by"]:
            near = one["represented_by"]
            print(f"  represented by: {printable(near['sample_id'])} {printable(near['excerpt'])}")
        if one["scores"]:
            print_table(pl.DataFrame(one["scores"]))
        for title, rows in (
            ("Its neighbors:", one["neighbors"]),
            ("Its duplicates:", one["duplicates"]),
        ):
            if rows:
                print_table(pl.DataFrame(rows), title=title)
