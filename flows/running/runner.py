"""Running the pipelines in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.flows.config.credentials import scrub
from assay.flows.config.curation import CurationConfig, FeatureConfig
from assay.flows.config.rules import check_budget
from assay.flows.running import features as feature_pipeline
from assay.flows.running import pipeline
from assay.flows.running.frames import stored_path
from assay.flows.stages.artifacts import check_target
from assay.flows.stages.plan import Plan, make_plan, run_info
from assay.storage import ScoreStore, read_pool
from assay.storage.disk.refusals import refusals_explained
from assay.storage.runs.run_file import RunInfo


@dataclass(frozen=True)
class RunResult:
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
    """

    run_id: str
    store: ScoreStore
    computed: bool
    defaults: tuple[str, ...] = ()

    def sql(self, query: str) -> Any:
        """Query the store; see `ScoreStore.sql`."""
        return self.store.sql(query)


@contextmanager
def noted(store: ScoreStore, info: RunInfo) -> Any:
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
    call: Callable[..., Any] = pipeline.directly,
    **settings: Any,
) -> RunResult:
    """Embed, index, graph, score, select and persist one pool.

    Parameters
    ----------
    config : CurationConfig, optional
        What to do; `settings` replace single keys of it, or stand alone.
    pool, target : path or frame, optional
        Where the configuration names no file: a path, or a frame (anything with
        `__arrow_c_stream__`), of which the store keeps a copy.
    call : callable
        How a stage is run; see `assay.flows.running.pipeline.compose`.
    **settings
        Keys of `CurationConfig`.

    Returns
    -------
    RunResult

    Raises
    ------
    AssayError
        See `assay.storage.errors`; the store is left as it was where the input is at fault.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    >>> result = curate(
    ...     pool=frame, id="id", text="text", budget=5, select="random", scores=["pagerank"],
    ...     store=tempfile.mkdtemp(),
    ... )
    >>> result.sql("SELECT count(*) AS n FROM latest_selection")["n"].item()
    5
    """
    values = config.model_dump(exclude_unset=True) if config else {}
    config = CurationConfig.build(values | settings)
    store = ScoreStore(config.store, create=True)
    given = {"pool": pool, "target": target}
    with store.writing("curate"):
        if any(frame is not None for frame in given.values()):
            config = _with_frames(config, store, given)
        if config.engine != "process" and call is pipeline.directly:
            from assay.flows.deployments import run_curation

            return run_curation(config)
        return run_plan(pipeline.finished(call(make_plan, config), call), call)


def _with_frames(
    config: CurationConfig, store: ScoreStore, given: dict[str, Any]
) -> CurationConfig:
    """Let the store keep a copy of each frame, once it is known that the frames can be used."""
    opened = read_pool(config.pool if given["pool"] is None else given["pool"], **config.roles())
    if given["pool"] is not None:
        check_budget(config, opened.samples().height)
    if given["target"] is not None:
        column = {opened.kind: getattr(opened.roles, opened.kind)}
        check_target(read_pool(given["target"], name="target", **column), "the target")
    paths = {
        name: stored_path(store, name, frame) for name, frame in given.items() if frame is not None
    }
    return CurationConfig.build(config.model_dump(exclude_unset=True) | paths)


def run_plan(plan: Plan, call: Callable[..., Any] = pipeline.directly) -> RunResult:
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
    call: Callable[..., Any] = pipeline.directly,
    **settings: Any,
) -> RunResult:
    """Rank the columns of a table by how much they say about its label, and persist the ranking.

    Parameters
    ----------
    config : FeatureConfig, optional
        What to do; `settings` replace single keys of it, or stand alone.
    table : path or frame, optional
        Where the configuration names no file.
    call, **settings
        As in `curate`.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> frame = pl.DataFrame({"a": [0, 0, 1, 1] * 5, "b": [0, 1] * 10, "y": ["n", "n", "p", "p"] * 5})
    >>> result = rank_features(table=frame, label="y", k=1, store=tempfile.mkdtemp())
    >>> result.sql("SELECT feature FROM feature_scores WHERE selected")["feature"].item()
    'a'
    """
    values = config.model_dump(exclude_unset=True) if config else {}
    config = FeatureConfig.build(values | settings)
    store = ScoreStore(config.store, create=True)
    with store.writing("features") as lock:
        if table is not None:
            path = stored_path(store, "table", table)
            config = FeatureConfig.build(config.model_dump(exclude_unset=True) | {"table": path})
        plan = pipeline.finished(call(feature_pipeline.make_plan, config), call)
        if store.is_finished(plan.run_id):
            store.publish()
            return RunResult(plan.run_id, store, False)
        started_at = datetime.now(UTC)
        lock.say("features", plan.run_id)
        with noted(store, feature_pipeline.run_info(plan, started_at)):
            pipeline.finished(feature_pipeline.compose(plan, started_at, call), call)
    return RunResult(plan.run_id, store, True)


def example_config(store: str | Path) -> CurationConfig:
    """Return the configuration of `assay demo`: the shipped pool, health answers wanted."""
    from assay.examples import example_path

    return CurationConfig(
        pool=str(example_path("pool.parquet")),
        name="example",
        id="id",
        text="text",
        keep=("domain",),
        target=str(example_path("target.parquet")),
        budget=0.05,
        store=str(store),
    )
