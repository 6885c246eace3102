"""What Prefect's pages show of a run: a summary, its metrics, and how far it is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event
from prefect.exceptions import PrefectException

from assay.flows.progress import logger
from assay.flows.running.results import RunResult, curation_summary, feature_summary
from assay.flows.stages.stage import FEATURE_PLAN, PLAN, Stage
from assay.storage.runs.schema import literal

_SHOWN = 12


def artifact_key(pool: str, what: str) -> str:
    """Return the key of a pool's artifact: lower-case letters, digits and dashes.

    Examples
    --------
    >>> artifact_key("Web pages (2026)", "summary")
    'assay-web-pages-2026-summary'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", pool.lower()).strip("-")
    return f"assay-{slug or 'pool'}-{what}"


class Progress:
    """A progress artifact, created with the run and updated as stages finish."""

    def __init__(self) -> None:
        self._key = ""
        self._id: Any = None
        self._percent = 0

    def __call__(self, stage: Stage, result: Any) -> None:
        """Show how far the run is with this stage, which returned `result`."""
        if stage in (PLAN, FEATURE_PLAN):
            self._key = artifact_key(result.config.name, "progress")
        if self._key and stage.progress > self._percent:
            self._percent = stage.progress
            _kept_on(self._show, stage.progress, f"{stage.title} is done")

    def _show(self, percent: float, description: str) -> None:
        if self._id is None:
            self._id = create_progress_artifact(percent, key=self._key, description=description)
        else:
            update_progress_artifact(self._id, percent, description=description)


def tell_curation(result: RunResult, *, refit: bool = False) -> None:
    """Leave the summary and the metrics of a curation run, and emit its events.

    `refit` says whether a new generation was asked for; one that was not began by drift.
    """
    summary = curation_summary(result)
    _kept_on(_leave, summary["pool"], curation_markdown(summary), metrics_rows(summary))
    if result.report_file is not None:
        _kept_on(_link, summary["pool"], result.report_file)
    _kept_on(_emit, result, summary, refit)


def tell_features(result: RunResult) -> None:
    """Leave the summary and the scores of a feature-ranking run."""
    summary = feature_summary(result)
    table = result.store.run_table(result.run_id, "SELECT pool FROM run").item()
    _kept_on(_leave, table, features_markdown(summary, table), summary["features"])


def _leave(pool: str, markdown: str, rows: list[dict[str, Any]]) -> None:
    create_markdown_artifact(markdown, key=artifact_key(pool, "summary"))
    table = [{name: _finite(value) for name, value in row.items()} for row in rows]
    create_table_artifact(table, key=artifact_key(pool, "metrics"))


def _emit(result: RunResult, summary: Mapping[str, Any], refit: bool) -> None:
    """Emit the event that a pool was curated, and that it has drifted where a generation began."""
    pool = summary["pool"]
    figures = summary["metrics"]
    payload = {
        "run_id": summary["run_id"],
        "store": summary["store"],
        "computed": summary["computed"],
        "samples": summary["samples"],
        "selected": summary["selected"],
        "generation": summary["generation"],
        **{
            name: _finite(figures[name]["value"])
            for name in ("drift", "rows.new", "rows.gone")
            if name in figures
        },
    }
    resource = {"prefect.resource.id": artifact_key(pool, "pool"), "prefect.resource.name": pool}
    emit_event("assay.pool.curated", resource=resource, payload=payload)
    before = result.store.sql(
        "SELECT generation FROM runs WHERE kind = 'curate' AND status = 'done' "
        f"AND pool = {literal(pool)} AND run_id <> {literal(result.run_id)} "
        "ORDER BY request DESC LIMIT 1"
    )
    began = before.height and before.item() != summary["generation"]
    if summary["computed"] and began and not refit:
        emit_event(
            "assay.pool.drifted",
            resource=resource,
            payload=payload | {"generation_before": before.item()},
        )


def _link(pool: str, report: Path) -> None:
    create_link_artifact(
        report.as_uri(),
        link_text=f"Report: {report.name}",
        key=artifact_key(pool, "report"),
        description="Reasons, map, figures beside random and rows of this run, in one page.",
    )


def _finite(value: Any) -> Any:
    # JSON has no NaN
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _kept_on(leave: Callable[..., None], *args: Any) -> None:
    """Leave an artifact; a run that has done its work does not fail by its page."""
    try:
        leave(*args)
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("an artifact could not be left with the Prefect server: %s", error)


def metrics_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics of a curation run, each with that of a random subset of equal size."""
    return [
        {"metric": row["name"], "value": row["value"], "baseline": row["baseline"]}
        for row in summary["metrics"].values()
    ]


def curation_markdown(summary: Mapping[str, Any]) -> str:
    """Return what a curation run came to, in Markdown."""
    parts = [
        f"# {summary['pool']}: {summary['selected']:,} of {summary['samples']:,} rows chosen",
        _said(summary, f"Chosen by `{summary['select']}`."),
        _table(
            ("left out at", "because", "rows"),
            (
                (row["stage"], row["reason"], f"{row['n']:,}")
                for row in summary["reasons"]
                if not row["selected"]
            ),
        ),
    ]
    for column, rows in summary["shares"].items():
        parts.append(
            _table(
                (column, "pool", "chosen", "share", "in a random subset"),
                (
                    (
                        row[column],
                        f"{row['pool']:,}",
                        f"{row['chosen']:,}",
                        f"{row['share']:.1%}",
                        f"{row['random_share']:.1%}",
                    )
                    for row in rows[:_SHOWN]
                ),
            )
        )
    parts.append(
        _table(
            ("figure", "this selection", "random subset", "verdict"),
            (
                (row["name"], _short(row["value"]), _short(row["baseline"]), row["verdict"])
                for row in summary["ledger"]
                if row["verdict"]
            ),
        )
    )
    return "\n\n".join(part for part in parts if part)


def features_markdown(summary: Mapping[str, Any], table: str) -> str:
    """Return the first features of each method, in Markdown."""
    rows = [row for row in summary["features"] if row["rank"] <= _SHOWN]
    return "\n\n".join(
        (
            f"# {table}: the first features",
            _said(summary, ""),
            _table(
                ("method", "rank", "feature", "score"),
                ((r["method"], r["rank"], r["feature"], _short(r["score"])) for r in rows),
            ),
        )
    )


def _said(summary: Mapping[str, Any], how: str) -> str:
    unchanged = "" if summary["computed"] else "Nothing had changed, and nothing was computed. "
    where = f"Run `{summary['run_id']}` in the store `{summary['store']}`."
    return f"{unchanged}{how} {where}".strip()


def _table(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    body = [_row(row) for row in rows]
    if not body:
        return ""
    names = list(titles)
    return "\n".join((_row(names), _row(["---"] * len(names)), *body))


def _row(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(value: Any) -> str:
    # a label of the data is text: no markup, no new cell or row
    text = "" if value is None else " ".join(str(value).split())[:200]
    return re.sub(r"([\\|<>`\[\]*_#])", r"\\\1", text)
