"""The search for neighbours, spread: shards of the rows are searched, and their lists put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.flows.progress import step
from assay.flows.stages import graphs
from assay.flows.stages.artifacts import folder, load_vectors, make_stage
from assay.flows.stages.plan import Plan
from assay.flows.stages.refs import Ref
from assay.flows.stages.sharding import is_made, own_threads, save_all, shard, shard_count
from assay.storage.hashing.fingerprints import fingerprint


class Seeking(NamedTuple):
    """A search that is cut into shards.

    Attributes
    ----------
    target : Ref
        The graph that it is for.
    begun : Ref
        What every shard needs.
    method : {"exact", "block_join"}
    rows, lists, probes : int
        Rows that are searched, cells, and how many of them each row meets at first.
    """

    target: Ref
    begun: Ref
    method: str
    rows: int
    lists: int
    probes: int


class Sought(NamedTuple):
    """What was found: the layout, its shards' lists, and how good they are (mean, low, high)."""

    seeking: Seeking
    laid: Ref
    parts: tuple[Ref, ...]
    recall: tuple[float, float, float]
    rounds: int
    probes: int


def begin(plan: Plan, samples: Ref, changes: Ref | None, vectors: Ref) -> Seeking | None:
    """Begin a search; None where the graph need not be built, or one shard holds all rows."""
    target = graphs.graph_to_build(plan, samples, changes, vectors)
    X = load_vectors(plan, vectors)
    if target is None or shard_count(plan, len(X)) < 2:
        return None
    from assay.index.knn import shards as knn_shards

    ref = _part(target, "begin")

    def make(out: Path) -> None:
        ids = graphs.ids_of(plan, samples)
        with step("graph: begin", None):
            knn_shards.begin(out, X, ids, threads=_threads(plan), **_settings(plan))

    make_stage(plan, "graph", ref, make, "begin")
    facts = json.loads((folder(plan, ref) / "facts.json").read_text())
    if facts["method"] not in knn_shards.METHODS or shard_count(plan, facts["rows"]) < 2:
        return None
    told = (facts[name] for name in ("method", "rows", "lists", "probes"))
    return Seeking(target, ref, *told)


def assign_cells(plan: Plan, seeking: Seeking, place: int, vectors: Ref) -> Ref:
    """Find the nearest cells of the rows of a shard."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        rows = shard(plan, place, seeking.rows)
        begun = folder(plan, seeking.begun)
        X = load_vectors(plan, vectors)
        met = knn_shards.cells_of_shard(X, begun, rows, threads=_threads(plan))
        np.save(out / "met.npy", met)

    return _make(plan, seeking, "cells", place, make)


def lay_out(plan: Plan, seeking: Seeking, vectors: Ref, cells: Sequence[Ref]) -> Ref:
    """Lay the vectors out by their cells, so that a shard's rows lie together."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        met = [np.load(folder(plan, ref) / "met.npy") for ref in cells]
        X, begun = load_vectors(plan, vectors), folder(plan, seeking.begun)
        with step("graph: lay out", None):
            knn_shards.lay_out(out, X, begun, met, threads=_threads(plan))

    return _make(plan, seeking, "layout", 0, make)


def join(
    plan: Plan,
    seeking: Seeking,
    place: int,
    laid: Ref,
    name: str,
    probes: int = 0,
    before: Ref | None = None,
) -> Ref:
    """Let the rows of a shard meet all rows, or those of their nearest cells."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        found = knn_shards.join_shard(
            folder(plan, seeking.begun),
            folder(plan, laid),
            shard(plan, place, seeking.rows),
            probes=probes,
            before=None if before is None else _load(plan, before),
            threads=_threads(plan),
        )
        save_all(out, **found._asdict())

    return _make(plan, seeking, name, place, make)


def expand(
    plan: Plan, seeking: Seeking, place: int, laid: Ref, name: str, parts: Sequence[Ref]
) -> Ref:
    """Let the rows of a shard meet the neighbours of their neighbours."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        found = knn_shards.expand_shard(
            folder(plan, seeking.begun),
            folder(plan, laid),
            shard(plan, place, seeking.rows),
            [_load(plan, part) for part in parts],
            place,
            threads=_threads(plan),
        )
        save_all(out, **found._asdict())

    return _make(plan, seeking, name, place, make)


def recall(
    plan: Plan, seeking: Seeking, laid: Ref, parts: Sequence[Ref]
) -> tuple[float, float, float]:
    """Measure the recall of all lists on the sampled rows: mean, low and high."""
    from assay.index.knn import shards as knn_shards

    if is_made(plan, seeking.target):
        return (1.0, 1.0, 1.0)
    found = knn_shards.measure(folder(plan, laid), [_load(plan, part) for part in parts])
    return found.mean, found.low, found.high


