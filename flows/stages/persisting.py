"""The stages that end a run: its tables into one file, and that file published."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from assay.flows.progress import step
from assay.flows.stages.artifacts import load_graph, load_samples, usable
from assay.flows.stages.changes import load_changes
from assay.flows.stages.drift import load_drift
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.plan import Plan, run_info
from assay.flows.stages.refs import Ref
from assay.flows.stages.scoring import load_scores
from assay.flows.stages.selecting import load_ledger, load_selection
from assay.storage.runs.run_file import RunTablesData

_ARTIFACTS = {"stage": pl.String, "kind": pl.String, "fingerprint": pl.String}


def persist(
    plan: Plan,
    started_at: datetime,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    index: Ref,
    scores: dict[str, Ref],
    streams: dict[str, Ref],
    selection: Ref,
    ledger: Ref,
    compared: Ref | None,
    drifted: Ref | None,
) -> str:
    """Write the run's tables into its one file; the run is finished when it is there."""
    with step("persist"):
        frame = load_samples(plan, samples)
        keys = usable(frame)["key"]
        made = load_selection(plan, selection)
        judged = load_ledger(plan, ledger)
        tables: dict[str, pl.DataFrame] = {}
        for method in plan.scores:
            values = load_scores(plan, scores[method]) if method in scores else made.scores
            tables[method] = pl.DataFrame({"key": keys, "score": values}).filter(
                pl.col("score").is_not_nan()
            )
        more = {"fit": embedder_ref(plan.generation)} if plan.fits else {}
        data = RunTablesData(
            samples=frame.drop("key", "problem"),
            scores=tables,
            selections=made.chosen,
            decisions=made.decisions,
            metrics=pl.concat(
                [
                    _metrics(
                        frame,
                        len(made.chosen),
                        load_graph(plan, graph).report_,
                        made.report,
                        _history(plan, keys.to_numpy(), compared, drifted),
                    ),
                    judged.select("name", "value", "baseline"),
                ]
            ).unique("name", keep="first", maintain_order=True),
            ledger=judged,
            duplicates=made.duplicates,
            leaks=made.leaks,
            artifacts=artifact_rows(
                read=samples,
                embed=vectors,
                graph=graph,
                index=index,
                select=selection,
                judge=ledger,
                **more,
                **{f"score {method}": ref for method, ref in scores.items()},
                **{f"hash {method}": ref for method, ref in streams.items()},
            ),
        )
        plan.store.finish(run_info(plan, started_at, frame.height), data)
    return plan.run_id


def artifact_rows(**refs: Ref) -> pl.DataFrame:
    """Return the artifacts that a run refers to, by stage."""
    rows = [(stage, *ref) for stage, ref in refs.items()]
    return pl.DataFrame(rows, schema=_ARTIFACTS, orient="row")


def publish(plan: Plan, run_id: str) -> str:
    """Publish the newest run of every pool as one file; older runs go to the archive."""
    with step("publish"):
        published = plan.store.publish()
        plan.store.archive(str(plan.config.name), keep=plan.config.keep_runs)
    return str(published)


def _history(
    plan: Plan, keys: np.ndarray, compared: Ref | None, drifted: Ref | None
) -> dict[str, float]:
    """Return how far the pool has moved since its generation began, and since the run before."""
    told = {"drift": load_drift(plan, drifted)}
    found = load_changes(plan, compared)
    if found is not None:
        kept = int((found.rows[keys] >= 0).sum())
        told |= {"rows.new": float(len(keys) - kept), "rows.gone": float(found.before - kept)}
    return told


def _numbers(report: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in report.items():
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (int, float)) and math.isfinite(value):
            found[prefix + name] = float(value)
        elif isinstance(value, dict):
            found |= _numbers(value, f"{prefix}{name}.")
    return found


def _metrics(
    frame: pl.DataFrame,
    n_chosen: int,
    graph: dict[str, Any],
    report: dict[str, Any],
    history: dict[str, float],
) -> pl.DataFrame:
    values = {
        "samples": float(frame.height),
        "unusable": float(frame["problem"].is_not_null().sum()),
        "selected": float(n_chosen),
        **history,
    }
    values |= _numbers(graph, "graph.") | _numbers(report)
    # `x_random` in a report is the same measure on a random subset of equal size
    baselines = {name: values.pop(f"{name}_random", None) for name in list(values)}
    names = [name for name in values if name in baselines]
    return pl.DataFrame(
        {
            "name": names,
            "value": [values[name] for name in names],
            "baseline": [baselines[name] for name in names],
        },
        schema={"name": pl.String, "value": pl.Float64, "baseline": pl.Float64},
    )
