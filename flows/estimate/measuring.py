"""A curation whose every stage is measured, in a process of its own.

``python -m assay.flows.estimate.measuring CONFIG.json`` prints its stages as JSON.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.flows.stages.calls import Direct
from assay.flows.stages.stage import Stage
from assay.storage.heap import give_back

_RESET = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class StageCost:
    """What one stage took.

    Attributes
    ----------
    stage : str
    cpu_seconds, seconds : float
        Of the processors, and on the clock.
    memory : int
        Most bytes resident while it ran, everything that was there before included.
    disk : int
        Bytes that it left in the store.
    """

    stage: str
    cpu_seconds: float
    seconds: float
    memory: int
    disk: int


class Meter(Direct):
    """Runs stages and notes their costs; to be given as `call` to `assay.flows.curate`.

    Where the operating system can't forget a peak (other than Linux), a stage's memory is that of
    the process so far.

    Parameters
    ----------
    store : Path
        Whose disk is measured.
    begun : StageCost, optional
        What the process took before; by default what it took until here.
    trimmed : bool, default False
        Whether memory that was freed before a stage is given back to the system before it begins, so
        that none of it is used again and the peak shows all that the stage takes.

    Attributes
    ----------
    costs : list of StageCost
        The first is what the process took until here, or until what is `begun`.
    after : list of int
        Bytes resident when each had ended.
    """

    def __init__(
        self, store: Path, begun: StageCost | None = None, *, trimmed: bool = False
    ) -> None:
        self._store = store
        self._trimmed = trimmed
        self.costs = [begun or beginning()]
        self.after = [resident_memory()]

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Run a stage, and note its cost."""
        if self._trimmed:
            give_back()
        forget_peak()
        before = stored(self._store)
        cpu, began = time.process_time(), time.monotonic()
        result = stage(*args)
        self.costs.append(
            StageCost(
                stage=stage.title,
                cpu_seconds=time.process_time() - cpu,
                seconds=time.monotonic() - began,
                memory=peak_memory(),
                disk=stored(self._store) - before,
            )
        )
        if self._trimmed:
            give_back()
        self.after.append(resident_memory())
        return result


def beginning() -> StageCost:
    """Return what this process has taken until now."""
    return StageCost("start", time.process_time(), 0.0, peak_memory(), 0)


def forget_peak() -> None:
    """Reset `peak_memory`, where the system allows it."""
    try:
        _RESET.write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Return the largest resident memory of this process in bytes, since it was last forgotten."""
    if _STATUS.exists():
        # getrusage may tell the parent's
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_memory() -> int:
    """Return the resident memory of this process in bytes; its peak where only that is told."""
    return _status("VmRSS") if _STATUS.exists() else peak_memory()


def _status(name: str) -> int:
    line = next(x for x in _STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) * 1024


def stored(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def as_share(share: float) -> Iterator[None]:
    """Let this process choose its methods as for a pool of which it sees a share of the rows."""
    from assay.selection.algorithms import cells
    from assay.selection.plan import choice as plan_choice

    searched, at_once = plan_choice.SEARCHED, cells.AT_ONCE
    # the work of standing for each other grows with the rows times the budget
    plan_choice.SEARCHED = searched * share**2
    # selectors make as many cells as the root of the rows
    cells.AT_ONCE = math.ceil(at_once * math.sqrt(share))
    try:
        yield
    finally:
        plan_choice.SEARCHED, cells.AT_ONCE = searched, at_once


def main() -> None:
    """Run the configuration that is named, and print what its stages took."""
    from assay.flows.config.curation import CurationConfig
    from assay.flows.running.runner import curate

    config = CurationConfig.build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    meter = Meter(Path(config.store))
    curate(config, call=meter)
    print(json.dumps([asdict(cost) for cost in meter.costs]))


if __name__ == "__main__":
    main()
