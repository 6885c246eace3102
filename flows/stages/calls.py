"""How the stages of a run are called: one after the other here, or submitted to workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from assay.flows.stages.stage import Stage


class Call(Protocol):
    """Runs stages, or submits them and returns futures."""

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Run or submit a stage; futures of other stages may be among its arguments."""

    def spread(self, stage: Stage, run: Any, what: Any, shards: int, *args: Any) -> Any:
        """Run or submit `stage(run, what, place, *args)` for every shard, by its place.

        What is returned is a tuple, or a future of one, or holds futures; `results` takes each.
        """

    def results(self, submitted: Sequence[Any]) -> list[Any]:
        """Wait for some stages, and return their results; others go on."""

    def finished(self, last: Any) -> Any:
        """Wait for every stage, and return the result of the last one."""


class Direct:
    """Runs each stage at once, in this thread."""

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Run a stage."""
        return stage(*args)

    def spread(self, stage: Stage, run: Any, what: Any, shards: int, *args: Any) -> Any:
        """Run a stage for every shard, one after the other."""
        return tuple(self(stage, run, what, place, *args) for place in range(shards))

    def results(self, submitted: Sequence[Any]) -> list[Any]:
        """Return the results, which are ready."""
        return list(submitted)

    def finished(self, last: Any) -> Any:
        """Return the result of the last stage."""
        return last


directly = Direct()