def graph(plan: Plan, samples: Ref, changes: Ref | None, vectors: Ref, sought: Sought) -> Ref:
    """Make the similarity graph of what the shards found."""

    def collect() -> Any:
        from assay.index.knn import shards as knn_shards
        from assay.index.vectors.exact import Recall

        return knn_shards.collect(
            load_vectors(plan, vectors),
            graphs.ids_of(plan, samples),
            folder(plan, sought.seeking.begun),
            folder(plan, sought.laid),
            [_load(plan, part) for part in sought.parts],
            recall=Recall(*sought.recall),
            rounds=sought.rounds,
            probes=sought.probes,
            **_settings(plan),
        )

    return graphs.graph(plan, samples, changes, vectors, collect)


def seek(call: Any, wait: Any, plan: Plan, seeking: Seeking, vectors: Ref) -> Sought:
    """Submit the search, shard by shard, and wait for it.

    `wait(futures)` returns what stages gave that `call` submitted.
    """
    places = range(shard_count(plan, seeking.rows))
    if seeking.method == "exact":
        laid = call(lay_out, plan, seeking, vectors, ())
        parts = [call(join, plan, seeking, place, laid, "join") for place in places]
        (laid,) = wait([laid])
        return Sought(seeking, laid, tuple(wait(parts)), (1.0, 1.0, 1.0), 0, 0)
    from assay.index.knn.block_join import seek as seek_with

    cells = [call(assign_cells, plan, seeking, place, vectors) for place in places]
    (laid,) = wait([call(lay_out, plan, seeking, vectors, cells)])
    steps = _Steps(call, wait, plan, seeking, laid)
    target = plan.config.graph.target_recall
    found, rounds, probes = seek_with(steps, seeking.probes, seeking.lists, target)
    measured = (found.mean, found.low, found.high)
    return Sought(seeking, laid, tuple(wait(steps.parts)), measured, rounds, probes)


class _Steps:
    """The steps of a block join, each a task per shard."""

    def __init__(self, call: Any, wait: Any, plan: Plan, seeking: Seeking, laid: Ref) -> None:
        self._call, self._wait = call, wait
        self._args = (plan, seeking)
        self._laid = laid
        self._done = 0
        self._places = range(shard_count(plan, seeking.rows))
        self.parts: list[Any] = []

    def join(self, probes: int) -> Any:
        name = self._name(f"join {probes}")
        before = self.parts or [None] * len(self._places)
        self.parts = [
            self._call(join, *self._args, place, self._laid, name, probes, before[place])
            for place in self._places
        ]
        return self._measure()

    def expand(self) -> Any:
        name = self._name("expand")
        self.parts = [
            self._call(expand, *self._args, place, self._laid, name, self.parts)
            for place in self._places
        ]
        return self._measure()

    def _name(self, step: str) -> str:
        self._done += 1
        return f"{self._done} {step}"

    def _measure(self) -> Any:
        from assay.index.vectors.exact import Recall

        (found,) = self._wait([self._call(recall, *self._args, self._laid, self.parts)])
        self.parts = self._wait(self.parts)
        return Recall(*found)


def _settings(plan: Plan) -> dict[str, Any]:
    from assay.index.graph.context_similarity import CANDIDATES

    config = plan.config.graph
    return {
        "k": max(config.k, CANDIDATES) if config.robust else config.k,
        "metric": config.metric,
        "method": config.method,
        "target_recall": config.target_recall,
        "random_state": plan.config.seed,
        "memory_limit": config.memory_limit,
    }


def _threads(plan: Plan) -> int:
    from assay.index.vectors.exact import available_threads

    return own_threads(plan) or available_threads()


def _part(target: Ref, name: str, *parts: Any) -> Ref:
    return Ref("search_part", fingerprint(target, name, *parts))


def _make(plan: Plan, seeking: Seeking, name: str, place: int, make: Any) -> Ref:
    ref = _part(seeking.target, name, place, plan.config.shard_rows)
    if is_made(plan, seeking.target):
        return ref

    def made(out: Path) -> None:
        with step(f"graph: {name} {place + 1}", None):
            make(out)

    return make_stage(plan, "graph", ref, made, f"{name} {place + 1}")


def _load(plan: Plan, ref: Ref) -> Any:
    from assay.index.knn.shards import Part

    there = folder(plan, ref)
    return Part(*(np.load(there / f"{name}.npy") for name in Part._fields))
