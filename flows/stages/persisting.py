"""The stages that end a run: its tables into one file, and that file published."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from assay.flows.progress import step
from assay.flows.stages.artifacts import labels_ref, load_graph, load_rows, usable
from assay.flows.stages.changes import load_changes
from assay.flows.stages.drift import load_drift
from assay.flows.stages.findings import find
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.refs import Outputs, Ref
from assay.flows.stages.run import Run
from assay.flows.stages.run_info import run_info
from assay.flows.stages.scoring import load_report, load_scores
from assay.flows.stages.selecting import load_ledger, load_selection
from assay.storage import ScoreStore
from assay.storage.runs.run_file import RunTablesData

_EFFECTIVE = "effective_sample_size"
_ARTIFACTS = {"stage": pl.String, "kind": pl.String, "fingerprint": pl.String}


def persist(run: Run, started_at: datetime, outputs: Outputs) -> str:
    """Write the run's tables into its one file; the run is finished when it is there."""
    with step("persist"):
        frame = load_rows(run, outputs.samples, outputs.vectors)
        keys = usable(frame)["key"]
        selection = load_selection(run, outputs.selection)
        ledger = load_ledger(run, outputs.ledger)
        scores: dict[str, pl.DataFrame] = {}
        for method in run.scores:
            ref = outputs.scores.get(method)
            values = selection.scores if ref is None else load_scores(run, ref)
            scores[method] = pl.DataFrame({"key": keys, "score": values}).filter(
                pl.col("score").is_not_nan()
            )
        graph = load_graph(run, outputs.graph, mapped=True)
        findings = find(run, frame, selection.decisions, selection.leaks, scores, graph)
        metrics = _metrics(
            frame,
            len(selection.chosen),
            graph.report_,
            selection.report | {m: load_report(run, ref) for m, ref in outputs.scores.items()},
            _history(run, keys.to_numpy(), outputs) | findings.metrics,
        )
        # a selector that draws by weights reports how many rows they are worth: the run has one figure
        if metrics.filter(name=_EFFECTIVE).height:
            ledger = ledger.filter(pl.col("name") != _EFFECTIVE)
        data = RunTablesData(
            samples=frame.drop("key", "problem"),
            scores=scores,
            selections=selection.chosen,
            decisions=selection.decisions,
            metrics=pl.concat([metrics, ledger.select("name", "value", "baseline")]).unique(
                "name", keep="first", maintain_order=True
            ),
            ledger=ledger,
            intervals=ledger.filter(pl.col("measured").is_not_null()),
            duplicates=selection.duplicates,
            leaks=selection.leaks,
            slices=findings.slices,
            shortcuts=findings.shortcuts,
            artifacts=artifact_rows(_by_stage(run, outputs)),
        )
        run.store.finish(run_info(run, started_at, frame.height), data)
    return run.run_id


def _by_stage(run: Run, outputs: Outputs) -> dict[str, Ref]:
    """Return the artifacts that the run refers to, by the stage that made each."""
    refs = {
        "read": outputs.samples,
        "embed": outputs.vectors,
        "graph": outputs.graph,
        "index": outputs.index,
        "select": outputs.selection,
        "judge": outputs.ledger,
    }
    if outputs.encoded is not None and outputs.encoded != outputs.vectors:
        refs["encode"] = outputs.encoded
    labels = labels_ref(run)
    if labels is not None:
        refs["labels"] = labels
    if run.fits:
        refs["fit"] = embedder_ref(run.generation)
    for name, held in outputs.references.items():
        refs[f"reference {name}"] = held.content
        if held.vectors is not None:
            refs[f"reference {name} vectors"] = held.vectors
    refs |= {f"score {method}": ref for method, ref in outputs.scores.items()}
    return refs | {f"hash {method}": ref for method, ref in outputs.streams.items()}


def artifact_rows(refs: Mapping[str, Ref]) -> pl.DataFrame:
    """Return the artifacts that a run refers to, by stage."""
    rows = [(stage, *ref) for stage, ref in refs.items()]
    return pl.DataFrame(rows, schema=_ARTIFACTS, orient="row")


def renew(store: ScoreStore, run_id: str, keep_runs: int) -> None:
    """Make a run that is finished the current one of its pool again, and publish it."""
    run = store.make_current(run_id)
    store.publish()
    store.archive(run["pool"], run["kind"], keep=keep_runs)


def publish(run: Run, run_id: str) -> str:
    """Publish the newest run of every pool as one file; older runs go to the archive."""
    with step("publish"):
        published = run.store.publish()
        run.store.archive(str(run.config.name), keep=run.config.keep_runs)
    return str(published)


def _history(run: Run, keys: np.ndarray, outputs: Outputs) -> dict[str, float]:
    """Return how far the pool has moved since its generation began, and since the run before."""
    history = {"drift": load_drift(run, outputs.drift)}
    changes = load_changes(run, outputs.changes)
    if changes is not None:
        kept = int((changes.rows[keys] >= 0).sum())
        history |= {"rows.new": float(len(keys) - kept), "rows.gone": float(changes.before - kept)}
    return history


def _numbers(report: dict[str, Any], prefix: str = "") -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in report.items():
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (int, float)) and math.isfinite(value):
            numbers[prefix + name] = float(value)
        elif isinstance(value, dict):
            numbers |= _numbers(value, f"{prefix}{name}.")
    return numbers


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
