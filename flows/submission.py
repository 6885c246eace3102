"""Stages as tasks of a Prefect flow run: submitted, retried, waited for, their progress shown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, as_completed, wait

from assay.flows.credentials import scrub_error
from assay.flows.retrying import DELAYS, JITTER, retry


class Submission:
    """Submits stages to the task runner of the flow run under way.

    What fails for a reason that may pass is tried again (see `assay.flows.retrying`); everything
    else fails at once, with the error that the stage raised.

    Parameters
    ----------
    done : callable
        Called with the name of each stage that is done, and what it gave.
    """

    def __init__(self, done: Callable[[str, Any], None] = lambda name, given: None) -> None:
        self._done = done
        self._futures: dict[PrefectFuture[Any], str] = {}

    def __call__(self, stage: Callable[..., Any], *args: Any) -> PrefectFuture[Any]:
        """Submit a stage; futures of other stages are handed on as arguments."""
        name = stage.__name__.replace("make_plan", "plan")
        if name in ("score", "rank"):
            name = f"{name} {args[1]}"
        # the artifacts are the cache: Prefect's own does not carry over between runs
        made = task(
            name=name,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=len(DELAYS),
            retry_delay_seconds=list(DELAYS),
            retry_jitter_factor=JITTER,
            retry_condition_fn=retry,
        )(_clean(stage))
        future: PrefectFuture[Any] = made.submit(*args)
        self._futures[future] = name
        return future

    def finished(self, last: Any) -> Any:
        """Wait for every stage, so that none still writes; return what the last one gave.

        What is no future is returned as it is.

        Raises
        ------
        Exception
            What the first stage that failed raised.
        """
        futures, self._futures = self._futures, {}
        try:
            for future in as_completed(list(futures)):
                future.wait()
                if future.state.is_completed():
                    self._done(futures[future], future.result())
        except BaseException:
            # told to stop: the caller's lock on the store must outlive what still writes
            wait(list(futures))
            raise
        for future in futures:
            # one that waited for a stage that failed has not failed itself
            if future.state.is_failed() or future.state.is_crashed():
                future.result()
        return last.result() if isinstance(last, PrefectFuture) else last


def _clean(stage: Callable[..., Any]) -> Callable[..., Any]:
    """Let the stage's errors, which Prefect logs and stores, hold no secrets."""

    @functools.wraps(stage)
    def run(*args: Any) -> Any:
        try:
            return stage(*args)
        except Exception as error:
            scrub_error(error)
            raise

    return run
