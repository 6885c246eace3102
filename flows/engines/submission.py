"""Stages as tasks of a Prefect flow run: submitted, retried, waited for, their progress shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed, wait
from prefect.task_runners import TaskRunner
from prefect.utilities.callables import get_call_parameters

from assay.flows.config.credentials import scrub_error
from assay.flows.engines.cluster import Cluster
from assay.flows.engines.retry import DELAYS, JITTER, retry
from assay.flows.stages.stage import Stage


class Submission:
    """Submits stages to the task runner of the flow run under way.

    What fails for a reason that may pass is tried again (see `assay.flows.engines.retry`); everything
    else fails at once, with the error that the stage raised.

    Parameters
    ----------
    done : callable
        Called with each stage that is done, and its result.
    runner : task runner, optional
        What runs the stages, started; that of the flow by default.
    cluster : Cluster, optional
        Where the stages run, each under one task of this process that waits for it: a task that
        Prefect runs in a worker costs half a second there. What begins and ends a run stays in this
        process, which holds the store's lock and is the one that the run is noted under.
    """

    def __init__(
        self,
        done: Callable[[Stage, Any], None] = lambda stage, result: None,
        runner: TaskRunner[Any] | None = None,
        *,
        cluster: Cluster | None = None,
    ) -> None:
        self._done = done
        self._runner = runner
        self._cluster = cluster
        self._futures: dict[PrefectFuture[Any], Stage] = {}

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Submit a stage; futures of other stages are handed on as arguments."""
        cluster = self._cluster
        if cluster is None:
            return self._submit(stage, stage.resolve(), args)
        if stage.holds_lock:
            self.finished(None)
            result = _task(stage, stage.resolve())(*args)
            self._done(stage, result)
            return result
        return self._submit(stage, lambda *args: cluster(stage, [args])[0], args)

    def spread(self, stage: Stage, run: Any, what: Any, shards: int, *args: Any) -> Any:
        """Submit a stage for every shard; on a cluster all are one task of Prefect's."""
        cluster = self._cluster
        if cluster is None or shards == 0:
            return tuple(self(stage, run, what, place, *args) for place in range(shards))

        def call(run: Any, what: Any, *args: Any) -> Any:
            return cluster(stage, [(run, what, place, *args) for place in range(shards)])

        return self._submit(stage, call, (run, what, *args))

    def _submit(self, stage: Stage, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        submitted = _task(stage, function)
        future: PrefectFuture[Any]
        if self._runner is None:
            future = submitted.submit(*args)
        else:
            parameters = get_call_parameters(submitted.fn, args, {})
            future = self._runner.submit(submitted, parameters)
        self._futures[future] = stage
        return future

    def results(self, futures: Sequence[Any]) -> list[Any]:
        """Wait for some stages, and return their results; others go on.

        Raises
        ------
        Exception
            What a stage raised, after all that was submitted has come to its end.
        """
        with _to_the_end(self._futures):
            return [self._result(future) for future in futures]

    def _result(self, submitted: Any) -> Any:
        # what `spread` returned, and not a reference, which is a named tuple
        if type(submitted) is tuple:
            return tuple(self._result(one) for one in submitted)
        if not isinstance(submitted, PrefectFuture):
            return submitted
        submitted.wait()
        if not submitted.state.is_completed():
            self.finished(None)
        return submitted.result()

    def finished(self, last: Any) -> Any:
        """Wait for every stage, so that none still writes; return the result of the last one.

        A `last` that is no future is returned as it is.

        Raises
        ------
        Exception
            What the first stage that failed raised.
        """
        futures, self._futures = self._futures, {}
        with _to_the_end(futures):
            for future in as_completed(list(futures)):
                future.wait()
                if future.state.is_completed():
                    self._done(futures[future], future.result())
        for future in futures:
            # one that waited for a stage that failed has not failed itself
            if future.state.is_failed() or future.state.is_crashed():
                future.result()
        return last.result() if isinstance(last, PrefectFuture) else last


def _task(stage: Stage, function: Callable[..., Any]) -> Any:
    # the artifacts are the cache: Prefect's own does not carry over between runs
    return task(
        name=stage.title,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(DELAYS),
        retry_delay_seconds=list(DELAYS),
        retry_jitter_factor=JITTER,
        retry_condition_fn=retry,
    )(_clean(function))


@contextmanager
def _to_the_end(futures: Iterable[PrefectFuture[Any]]) -> Iterator[None]:
    """Wait for every stage when the body is stopped.

    The caller's lock on the store must outlive what still writes.
    """
    try:
        yield
    except BaseException:
        wait(list(futures))
        raise


def _clean(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the errors of a stage's function, which Prefect logs and stores, hold no secrets."""

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            scrub_error(error)
            raise

    return run
