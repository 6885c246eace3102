"""The pipeline of a feature-ranking run: read -> rank (by each method) -> persist -> publish."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from assay.flows.configuration import FeatureConfig
from assay.flows.pipeline import Call, directly
from assay.flows.plans import versions
from assay.flows.progress import logger, step
from assay.flows.revisions import REVISIONS
from assay.flows.stages import Ref, get_or_make
from assay.selection import registry
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.fingerprints import fingerprint
from assay.storage.run_files import RunInfo, RunTablesData
from assay.storage.tables import read_table, table_columns, table_fingerprint, table_name


class FeaturePlan(BaseModel):
    """A configuration whose defaults are decided, with the fingerprint of its table."""

    model_config = ConfigDict(frozen=True)

    config: FeatureConfig
    table_fingerprint: str
    run_id: str

    @property
    def store(self) -> ScoreStore:
        """The store, which may not be there yet."""
        return ScoreStore(self.config.store, create=True)


def make_plan(config: FeatureConfig) -> FeaturePlan:
    """Decide what the configuration leaves open, and check it; nothing is written."""
    if config.table is None:
        raise ConfigError("No table was given. Name its file, or hand a frame to `rank_features`.")
    columns = table_columns(config.table)
    if config.label not in columns:
        raise ColumnError.missing(config.label, columns)
    if not config.methods:
        raise ConfigError("No method was given; `methods` names one ranker or more.")
    for method in config.methods:
        registry.entry(method, "ranker")
    resolved = config.model_copy(update={"name": config.name or table_name(config.table)})
    made_of = table_fingerprint(config.table)
    settings = resolved.model_dump(mode="json", exclude={"store", "table"})
    run_id = fingerprint("features", REVISIONS["features"], made_of, settings)[:16]
    return FeaturePlan(config=resolved, table_fingerprint=made_of, run_id=run_id)


def run_info(plan: FeaturePlan, started_at: datetime, n_samples: int = 0) -> RunInfo:
    """Say who and what the plan's run is."""
    config = plan.config.model_dump(mode="json")
    config["table"] = str(Path(config["table"]).absolute())
    config["store"] = str(Path(config["store"]).absolute())
    return RunInfo(
        run_id=plan.run_id,
        kind="features",
        pool=plan.config.name or "table",
        started_at=started_at,
        n_samples=n_samples,
        seed=plan.config.seed,
        generation="",
        config=config,
        versions=versions(),
        pool_fingerprint=plan.table_fingerprint,
    )


def rank(plan: FeaturePlan, method: str, started_at: datetime) -> Ref:
    """Rank the table's columns by one method."""
    config = plan.config
    ref = Ref(
        "features",
        fingerprint(
            REVISIONS["features"],
            plan.table_fingerprint,
            config.label,
            method,
            config.k,
            config.seed,
        ),
    )
    plan_store = plan.store
    if not plan_store.artifacts.exists(*ref):
        # what can be wrong with the table is found before anything is written
        matrix = _matrix(plan)
        plan_store.begin(run_info(plan, started_at, len(matrix[0])))
    else:
        matrix = None

    def make(out: Path) -> None:
        table = matrix or _matrix(plan)
        X, names, y, report = table
        for column, note in report.items():
            logger.info("column %s: %s", column, note)
        ranker = registry.get(method, "ranker")(n_features_to_select=min(config.k, len(names)))
        given = {"discrete_features": table.discrete, "random_state": config.seed}
        ranker.set_params(**{k: v for k, v in given.items() if k in ranker.get_params()})
        ranker.fit(X, y)
        pl.DataFrame(
            {
                "feature": names,
                "score": np.asarray(ranker.scores_, dtype=np.float64),
                "rank": np.asarray(ranker.ranking_, dtype=np.int64),
                "selected": ranker.get_support(),
            }
        ).sort("rank").write_parquet(out / "features.parquet")
        (out / "report.json").write_text(json.dumps({"samples": len(X), "columns": report}))

    with step(f"rank {method}"):
        return get_or_make(plan_store, "features", ref, make, run=plan.run_id, label=method)


def _matrix(plan: FeaturePlan) -> Any:
    from assay.selection.columns import to_matrix

    return to_matrix(read_table(str(plan.config.table)), label=plan.config.label)


def persist(plan: FeaturePlan, started_at: datetime, refs: dict[str, Ref]) -> str:
    """Write the rankings into the run's one file; the run is finished when it is there."""
    frames = []
    samples = 0
    for method, ref in refs.items():
        folder = plan.store.artifacts.open(*ref)
        frame = pl.read_parquet(folder / "features.parquet")
        frames.append(frame.with_columns(pl.lit(method).alias("method")))
        samples = json.loads((folder / "report.json").read_text())["samples"]
    ranked = pl.concat(frames)
    metrics = pl.DataFrame(
        {
            "name": ["samples", "features"],
            "value": [float(samples), float(ranked["feature"].n_unique())],
            "baseline": [None, None],
        },
        schema={"name": pl.String, "value": pl.Float64, "baseline": pl.Float64},
    )
    data = RunTablesData(feature_scores=ranked, metrics=metrics)
    plan.store.finish(run_info(plan, started_at, samples), data)
    return plan.run_id


def publish(plan: FeaturePlan, run_id: str) -> str:
    """Publish the newest run of every pool as one file; the run is there by then."""
    return str(plan.store.publish())


def compose(plan: FeaturePlan, started_at: datetime, call: Call = directly) -> Any:
    """Run the stages; see `assay.flows.pipeline.compose`."""
    refs = {method: call(rank, plan, method, started_at) for method in plan.config.methods}
    run = call(persist, plan, started_at, refs)
    return call(publish, plan, run)
