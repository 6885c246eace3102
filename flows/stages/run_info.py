"""What the store keeps of a run: its configuration, so that it can be repeated, and its facts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from assay.flows.config.had import names_file
from assay.flows.stages.deciding import SHOWING
from assay.flows.stages.run import Run, versions
from assay.storage.reading.locations import absolute
from assay.storage.runs.run_file import RunInfo


def stored_config(run: Run) -> dict[str, Any]:
    """Return the configuration as it is stored with the run: paths absolute, so it can be rerun."""
    config = run.config.model_dump(mode="json", exclude={*SHOWING, "next"})
    for key in ("pool", "target", "training_log", "labels", "edges", "store"):
        if config[key] is not None:
            config[key] = absolute(config[key])
    if names_file(config["plan"]["covered"]):
        config["plan"]["covered"] = absolute(config["plan"]["covered"])
    for key in ("mixture_from_runs", "mixture_from_models"):
        if config["plan"][key] is not None:
            config["plan"][key] = absolute(config["plan"][key])
    for sets in ("leakage", "reference"):
        config["plan"][sets] = {k: absolute(v) for k, v in config["plan"][sets].items()}
    return config


def run_info(run: Run, started_at: datetime, n_samples: int = 0) -> RunInfo:
    """Describe the run for the store."""
    return RunInfo(
        run_id=run.run_id,
        kind="curate",
        pool=run.config.name or "pool",
        started_at=started_at,
        n_samples=n_samples,
        seed=run.config.seed,
        generation=run.generation,
        config=stored_config(run),
        versions=versions(run.plugins.values()),
        ranked_by=_ranked_by(run),
        pool_fingerprint=run.pool_fingerprint,
    )


def _ranked_by(run: Run) -> str | None:
    return run.select if run.select in run.scores else run.config.difficulty
