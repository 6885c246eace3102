"""Runs killed at every boundary between two writes and at random moments, then run again."""

from __future__ import annotations

import platform
import random
import sys
import tempfile
from pathlib import Path

from tests.system.trials import SCENARIOS, Trials

RANDOM_MOMENTS = 50
_TEXT = """
## Kills

{machine}. A child process runs a small real job and is killed with SIGKILL at one boundary between two
writes (before and after every write, fsync and rename), or after a random time; then the job runs
again. Compared with a store that nothing disturbed: every table (times and versions left out), every
byte of every artifact and manifest, the published file and its link, the notes of runs, temporary
files. `assay check` must find nothing, and between the kill and the next run a reader must see the old
selection or the new one. Pool: {rows} documents of the shipped example.

| run | boundaries | killed there | differences | random kills | differences |
| --- | ---: | ---: | ---: | ---: | ---: |
{table}

{total} kills, {wrong} differences.
"""


class Count:
    """What came of the kills of one scenario."""

    def __init__(self) -> None:
        self.boundaries = self.there = self.wrong_there = self.random = self.wrong_random = 0


def at_every_boundary(trials: Trials, counts: dict[str, Count]) -> list[str]:
    """Kill every scenario at every boundary; return what differs."""
    wrong = []
    for name, count in counts.items():
        moments = trials.undisturbed(name).moments
        count.boundaries = len(moments)
        for at, moment in enumerate(moments):
            killed, found = trials.kill(name, kill_at=at)
            count.there += killed
            count.wrong_there += bool(found)
            wrong += [f"{name}, killed at {at} ({moment}): {what}" for what in found]
        print(f"kills: {name} done", file=sys.stderr, flush=True)
    return wrong


def at_random_moments(trials: Trials, counts: dict[str, Count], kills: int) -> list[str]:
    """Kill scenarios at random moments; what had ended by then is no kill and is tried again."""
    wrong = []
    rng, names = random.Random(0), list(SCENARIOS)
    while sum(count.random for count in counts.values()) < kills:
        name = rng.choice(names)
        after = rng.uniform(0, trials.undisturbed(name).seconds)
        killed, found = trials.kill(name, kill_after=after)
        counts[name].random += killed
        counts[name].wrong_random += bool(found)
        wrong += [f"{name}, killed after {after:.3f} s: {what}" for what in found]
    return wrong


def section(rows: int = 150) -> str:
    """Kill the runs and tell what came of it; raises where anything differs."""
    counts = {name: Count() for name in SCENARIOS}
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), rows)
        try:
            wrong = at_every_boundary(trials, counts)
            wrong += at_random_moments(trials, counts, RANDOM_MOMENTS)
        finally:
            trials.close()
    if wrong:
        raise AssertionError("\n".join(wrong))
    if any(count.boundaries != count.there for count in counts.values()):
        raise AssertionError("a run outlived its kill")
    lines = []
    for name, c in counts.items():
        cells = (c.boundaries, c.there, c.wrong_there, c.random, c.wrong_random)
        lines.append(f"| {SCENARIOS[name]} | {' | '.join(map(str, cells))} |")
    return _TEXT.format(
        machine=f"2 shared cores, Python {platform.python_version()}",
        rows=rows,
        table="\n".join(lines),
        total=sum(count.there + count.random for count in counts.values()),
        wrong=len(wrong),
    ).strip()
