"""Runs killed at every boundary between two writes and at random moments, then run again."""

from __future__ import annotations

import platform
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.system.trials import SCENARIOS, Trials

RANDOM_MOMENTS = 50
_WHAT = {
    "first": "`curate`, a new store",
    "changed": "`curate`, the pool changed (5 rows gone, 10 new, 1 rewritten)",
    "features": "`features`, a new store",
    "older": "`features`, a store of schema version 1 that is migrated",
    "damaged": "`curate`, its run gone, scores and ledger damaged",
}
_TEXT = """
## Kills

{machine}. A child process runs a small real job and is killed with SIGKILL at one boundary between
two writes (before and after every write, fsync and rename), or after a random time; then the job runs
again. Compared with a store that nothing disturbed: every table (times and versions left out), every
byte of every artifact and manifest, the published file and its link, the notes of runs, temporary
files; `assay check` must find nothing, and between the kill and the next run a reader must see the old
selection or the new one. Pool: {rows} documents of the shipped example.

| run | boundaries | killed there | differences | random kills | differences |
| --- | ---: | ---: | ---: | ---: | ---: |
{table}

{total} kills in {minutes:.0f} minutes, {wrong} differences. {early} of the random kills came after the
run's end.
"""


def section(rows: int = 150) -> str:
    """Kill the runs and tell what came of it; raises where anything differs."""
    began = time.monotonic()
    wrong: list[str] = []
    counts = {name: [0, 0, 0, 0, 0] for name in SCENARIOS}
    early = 0
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), rows)
        try:
            for name, count in counts.items():
                moments = trials.undisturbed(name).moments
                count[0] = len(moments)
                for at, moment in enumerate(moments):
                    killed, found = trials.kill(name, kill_at=at)
                    count[1] += killed
                    count[2] += bool(found)
                    wrong += [f"{name}, killed at {at} ({moment}): {what}" for what in found]
                print(f"kills: {name} done", file=sys.stderr, flush=True)
            rng = random.Random(0)
            for _ in range(RANDOM_MOMENTS):
                name = rng.choice(SCENARIOS)
                after = rng.uniform(0, trials.undisturbed(name).seconds)
                killed, found = trials.kill(name, kill_after=after)
                early += not killed
                counts[name][3] += 1
                counts[name][4] += bool(found)
                wrong += [f"{name}, killed after {after:.3f} s: {what}" for what in found]
        finally:
            trials.close()
    if wrong:
        raise AssertionError("\n".join(wrong))
    if any(count[0] != count[1] for count in counts.values()):
        raise AssertionError(f"a run outlived its kill: {counts}")
    table = "\n".join(
        f"| {_WHAT[name]} | {' | '.join(map(str, count))} |" for name, count in counts.items()
    )
    return _TEXT.format(
        machine=f"2 shared cores, Python {platform.python_version()}",
        rows=rows,
        table=table,
        total=sum(count[1] + count[3] for count in counts.values()),
        minutes=(time.monotonic() - began) / 60,
        wrong=len(wrong),
        early=early,
    ).strip()
