"""What a run came to, printed for people."""

from __future__ import annotations

import shlex
from typing import Any

import polars as pl

from assay.flows.config.curation import CurationConfig, PlanConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.printing.output import print_table, printable
from assay.flows.report.decisions import MEANINGS
from assay.flows.report.shares import shares
from assay.flows.running.results import (
    RunResult,
    column_anomalies,
    curation_summary,
    missing_values_that_tell,
    seats_of,
    selected_features,
)
from assay.selection.evaluation.figures import WORDS, figures_that_matter

SHOWN_GROUPS = 12
# other pools that are named
_NAMED = 3


def print_curation(result: RunResult) -> None:
    """Print what `curate` did: what was asked for, what became of it, and where the rest is."""
    with result.store.opened(result.run_id):
        _print_curation(result)


def _print_curation(result: RunResult) -> None:
    summary = curation_summary(result)
    if summary["defaults"]:
        print(f"Defaults taken: {', '.join(summary['defaults'])}")
    if not result.computed:
        print(f"Nothing changed: run {summary['run_id']} was there already, nothing was computed.")
    print(f"Asked for: {_describe_request(result.config)}")
    print(
        f"Pool {summary['pool']}: {summary['samples']:,} rows went in, {summary['selected']:,} were "
        f"chosen by {summary['select']} (run {summary['run_id']})."
    )
    _print_history(summary)
    _print_other_pools(result, summary["pool"])
    for row in summary["reasons"]:
        if not row["selected"]:
            meaning = MEANINGS.get(row["reason"], row["reason"])
            print(f"  {row['n']:>9,} left out at stage {row['stage']}: {row['reason']}. {meaning}")
    _print_churn({name: row["value"] for name, row in summary["metrics"].items()})
    for column in summary["shares"]:
        _print_shares(shares(result.store, result.run_id, column), column)
    _print_ledger(summary)
    if summary["report"]:
        print(f"Report: {summary['report']}")
    print(f"Store: {summary['store']}")


def print_labels(result: RunResult) -> None:
    """Print what `next` knows of the labels so far, and how the batch gets to who labels it."""
    metrics = {
        row["name"]: row["value"]
        for row in result.store.run_table(
            result.run_id, "SELECT name, value FROM metrics"
        ).iter_rows(named=True)
    }
    classes = int(metrics["classes"])
    text = f"Labels so far: {int(metrics['labeled']):,} rows of {classes:,} classes"
    if "accuracy" in metrics:
        text += (
            f"; a model that was not fitted on them gets {metrics['accuracy']:.3f} of these right"
        )
    print(f"{text}.")
    if classes < 2:
        print("  Fewer than two classes: the batch covers the pool, and no model counts yet.")
    print(
        f"Next: assay export --store {shlex.quote(str(result.store.path))} --run {result.run_id} "
        "--out batch.csv"
    )


def _describe_request(config: CurationConfig | FeatureConfig) -> str:
    """Return what a configuration asks for, in one line."""
    assert isinstance(config, CurationConfig)
    budget = config.budget
    if isinstance(budget, str):
        count = f"as many rows as {budget} takes"
    else:
        count = (
            f"{budget:,} rows" if isinstance(budget, int) else f"{100 * budget:.4g}% of the rows"
        )
    if config.plan.cost:
        count += f", counted in {config.plan.cost}"
    wanted = [count]
    if config.target is not None:
        wanted.append(f"like those of {config.target}")
    if config.like:
        wanted.append(f"like {', '.join(map(printable, config.like))}")
    defaults = PlanConfig()
    rules = sorted(
        name
        for name in PlanConfig.model_fields
        if name != "cost" and getattr(config.plan, name) != getattr(defaults, name)
    )
    if rules:
        wanted.append(f"under the plan's {', '.join(rules)}")
    return "; ".join(wanted)


def _print_history(summary: dict[str, Any]) -> None:
    value = {name: row["value"] for name, row in summary["metrics"].items()}
    if "rows.new" in value:
        print(
            f"  Since the run before: {value['rows.new']:,.0f} rows are new or changed, "
            f"{value['rows.gone']:,.0f} gone or changed. Generation {summary['generation']}, drift "
            f"{value['drift']:.3f}."
        )


def _print_other_pools(result: RunResult, pool: str) -> None:
    """Say of a pool's first run that others are in the store: a file of another name is another pool."""
    if not result.computed:
        return
    runs = result.store.trusted_sql(
        "SELECT pool, count(*) FROM runs WHERE kind = 'curate' AND status = 'done' GROUP BY pool "
        "ORDER BY pool"
    )
    counts = dict(runs.iter_rows())
    others = [name for name in counts if name != pool]
    if counts.get(pool) == 1 and others:
        more = ", ..." * (len(others) > _NAMED)
        print(
            f"  The first run of this pool; the store also holds {', '.join(others[:_NAMED])}{more}. "
            "If it is one of these, run it with --name and that name: it then goes on from it."
        )


def _print_churn(metrics: dict[str, float]) -> None:
    if metrics.get("churn_previous"):
        figures = {name: f"{int(value):,}" for name, value in metrics.items() if "churn_" in name}
        print(
            "Of the {churn_previous} rows chosen before, {churn_replaced} were replaced (at most "
            "{churn_limit}), {churn_forced} could not stay, and {churn_kept} are in because of "
            "that bound.".format(**figures)
        )


