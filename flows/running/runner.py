"""Running the pipelines in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from assay.flows.config.credentials import scrub
from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.rules import check_budget
from assay.flows.running import features as feature_pipeline
from assay.flows.running import pipeline
from assay.flows.running.frames import stored_path
from assay.flows.running.pipeline import Call
from assay.flows.running.results import RunResult
from assay.flows.stages.artifacts import check_target
from assay.flows.stages.plan import Plan, make_plan, run_info
from assay.storage import ScoreStore, read_pool
from assay.storage.disk.refusals import refusals_explained
from assay.storage.runs.run_file import RunInfo


@contextmanager
def noted(store: ScoreStore, info: RunInfo) -> Iterator[None]:
    """Note the run as failed where the body raises after it had begun."""
    try:
        with refusals_explained(store.path):
            yield
    except BaseException as error:
        # a full disk has no room for the note either: the next writer marks the run
        with suppress(OSError):
            if store.has_begun(info.run_id):
                store.fail(info, scrub(f"{type(error).__name__}: {error}"))
        raise


def curate(
    config: CurationConfig | None = None,
    *,
    pool: Any = None,
    target: Any = None,
    call: Call = pipeline.directly,
    **settings: Any,
) -> RunResult:
    """Curate one pool, each stage run by `call`; see `assay.flows.api.curate`."""
    values = config.model_dump(exclude_unset=True) if config else {}
    config = CurationConfig.build(values | settings)
    with with_frames(config, pool=pool, target=target) as complete:
        return run_plan(pipeline.finished(call(make_plan, complete), call), call)


@contextmanager
def with_frames(config: CurationConfig, *, pool: Any, target: Any) -> Iterator[CurationConfig]:
    """Hold the store's lock, and yield the configuration that names every input by its path.

    The store keeps a copy of each frame, once it is known that the frames can be used.
    """
    store = ScoreStore(config.store, create=True)
    with store.writing("curate"):
        frames = {n: f for n, f in (("pool", pool), ("target", target)) if f is not None}
        if not frames:
            yield config
            return
        opened = read_pool(frames.get("pool", config.pool), **config.roles())
        if pool is not None:
            check_budget(config, opened.samples().height)
        if target is not None:
            column = {opened.kind: getattr(opened.roles, opened.kind)}
            check_target(read_pool(target, name="target", **column), "the target")
        paths = {name: stored_path(store, name, frame) for name, frame in frames.items()}
        yield CurationConfig.build(config.model_dump(exclude_unset=True) | paths)


def run_plan(plan: Plan, call: Call = pipeline.directly) -> RunResult:
    """Run a plan, unless its run is there already."""
    store = plan.store
    with store.writing("curate") as lock:
        if store.is_finished(plan.run_id):
            store.publish()
            return RunResult(plan.run_id, store, False, plan.defaults)
        started_at = datetime.now(UTC)
        lock.say("curate", plan.run_id)
        with noted(store, run_info(plan, started_at)):
            again = pipeline.compose(plan, started_at, call)
        if again is not None:
            store.forget(plan.run_id)
            return run_plan(again, call)
    return RunResult(plan.run_id, store, True, plan.defaults)


def rank_features(
    config: FeatureConfig | None = None,
    *,
    table: Any = None,
    call: Call = pipeline.directly,
    **settings: Any,
) -> RunResult:
    """Rank the columns of a table, each stage run by `call`; see `assay.flows.api.rank_features`."""
    values = config.model_dump(exclude_unset=True) if config else {}
    config = FeatureConfig.build(values | settings)
    store = ScoreStore(config.store, create=True)
    with with_table(config, table) as complete, store.writing("features") as lock:
        plan = pipeline.finished(call(feature_pipeline.make_plan, complete), call)
        if store.is_finished(plan.run_id):
            store.publish()
            return RunResult(plan.run_id, store, False)
        started_at = datetime.now(UTC)
        lock.say("features", plan.run_id)
        with noted(store, feature_pipeline.run_info(plan, started_at)):
            pipeline.finished(feature_pipeline.compose(plan, started_at, call), call)
    return RunResult(plan.run_id, store, True)


@contextmanager
def with_table(config: FeatureConfig, table: Any) -> Iterator[FeatureConfig]:
    """Hold the store's lock, and yield the configuration that names its table by its path."""
    store = ScoreStore(config.store, create=True)
    with store.writing("features"):
        if table is not None:
            path = stored_path(store, "table", table)
            config = FeatureConfig.build(config.model_dump(exclude_unset=True) | {"table": path})
        yield config
