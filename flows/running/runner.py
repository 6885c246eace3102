"""Running the pipelines in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.memory_size import check_address_space
from assay.flows.config.rules import check_budget, check_names
from assay.flows.progress import step
from assay.flows.running import pipeline
from assay.flows.running.frames import stored_path
from assay.flows.running.maps import map_run
from assay.flows.running.noting import noted
from assay.flows.running.reports import check_report, write_report
from assay.flows.running.results import RunResult
from assay.flows.running.tables import with_vectors
from assay.flows.stages import features, persisting, stage
from assay.flows.stages.artifacts import check_target
from assay.flows.stages.calls import Call, directly
from assay.flows.stages.run import Run
from assay.flows.stages.run_info import run_info
from assay.storage import ScoreStore, read_pool


def curate(
    config: CurationConfig | None = None,
    *,
    pool: Any = None,
    target: Any = None,
    call: Call = directly,
    **settings: Any,
) -> RunResult:
    """Curate one pool, each stage run by `call`; see `assay.flows.api.curate`."""
    check_address_space()
    values = config.model_dump(exclude_unset=True) if config else {}
    config = CurationConfig.build(values | settings)
    check_showing(config)
    with with_frames(config, pool=pool, target=target) as complete:
        result = execute(call.finished(call(stage.PLAN, complete)), call)
    return shown(config, result)


def check_showing(config: CurationConfig) -> None:
    """Raise `ConfigError` before any work where the report could not be written."""
    if config.report is not None:
        check_report(Path(config.report))


def shown(config: CurationConfig, result: RunResult) -> RunResult:
    """Make the map and the report of a finished run, where the configuration asks for them."""
    if config.map or config.report is not None:
        map_run(result.store, result.run_id)
    if config.report is None:
        return result
    out = Path(config.report)
    with step("report"):
        write_report(result.store, out, run=result.run_id, overwrite=True)
    return replace(result, report_file=out.absolute())


@contextmanager
def with_frames(config: CurationConfig, *, pool: Any, target: Any) -> Iterator[CurationConfig]:
    """Hold the store's lock, and yield the configuration that names every input by its path.

    The store keeps a copy of each frame, once it is known that the frames can be used.
    """
    check_names(config)
    store = ScoreStore(config.store, create=True)
    with store.writing("curate"):
        if config.columns and config.vector is None:
            yield with_vectors(config, store, pool, target)
            return
        frames = {n: f for n, f in (("pool", pool), ("target", target)) if f is not None}
        if not frames:
            yield config
            return
        opened = read_pool(frames.get("pool", config.pool), **config.roles())
        if pool is not None:
            check_budget(config, opened.samples().height)
        if target is not None:
            column: dict[str, Any] = {opened.kind: opened.roles.content}
            check_target(
                read_pool(target, name="target", **column, **config.reading()), "the target"
            )
        paths = {name: stored_path(store, name, frame) for name, frame in frames.items()}
        yield CurationConfig.build(config.model_dump(exclude_unset=True) | paths)


def stored_labels(config: CurationConfig, labels: Any) -> str:
    """Return the path of labels: their own, or that of the copy that the store keeps of a frame."""
    store = ScoreStore(config.store, create=True)
    with store.writing("curate"):
        return stored_path(store, "labels", labels)


def execute(run: Run, call: Call = directly) -> RunResult:
    """Execute a run, unless it is finished already."""
    store = run.store
    with store.writing("curate") as lock:
        if store.is_finished(run.run_id):
            persisting.renew(store, run.run_id, run.config.keep_runs)
            return RunResult(run.run_id, store, False, run.defaults)
        started_at = datetime.now(UTC)
        lock.say("curate", run.run_id)
        with noted(store, run_info(run, started_at)):
            again = pipeline.compose(run, started_at, call)
        if again is not None:
            store.forget(run.run_id)
            return execute(again, call)
    return RunResult(run.run_id, store, True, run.defaults)


def rank_features(
    config: FeatureConfig | None = None,
    *,
    table: Any = None,
    call: Call = directly,
    **settings: Any,
) -> RunResult:
    """Rank the columns of a table, each stage run by `call`; see `assay.flows.api.rank_features`."""
    check_address_space()
    values = config.model_dump(exclude_unset=True) if config else {}
    config = FeatureConfig.build(values | settings)
    store = ScoreStore(config.store, create=True)
    with with_table(config, table) as complete, store.writing("features") as lock:
        run = call.finished(call(stage.FEATURE_PLAN, complete))
        if store.is_finished(run.run_id):
            persisting.renew(store, run.run_id, run.config.keep_runs)
            return RunResult(run.run_id, store, False)
        started_at = datetime.now(UTC)
        lock.say("features", run.run_id)
        with noted(store, features.run_info(run, started_at)):
            pipeline.compose_ranking(run, started_at, call)
    return RunResult(run.run_id, store, True)


@contextmanager
def with_table(config: FeatureConfig, table: Any) -> Iterator[FeatureConfig]:
    """Hold the store's lock, and yield the configuration that names its table by its path."""
    store = ScoreStore(config.store, create=True)
    with store.writing("features"):
        if table is not None:
            path = stored_path(store, "table", table)
            config = FeatureConfig.build(config.model_dump(exclude_unset=True) | {"table": path})
        yield config
