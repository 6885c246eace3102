"""What a run came to: its result, and summaries for people and machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.report.shares import shares
from assay.storage import ScoreStore
from assay.storage.notebook import Shown


@dataclass(frozen=True)
class RunResult(Shown):
    """What a call of `curate` or `rank_features` came to.

    Attributes
    ----------
    run_id : str
        The run, under which everything is stored.
    store : ScoreStore
        Where.
    computed : bool
        False where the run was there already and nothing was computed.
    defaults : tuple of str
        The defaults that were taken, as key=value.
    report_file : Path or None
        The page that the run left, where one was asked for.
    """

    run_id: str
    store: ScoreStore
    computed: bool
    defaults: tuple[str, ...] = ()
    report_file: Path | None = None

    def _notebook_rows(self) -> Iterator[tuple[str, Any]]:
        run = self.store.run_table(self.run_id, "SELECT kind, pool, n_samples FROM run").row(0)
        kind, pool, rows = run
        yield "run", self.run_id
        yield ("pool" if kind == "curate" else "table"), pool
        yield "rows", rows
        yield "computed", self.computed
        if kind == "curate":
            yield from self._decided()
        else:
            for row in selected_features(self).head(10).iter_rows(named=True):
                yield f"{row['method']} {row['rank']}. {row['feature']}", row["score"]
        if self.report_file is not None:
            yield "report", self.report_file

    def _decided(self) -> Iterator[tuple[str, Any]]:
        reasons = self.store.run_table(
            self.run_id,
            "SELECT selected, stage, reason, count(*) AS n FROM decisions GROUP BY ALL "
            "ORDER BY selected DESC, n DESC, stage, reason",
        )
        for row in reasons.iter_rows(named=True):
            decision = "chosen" if row["selected"] else f"left out at {row['stage']}"
            yield f"{decision}: {row['reason']}", row["n"]
        ledger = self.store.run_table(self.run_id, "FROM ledger WHERE verdict IS NOT NULL")
        for row in ledger.iter_rows(named=True):
            yield (
                row["name"],
                f"{row['value']:.4g} (random {row['baseline']:.4g}): {row['verdict']}",
            )

    def sql(self, query: str) -> Any:
        """Query this run, as if the store held no other; see `ScoreStore.sql`."""
        return self.store.sql(query, runs=[self.run_id])


def curation_summary(result: RunResult) -> dict[str, Any]:
    """Return what `curate` did as a JSON-ready object."""
    store, run_id = result.store, result.run_id
    run = store.run_table(
        run_id, "SELECT pool, n_samples, generation, config::VARCHAR AS config FROM run"
    )
    config = json.loads(run["config"].item())
    reasons = store.run_table(
        run_id,
        "SELECT selected, stage, reason, count(*) AS n FROM decisions GROUP BY ALL ORDER BY n DESC",
    )
    metrics = store.run_table(run_id, "SELECT name, value, baseline FROM metrics ORDER BY name")
    return {
        "run_id": run_id,
        "pool": run["pool"].item(),
        "store": str(store.path),
        "computed": result.computed,
        "generation": run["generation"].item(),
        "defaults": list(result.defaults),
        "report": None if result.report_file is None else str(result.report_file),
        "samples": run["n_samples"].item(),
        "selected": int(reasons.filter("selected")["n"].sum()),
        "select": config["select"],
        "scores": config["scores"],
        "reasons": reasons.rows(named=True),
        "metrics": {row["name"]: row for row in metrics.rows(named=True)},
        "ledger": store.run_table(run_id, "FROM ledger").rows(named=True),
        "shares": {c: shares(store, run_id, c).rows(named=True) for c in config["keep"]},
    }


def feature_summary(result: RunResult) -> dict[str, Any]:
    """Return what `features` did as a JSON-ready object."""
    selected = selected_features(result)
    return {
        "run_id": result.run_id,
        "store": str(result.store.path),
        "computed": result.computed,
        "features": selected.rows(named=True),
        "quality": column_anomalies(result).rows(named=True),
    }


def column_anomalies(result: RunResult) -> pl.DataFrame:
    """Return the anomalies of the table's columns, each with the figure that shows it."""
    metrics = result.store.run_table(
        result.run_id, "SELECT name, value FROM metrics WHERE name LIKE 'quality:%' ORDER BY name"
    )
    parts = pl.col("name").str.splitn(":", 3).struct
    return metrics.select(
        feature=parts.field("field_2"), anomaly=parts.field("field_1"), value="value"
    )


def selected_features(result: RunResult) -> pl.DataFrame:
    """Return the features that each method selected, best first."""
    return result.store.run_table(
        result.run_id,
        "SELECT method, feature, score, rank FROM feature_scores "
        "WHERE selected ORDER BY method, rank",
    )
