"""A curation whose every stage is measured, in a process of its own.

``python -m assay.flows.estimate.measuring CONFIG.json [SHARE]`` prints its stages as JSON. SHARE says what part
of a larger pool the configuration's is: what is chosen by size is chosen as for the whole.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.flows.stages.calls import Direct
from assay.flows.stages.stage import Stage

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

    Attributes
    ----------
    costs : list of StageCost
        The first is what the process took until here.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._clock = time.monotonic(), time.process_time()
        self.costs = [StageCost("start", time.process_time(), 0.0, peak_memory(), 0)]

    def __call__(self, stage: Stage, *args: Any) -> Any:
        """Run a stage, and note its cost."""
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
        return result


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
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def stored(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def as_share(share: float) -> None:
    """Let this process choose its methods as for a pool of which it sees a share of the rows."""
    from assay.selection.plan import choice as plan_choice

    # the work of standing for each other grows with the rows times the budget
    plan_choice.SEARCHED *= share**2


def main() -> None:
    """Run the configuration that is named, and print what its stages took."""
    from assay.flows.config.curation import CurationConfig
    from assay.flows.running.runner import curate

    config = CurationConfig.build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    meter = Meter(Path(config.store))
    if len(sys.argv) > 2:
        as_share(float(sys.argv[2]))
    curate(config, call=meter)
    print(json.dumps([asdict(cost) for cost in meter.costs]))


if __name__ == "__main__":
    main()
