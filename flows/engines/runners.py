"""Where the stages of a flow run: in threads, or in the processes of a Dask or Ray cluster."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from assay.flows.config.curation import CLUSTERS, CurationConfig
from assay.flows.engines.environment import of_workers
from assay.index.threads import thread_count
from assay.storage.errors import ConfigError, DependencyError, ServiceError
from assay.storage.reading.locations import absolute

_RUNNERS = {
    "threads": ("prefect.task_runners", "ThreadPoolTaskRunner"),
    "dask": ("prefect_dask", "DaskTaskRunner"),
    "ray": ("prefect_ray", "RayTaskRunner"),
}
# these say where a cluster is, so that none is started
_THERE = {"address", "cluster", "cluster_class", "cluster_kwargs", "init_kwargs"}


def located(config: CurationConfig) -> CurationConfig:
    """Return the configuration with absolute paths: a worker may run in another folder."""
    if config.engine not in CLUSTERS:
        return config
    names = ("pool", "target", "training_log", "labels", "edges", "store")
    paths = {name: getattr(config, name) for name in names if getattr(config, name) is not None}
    return config.model_copy(update={name: absolute(path) for name, path in paths.items()})


@contextmanager
def task_runner(config: CurationConfig) -> Iterator[Any]:
    """Start what runs the tasks of the configuration's engine; None: the flow's own does.

    Dask: a cluster of `workers` processes with one thread each, on this machine and for this run,
    unless `engine_options` says where another one is. Ray: likewise, with `workers` CPUs.

    Raises
    ------
    DependencyError
        The engine's extra is not installed.
    ConfigError
        An option is not one of the task runner.
    """
    if config.engine == "process":
        yield None
        return
    workers = of_workers() if config.engine in CLUSTERS else nullcontext()
    with workers, _runner(config) as runner:
        yield runner


def _runner(config: CurationConfig) -> Any:
    module, name = _RUNNERS[config.engine]
    try:
        make = getattr(importlib.import_module(module), name)
        if config.engine == "ray":
            importlib.import_module("ray")
    except ImportError as error:
        raise DependencyError(
            f"The engine {config.engine!r} needs the extra of that name, and {error.name} is not "
            f"installed: pip install 'assay-curation[{config.engine}]'."
        ) from error
    try:
        return make(**_options(config))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"The engine {config.engine!r} does not take these engine_options: {error}."
        ) from error


def check_server() -> None:
    """Raise `ServiceError` where a Prefect server is named that does not answer."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        return
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise ServiceError(
            f"PREFECT_API_URL names the Prefect server at {url}, which does not answer "
            f"({type(problem).__name__}: {problem}). Start it (`prefect server start`), or unset "
            "PREFECT_API_URL: without it the stages run in this process."
        )


def _options(config: CurationConfig) -> Mapping[str, Any]:
    count = config.workers or thread_count()
    options = dict(config.engine_options)
    if config.engine == "threads":
        return {"max_workers": count} | options
    if _THERE & options.keys():
        return options
    if config.engine == "dask":
        local = {
            "n_workers": count,
            "threads_per_worker": 1,
            "processes": True,
            # files that are mapped count as memory, so that a worker may seem to use too much
            "memory_limit": 0,
            "dashboard_address": "127.0.0.1:0",
        }
        return {"cluster_kwargs": local} | options
    return {"init_kwargs": {"num_cpus": count, "include_dashboard": False}} | options
