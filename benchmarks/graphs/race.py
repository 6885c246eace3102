"""Tunes every library to the same measured recall and times them side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from common.timing import Spent, timed

from assay.index.vectors.checks import Vectors
from graphs.peers import Peer, Setting, own_graph, without_itself
from graphs.vectors import K, Truth

OWN = "assay"
TARGETS = (0.95, 0.985)
_TUNED_ON = 10_000
_OWN_TARGETS = (0.9, 0.95, 0.97, 0.985)
# a graph that takes so many times the CPU time of this package isn't refined any further
_HOPELESS = 4.0


@dataclass
class Entry:
    """One method at one target: what it was set to, its recall and what each run took.

    Until `full`, the run is the whole build and the search of sampled rows, scaled up to all.
    """

    method: str
    target: float
    setting: str
    recall: float
    runs: list[Spent]
    full: bool
    again: Callable[[], Spent] = field(repr=False)

    def run(self) -> None:
        """Run it in full once more."""
        self.runs = [*(self.runs if self.full else []), self.again()]
        self.full = True

    @property
    def reached(self) -> bool:
        return self.recall >= self.target

    @property
    def cpu(self) -> float:
        return median(run.cpu for run in self.runs)

    @property
    def wall(self) -> float:
        return median(run.wall for run in self.runs)


def say(text: str) -> None:
    """Report progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def _run_own(X: Vectors, asked: float) -> Spent:
    return timed(partial(own_graph, X, K, asked))[1]


def _own(X: Vectors, truth: Truth) -> list[Entry]:
    """Run this package at rising targets of its own; keep the cheapest run that is good enough."""
    tried: list[tuple[float, float, Spent, str]] = []
    for asked in _OWN_TARGETS:
        found, spent = timed(partial(own_graph, X, K, asked))
        recall = truth.recall(found.neighbors[truth.rows])
        told = f"{found.report['method']}, target_recall={asked}"
        tried.append((asked, recall, spent, told))
        if recall >= max(TARGETS):
            break
    entries = []
    for target in TARGETS:
        enough = [run for run in tried if run[1] >= target] or tried[-1:]
        asked, recall, spent, told = min(enough, key=lambda run: run[2].cpu)
        entries.append(
            Entry(
                OWN,
                target,
                told,
                recall,
                [spent],
                True,
                partial(_run_own, X, asked),
            )
        )
    return entries


def _least_effort(
    peer: Peer, state: Any, X: Vectors, truth: Truth, target: float
) -> tuple[int, float, Spent]:
    """Return the least effort that reaches the target, or the greatest; its recall and time."""
    low, high = 0, len(peer.efforts) - 1
    known: dict[int, tuple[float, Spent]] = {}

    def measure(at: int) -> float:
        if at not in known:
            labels, spent = timed(lambda: peer.find(state, X, truth.rows, peer.efforts[at], K + 1))
            known[at] = truth.recall(without_itself(labels, truth.rows, K)), spent
        return known[at][0]

    while low < high:
        middle = (low + high) // 2
        if measure(middle) >= target:
            high = middle
        else:
            low = middle + 1
    measure(low)
    return peer.efforts[low], *known[low]


def _cheapest(peer: Peer, X: Vectors, truth: Truth, target: float, states: dict[int, Any]) -> int:
    """Return the setting whose build and search cost least on a part of the data."""
    costs = []
    for at, setting in enumerate(peer.settings):
        if at not in states:
            states[at] = timed(partial(peer.build, X, setting))
        state, built = states[at]
        _, recall, spent = _least_effort(peer, state, X, truth, target)
        cost = built.cpu + spent.cpu * len(X) / len(truth.rows)
        costs.append(cost if recall >= target else np.inf)
        if peer.efforts == (0,) and recall >= target:
            # a better graph costs more
            break
    return int(np.argmin(costs)) if np.isfinite(min(costs)) else len(peer.settings) - 1


def _run(peer: Peer, X: Vectors, setting: Setting, effort: int) -> Spent:
    """Return what it takes to build, and to search for all rows."""

    def work() -> Any:
        labels = peer.find(peer.build(X, setting), X, slice(None), effort, K + 1)
        return without_itself(labels, np.arange(len(X)), K)

    return timed(work)[1]


def _peer(peer: Peer, X: Vectors, truth: Truth, limit: float) -> list[Entry]:
    rows = np.sort(np.random.default_rng(2).permutation(len(X))[:_TUNED_ON])
    part, few = X, truth
    if len(X) > _TUNED_ON:
        part = np.ascontiguousarray(X[rows])
        few = Truth.sampled(part, 500)
    tuning: dict[int, Any] = {}
    starts = {t: _cheapest(peer, part, few, t, tuning) for t in TARGETS}
    del tuning
    entries = []
    built: dict[int, Any] = {}
    for target in TARGETS:
        for at in range(starts[target], len(peer.settings)):
            setting = peer.settings[at]
            if at not in built:
                built.clear()
                built[at] = timed(partial(peer.build, X, setting))
            state, build = built[at]
            effort, recall, spent = _least_effort(peer, state, X, truth, target)
            if recall >= target or build.cpu > limit:
                break
        told = ", ".join(f"{name} {value:g}" for name, value in setting.items())
        told += f", breadth {effort}" if effort else ""
        scale = len(X) / len(truth.rows)
        search = Spent(spent.cpu * scale, spent.wall * scale) if effort else spent
        entries.append(
            Entry(
                peer.name,
                target,
                told,
                recall,
                [build + search],
                not effort,
                partial(_run, peer, X, setting, effort),
            )
        )
    return entries


def race(
    name: str, X: Vectors, contestants: list[Peer], repeats: int, seconds: float
) -> tuple[Truth, list[Entry]]:
    """Return the truth and the entries of every method.

    This package and the best two peers at each target are run in full, in turns, `repeats` times or
    until `seconds` are over; their figures are medians.
    """
    truth = Truth.sampled(X)
    entries = _own(X, truth)
    say(f"{name}: {OWN} {entries[-1].cpu:.1f} CPU-s at {entries[-1].recall:.4f}")
    limit = _HOPELESS * max(entry.cpu for entry in entries)
    for peer in contestants:
        entries += _peer(peer, X, truth, limit)
        told = (f"{e.cpu:.1f} CPU-s at {e.recall:.4f}" for e in entries[-len(TARGETS) :])
        say(f"{name}: {peer.name} {', '.join(told)}")
    started = time.perf_counter()
    for turn in range(repeats):
        for target in TARGETS:
            ranked = sorted(
                (e for e in entries if e.target == target and e.reached), key=lambda e: e.cpu
            )
            chosen = [e for e in ranked if e.method == OWN and turn]
            chosen += [e for e in ranked if e.method != OWN][:2]
            for entry in chosen:
                if not entry.full or time.perf_counter() - started < seconds:
                    entry.run()
    return truth, entries


def best_peer(entries: list[Entry], target: float) -> Entry | None:
    """Return the peer that reaches the target with the least CPU time."""
    able = [e for e in entries if e.target == target and e.method != OWN and e.reached]
    return min(able, key=lambda e: e.cpu, default=None)


def own(entries: list[Entry], target: float) -> Entry:
    """Return this package's entry."""
    return next(e for e in entries if e.target == target and e.method == OWN)