def _print_shares(frame: pl.DataFrame, column: str) -> None:
    def percent(name: str, title: str) -> pl.Expr:
        return (pl.col(name) * 100).round(1).cast(pl.String).add("%").alias(title)

    print_table(
        frame.head(SHOWN_GROUPS).select(
            pl.nth(0).cast(pl.String).fill_null("(none)"),
            "pool",
            "chosen",
            percent("share", "share"),
            percent("random_share", "in a random subset"),
        ),
        title=f"What was chosen, by {column}:",
    )
    if frame.height > SHOWN_GROUPS:
        print(f"  and {frame.height - SHOWN_GROUPS} more values of {column}")


def _print_ledger(summary: dict[str, Any]) -> None:
    """Print the figures that matter for the selector, and where random would have been better."""
    select, store = summary["select"], shlex.quote(summary["store"])
    figures = figures_that_matter(select, summary["ledger"])
    if not figures:
        return
    print(f"What {select} is for, beside random subsets of equal size:")
    lines = [
        (
            f"{WORDS.get(row['name'], '')} ({row['name']})".lstrip(),
            f"{row['value']:.3g}",
            "" if row["baseline"] is None else f"random {row['baseline']:.3g}",
            row["verdict"] or "",
        )
        for row in figures
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print(f"  {'  '.join(cells).rstrip()}")
    worse = [row["name"] for row in figures if (row["verdict"] or "").startswith("random")]
    if worse:
        print(f"Random subsets do better at what was asked for: {', '.join(worse)}.")
    query = f"from ledger where run_id = '{summary['run_id']}'"
    print(f'All {len(summary["ledger"])} figures: assay sql "{query}" --store {store}')


def print_features(result: RunResult, shown: int = 10) -> None:
    """Print the first features of each method, and what was found about each."""
    with result.store.opened(result.run_id):
        _print_features(result, shown)


def _print_features(result: RunResult, shown: int) -> None:
    if not result.computed:
        print(f"Nothing changed: run {result.run_id} was there already, nothing was computed.")
    ranked = selected_features(result)
    print_table(
        ranked.filter(pl.col("rank") <= shown), title=f"The first features (run {result.run_id}):"
    )
    more = int((ranked["rank"] > shown).sum())
    if more:
        query = f"from feature_scores where selected and run_id = '{result.run_id}'"
        store = shlex.quote(str(result.store.path))
        print(f'{more:,} more are selected. All of them: assay sql "{query}" --store {store}')
    for line in feature_findings(result):
        print(line)
    anomalies = column_anomalies(result)
    if anomalies.height:
        kinds = anomalies.group_by("anomaly").len().sort("len", "anomaly", descending=[True, False])
        counted = ", ".join(f"{n:,} {kind.replace('_', ' ')}" for kind, n in kinds.iter_rows())
        query = "select name, value from metrics where name like 'quality:%'"
        store = shlex.quote(str(result.store.path))
        few = anomalies.height <= shown
        where = "" if few else f' They are listed by: assay sql "{query}" --store {store}'
        print(f"Columns to look at: {counted}.{where}")
        if few:
            print_table(anomalies)
    telling = missing_values_that_tell(result)
    if telling.height:
        print_table(telling.head(shown), title="That a value is missing tells about the label:")
    seats = seats_of(result)
    if seats.height:
        print_table(seats.filter(pl.col("seats") > 0), title="Seats by importance (D'Hondt):")
    print(f"Store: {result.store.path}")


def feature_findings(result: RunResult) -> list[str]:
    """Return what `--k auto` and `--stability` found, a sentence for each method."""
    config = result.config
    assert isinstance(config, FeatureConfig)
    metrics = dict(result.store.run_table(result.run_id, "SELECT name, value FROM metrics").rows())
    counts = result.store.run_table(
        result.run_id,
        "SELECT method, count(*) FILTER (selected) AS selected, count(*) AS all_of_them "
        "FROM feature_scores GROUP BY method ORDER BY method",
    )
    lines = []
    for method, selected, columns in counts.iter_rows():
        accuracy = metrics.get(f"accuracy:{method}:{selected}")
        stability = metrics.get(f"stability:{method}")
        if not isinstance(config.k, int) and method in config.methods:
            line = f"{method}: --k {config.k} keeps {selected:,} of {columns:,} columns"
            if accuracy is not None:
                error = metrics[f"accuracy_error:{method}:{selected}"]
                tried = sum(name.startswith(f"accuracy:{method}:") for name in metrics)
                line += (
                    f"; of {tried} numbers of columns tried, cross-validated accuracy {accuracy:.3f} "
                    f"(standard error {error:.3f})"
                )
            lines.append(f"{line}.")
        if stability is not None:
            low, high = (metrics[f"stability_{end}:{method}"] for end in ("low", "high"))
            lines.append(
                f"{method}: stability {stability:.2f} ({low:.2f} to {high:.2f}) over "
                f"{config.stability} resamples, where 1 is the same columns each time, 0 chance."
            )
    return lines
