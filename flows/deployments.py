"""The pipelines as Prefect flows: `python -m assay.flows.deployments CONFIG.toml` runs one."""

from __future__ import annotations

import logging
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from assay.flows.engines.environment import prepare

prepare()

from prefect import flow  # noqa: E402
from prefect.logging.handlers import APILogHandler  # noqa: E402

from assay.flows.config.credentials import Scrubbing  # noqa: E402
from assay.flows.config.curation import CurationConfig  # noqa: E402
from assay.flows.config.features import FeatureConfig  # noqa: E402
from assay.flows.config.form import Form  # noqa: E402
from assay.flows.engines import blocks  # noqa: E402
from assay.flows.engines import prefect_page as run_artifacts  # noqa: E402
from assay.flows.engines.cluster import cluster_of  # noqa: E402
from assay.flows.engines.runners import check_server, located, task_runner  # noqa: E402
from assay.flows.engines.submission import Submission  # noqa: E402
from assay.flows.progress import logger  # noqa: E402
from assay.flows.running import runner  # noqa: E402
from assay.flows.running.results import RunResult, curation_summary  # noqa: E402
from assay.flows.stages import features  # noqa: E402
from assay.flows.stages.run import resolve_run  # noqa: E402
from assay.storage import ScoreStore  # noqa: E402
from assay.storage.errors import AssayError, ConfigError  # noqa: E402

F = TypeVar("F", bound=Form)


# Prefect's own validation would log the parameters that it refuses; the forms say what is wrong
@flow(name="assay-curate", validate_parameters=False)
def curate_flow(
    config: CurationConfig, pool_block: str | None = None, store_block: str | None = None
) -> dict[str, Any]:
    """Embed, index, graph, score, select and persist one pool.

    `pool_block` and `store_block` name blocks that say where pool and store are; the configuration
    then has no such key.
    """
    _log_to_the_run()
    return _curated(_filled_in(CurationConfig, _placed(config, pool_block, store_block)))


@flow(name="assay-next", validate_parameters=False)
def next_flow(
    config: CurationConfig, pool_block: str | None = None, store_block: str | None = None
) -> dict[str, Any]:
    """Choose the next rows of one pool to label, from the labels that have arrived.

    `pool_block` and `store_block` are those of `curate_flow`.
    """
    _log_to_the_run()
    settings = _filled_in(CurationConfig, _placed(config, pool_block, store_block))
    return _curated(settings.next_batch())


def _placed(config: Any, pool_block: str | None, store_block: str | None) -> Any:
    """Return the configuration with the places that the named blocks hold."""
    if pool_block is None and store_block is None:
        return config
    keys = config.model_dump(exclude_unset=True) if isinstance(config, Form) else config
    return blocks.placed(keys, pool_block, store_block)


def _curated(config: CurationConfig) -> dict[str, Any]:
    settings = located(config)
    with task_runner(settings) as started:
        cluster = cluster_of(settings.engine, started)
        runs_tasks = None if cluster else started
        call = Submission(run_artifacts.Progress(), runs_tasks, cluster=cluster)
        result = runner.curate(settings, call=call)
    run_artifacts.tell_curation(result, refit=settings.refit)
    return _reference(result)


@flow(name="assay-features", validate_parameters=False)
def features_flow(config: FeatureConfig) -> dict[str, Any]:
    """Rank the columns of a table, and persist the ranking."""
    _log_to_the_run()
    settings = _filled_in(FeatureConfig, config)
    result = runner.rank_features(settings, call=Submission(run_artifacts.Progress()))
    run_artifacts.tell_features(result)
    return _reference(result)


def _filled_in(form: type[F], given: Any) -> F:
    if isinstance(given, form):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError("The parameter `config` must hold the keys of a configuration.")
    return form.build(given, where="the parameter `config`")


def _log_to_the_run() -> None:
    """Let the lines of assay's log be seen with the flow run, without secrets."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
        logger.addHandler(APILogHandler())
    for handler in (*logger.handlers, *logging.getLogger().handlers):
        if not any(isinstance(known, Scrubbing) for known in handler.filters):
            handler.addFilter(Scrubbing())


def _reference(result: RunResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "store": str(result.store.path),
        "computed": result.computed,
        "defaults": list(result.defaults),
        "report": None if result.report_file is None else str(result.report_file),
    }


def run_curation(config: CurationConfig) -> RunResult:
    """Run `curate_flow` and return what `assay.flows.curate` would.

    What is wrong with the configuration is said before Prefect starts, in one paragraph.
    """
    resolve_run(config)
    check_server()
    return _result(curate_flow(config))


def run_next(config: CurationConfig) -> RunResult:
    """Run `next_flow` and return what `assay.flows.next_batch` would."""
    resolve_run(config.next_batch())
    check_server()
    return _result(next_flow(config))


def run_ranking(config: FeatureConfig) -> RunResult:
    """Run `features_flow` and return what `assay.flows.rank_features` would."""
    features.resolve_run(config)
    check_server()
    return _result(features_flow(config))


def _result(done: Mapping[str, Any]) -> RunResult:
    report = done["report"]
    return RunResult(
        done["run_id"],
        ScoreStore(done["store"]),
        done["computed"],
        tuple(done["defaults"]),
        None if report is None else Path(report),
    )


def main(arguments: list[str]) -> None:
    """Run the flow that a TOML file configures.

    Features where it names a table, the next batch to label where it has a table `next`, else
    curation.
    """
    if len(arguments) != 1:
        raise ConfigError("Usage: python -m assay.flows.deployments CONFIG.toml")
    path = Path(arguments[0])
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        keys = {}  # `from_toml` says what is wrong
    if "table" in keys:
        result = run_ranking(FeatureConfig.from_toml(path))
        print(f"Run {result.run_id} in the store {result.store.path}.")
        return
    config = CurationConfig.from_toml(path)
    with runner.with_frames(config, pool=None, target=None) as complete:
        result = run_next(complete) if config.next_wanted else run_curation(complete)
    summary = curation_summary(result)
    print(
        f"Run {result.run_id} in the store {result.store.path}: {summary['selected']:,} of "
        f"{summary['samples']:,} rows of {summary['pool']} chosen by {summary['select']}."
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AssayError as error:
        sys.stderr.write(f"assay: {error}\n")
        sys.exit(1 if isinstance(error, RuntimeError) else 2)
