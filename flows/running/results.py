"""What a run came to: its result, and summaries for people and machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.report.shares import shares
from assay.storage import ScoreStore
from assay.storage.errors import IdError
from assay.storage.notebook import Shown
from assay.storage.runs.schema import literal


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

    def sql(self, query: str) -> pl.DataFrame:
        """Query this run, as if the store held no other; see `ScoreStore.sql`.

        So `latest_samples`, `latest_selection` and the others are those of this run, whatever pools
        and later runs the store holds.
        """
        return self.store.sql(query, runs=[self.run_id])

    @cached_property
    def config(self) -> CurationConfig | FeatureConfig:
        """The configuration of the run, with every default filled in."""
        values = json.loads(self._run["config"])
        form = FeatureConfig if self._run["kind"] == "features" else CurationConfig
        return form.build(values)

    @cached_property
    def _run(self) -> dict[str, Any]:
        return self.store.run_table(
            self.run_id, "SELECT kind, config::VARCHAR AS config FROM run"
        ).row(0, named=True)

    def summary(self) -> dict[str, Any]:
        """Return what the run came to as a JSON-ready object: that of the command's ``--json``."""
        return (feature_summary if self._run["kind"] == "features" else curation_summary)(self)

    def ledger(self) -> pl.DataFrame:
        """Return the figures of the selection beside those of random subsets of equal size.

        Columns are those of the view `ledger` without the run's id.
        """
        return self.store.run_table(self.run_id, "FROM ledger ORDER BY name")

    def decisions(self) -> pl.DataFrame:
        """Return one row for every row of the pool, in its order.

        Columns: sample_id, selected, stage, reason, detail (JSON), position, weight.
        """
        return self.store.run_table(
            self.run_id,
            "SELECT s.sample_id, d.selected, d.stage, d.reason, d.detail::VARCHAR AS detail, "
            "c.position, c.weight FROM samples s JOIN decisions d USING (key) "
            "LEFT JOIN selections c USING (key) ORDER BY key",
        )

    def scores(self) -> pl.DataFrame:
        """Return `sample_id` and one column for each score, a row for every row of the pool.

        Of a run that ranks features: method, feature, score, rank and selected.
        """
        if self._run["kind"] == "features":
            return self.store.run_table(
                self.run_id, "SELECT * FROM feature_scores ORDER BY method, rank"
            )
        samples = self.store.run_table(
            self.run_id, "SELECT key, sample_id FROM samples ORDER BY key"
        )
        scores = self.store.run_table(
            self.run_id, "SELECT key, method, score FROM scores ORDER BY method, key"
        )
        if scores.is_empty():
            return samples.drop("key")
        wide = scores.pivot("method", index="key", values="score")
        return samples.join(wide, on="key", how="left", maintain_order="left").drop("key")

    def explain(self, sample_id: str | int) -> dict[str, Any]:
        """Say why a row is in or out of this run's selection.

        Returns
        -------
        dict
            sample_id, selected, stage, reason, detail (dict), position and weight (None where it is
            out), and scores: method -> {"score": ..., "rank": ...}.

        Raises
        ------
        IdError
            The run has no sample of that id.
        """
        wanted = literal(str(sample_id))
        rows = self.store.run_table(
            self.run_id,
            "SELECT key, s.sample_id, d.selected, d.stage, d.reason, d.detail::VARCHAR AS detail, "
            "c.position, c.weight FROM samples s JOIN decisions d USING (key) "
            f"LEFT JOIN selections c USING (key) WHERE s.sample_id = {wanted}",
        )
        if rows.is_empty():
            raise IdError(
                f"There is no sample {str(sample_id)!r} in run {self.run_id}; `result.decisions()` "
                "lists all."
            )
        decision = rows.row(0, named=True)
        scores = self.store.run_table(
            self.run_id,
            f"SELECT method, score, rank FROM scores WHERE key = {decision.pop('key')} "
            "ORDER BY method",
        )
        of_method = {method: {"score": s, "rank": rank} for method, s, rank in scores.iter_rows()}
        detail = json.loads(decision["detail"] or "{}")
        return decision | {"detail": detail, "scores": of_method}


def curation_summary(result: RunResult) -> dict[str, Any]:
    """Return what `curate` did as a JSON-ready object."""
    with result.store.opened(result.run_id):
        return _curation_summary(result)


def _curation_summary(result: RunResult) -> dict[str, Any]:
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
    with result.store.opened(result.run_id):
        selected = selected_features(result)
        return {
            "run_id": result.run_id,
            "store": str(result.store.path),
            "computed": result.computed,
            "features": selected.rows(named=True),
            "quality": column_anomalies(result).rows(named=True),
            "missing_relevance": missing_values_that_tell(result).rows(named=True),
            "seats": seats_of(result).rows(named=True),
        }


def missing_values_that_tell(result: RunResult) -> pl.DataFrame:
    """Return the columns whose missing values tell about the label.

    With the corrected p, Cramér's V, and the class whose share differs most between rows where the value is
    missing and the others.
    """
    metrics = (
        result.store.run_table(
            result.run_id,
            "SELECT name, value, baseline FROM metrics WHERE name LIKE 'missing_relevance:%'",
        )
        .with_columns(
            # names of columns may hold colons
            parts=pl.col("name")
            .str.strip_prefix("missing_relevance:")
            .str.extract_groups("(?s)^(?<feature>.*?):(?<figure>p|V|=.*)$")
        )
        .unnest("parts")
    )
    p, v = (
        metrics.filter(figure=name).select("feature", pl.col("value").alias(as_))
        for name, as_ in (("p", "p_adjusted"), ("V", "cramers_v"))
    )
    rates = metrics.filter(pl.col("figure").str.starts_with("=")).select(
        "feature",
        label=pl.col("figure").str.slice(1),
        rate_missing="value",
        rate_present="baseline",
    )
    return (
        p.join(v, on="feature")
        .join(rates, on="feature")
        .sort("cramers_v", "feature", descending=[True, False])
    )


def seats_of(result: RunResult) -> pl.DataFrame:
    """Return the seats of each method's alliances of columns, most first, with the exact number."""
    metrics = result.store.run_table(
        result.run_id, "SELECT name, value, baseline FROM metrics WHERE name LIKE 'seats:%'"
    )
    parts = pl.col("name").str.splitn(":", 3).struct
    return metrics.select(
        method=parts.field("field_1"),
        alliance=parts.field("field_2"),
        seats=pl.col("value").cast(pl.Int64),
        exact="baseline",
    ).sort("method", "seats", "exact", "alliance", descending=[False, True, True, False])


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
