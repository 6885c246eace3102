"""Stages as plain tasks of a Dask or Ray cluster, whose workers know nothing of Prefect."""

from __future__ import annotations

import copy
import importlib
import itertools
import logging
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any, NamedTuple

from assay.flows.config.credentials import scrub, scrub_error
from assay.flows.engines.retry import is_transient
from assay.flows.progress import logger, step
from assay.flows.stages.stage import Stage
from assay.storage.disk.pages import released_above
from assay.storage.errors import ResourceError, ServiceError
from assay.storage.heap import give_back

# from this share of a worker's limit on, pages of mapped files are let go
_RESIDENT = 0.5
# the lines of log of the stage that this context runs
_lines: ContextVar[list[tuple[int, str]] | None] = ContextVar("assay_lines", default=None)


class Answer(NamedTuple):
    """What a worker sends back.

    Attributes
    ----------
    result : object
        What the stage returned; None where it raised.
    errors : tuple of BaseException
        What it raised, each followed by its cause.
    lines : tuple of (int, str)
        Level and text of what it logged.
    """

    result: Any
    errors: tuple[BaseException, ...]
    lines: tuple[tuple[int, str], ...]


class WorkerTraceback(Exception):
    """Where in the worker's code a stage failed, as text."""


class Cluster:
    """Runs stages on the workers of a cluster that is up, and waits for them.

    Only references travel. A task whose worker is lost runs again on another, as often as Dask or
    Ray does so by default (three times).

    Parameters
    ----------
    submit : callable
        Submits `answer(stage, args)`, and returns the cluster's own future.
    result : callable
        Waits for such a future, and returns the answer.
    """

    def __init__(
        self,
        submit: Callable[[Stage, tuple[Any, ...]], Any],
        result: Callable[[Any], Answer],
    ) -> None:
        self._submit = submit
        self._result = result

    def __call__(self, stage: Stage, calls: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Call a stage with each of several lists of arguments; return what each call did.

        Raises
        ------
        Exception
            What the first call that failed raised, when all have come to their end.
        ResourceError
            The cluster could not run one of them.
        """
        answers, lost = [], None
        with step(f"{stage.title} (cluster)") as progress:
            futures = [self._submit(stage, args) for args in calls]
            for place, future in enumerate(futures, 1):
                try:
                    answers.append(self._result(future))
                except Exception as error:
                    lost = lost or error
                if len(futures) > 1:
                    progress.reached("shards", place, len(futures))
        for one in answers:
            for level, text in one.lines:
                logger.log(level, "%s", text)
        for one in answers:
            if one.errors:
                raise _chained(one.errors)
        if lost is not None:
            raise ResourceError(
                f"The cluster could not run {stage.title!r}: {type(lost).__name__}: {lost}. If its "
                "workers were lost one after another, give each more memory, or make the shards "
                "smaller (`shard_rows`); the same call goes on where this one ended."
            ) from lost
        return tuple(one.result for one in answers)


def cluster_of(engine: str, runner: Any) -> Cluster | None:
    """Return the cluster that a started task runner of Prefect's holds; None where it holds none."""
    if engine == "dask":
        client = runner.client

        def submit(stage: Stage, args: tuple[Any, ...]) -> Any:
            return client.submit(_within_limit, stage, args, key=f"{stage.name}-{uuid.uuid4().hex}")

        return Cluster(submit, lambda future: future.result())
    if engine == "ray":
        ray: Any = importlib.import_module("ray")
        remote = ray.remote(answer)
        return Cluster(
            lambda stage, args: remote.options(name=stage.name).remote(stage, args), ray.get
        )
    return None


def answer(stage: Stage, args: tuple[Any, ...]) -> Answer:
    """Run a stage with its arguments, in a worker."""
    _listen()
    lines: list[tuple[int, str]] = []
    token = _lines.set(lines)
    try:
        result = stage(*args)
        return Answer(result, (), tuple(lines))
    except Exception as error:
        scrub_error(error)
        return Answer(None, tuple(_sent(error)), tuple(lines))
    finally:
        _lines.reset(token)
        give_back()


def _within_limit(stage: Stage, args: tuple[Any, ...]) -> Answer:
    """Do as `answer` in a worker of Dask, to whose limit of memory pages of mapped files count."""
    from distributed import get_worker

    limit = get_worker().memory_manager.memory_limit
    with released_above(int(limit * _RESIDENT)) if limit else nullcontext():
        return answer(stage, args)


class _Kept(logging.Handler):
    """Keeps what a stage logs, for the process that waits for it."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = _lines.get()
        if lines is not None:
            lines.append((record.levelno, record.getMessage()))


def _listen() -> None:
    if any(isinstance(handler, _Kept) for handler in logger.handlers):
        return
    logger.addHandler(_Kept())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def _sent(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, as they can travel, and last where it was raised."""
    where = scrub("".join(traceback.format_exception(error)))
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        try:
            # what can't be made again from its parts fails in the process that waits for it
            yield copy.deepcopy(cause)
        except Exception:
            kind = ServiceError if is_transient(cause) else RuntimeError
            yield kind(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__
    yield WorkerTraceback(f"\n{where}")


def _chained(errors: Sequence[BaseException]) -> BaseException:
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[0]
