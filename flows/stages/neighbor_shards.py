"""The search for neighbors, in shards of the rows whose lists are put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.flows.progress import step
from assay.flows.stages import graphs, stage
from assay.flows.stages.artifacts import folder, load_vectors, make_stage
from assay.flows.stages.calls import Call
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.sharding import is_made, own_threads, save_all, shard, shard_count
from assay.storage.hashing.fingerprints import fingerprint


class Search(NamedTuple):
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


class SearchResult(NamedTuple):
    """The layout, its shards' lists, and their recall (mean, low, high)."""

    search: Search
    laid: Ref
    parts: tuple[Ref, ...]
    recall: tuple[float, float, float]
    rounds: int
    probes: int


def begin(run: Run, samples: Ref, changes: Ref | None, vectors: Ref) -> Search | None:
    """Begin a search; None where the graph need not be built, or one shard holds all rows."""
    target = graphs.graph_to_build(run, samples, changes, vectors)
    X = load_vectors(run, vectors)
    if target is None or shard_count(run, len(X)) < 2:
        return None
    from assay.index.knn import shards as knn_shards

    ref = _part(target, "begin")

    def make(out: Path) -> None:
        ids = graphs.ids_of(run, samples, vectors)
        with step("graph: begin", None):
            knn_shards.begin(out, X, ids, threads=_threads(run), **_settings(run))

    make_stage(run, stage.GRAPH, ref, make, "begin")
    facts = json.loads((folder(run, ref) / "facts.json").read_text())
    if facts["method"] not in knn_shards.METHODS or shard_count(run, facts["rows"]) < 2:
        return None
    return Search(target, ref, *(facts[name] for name in ("method", "rows", "lists", "probes")))


def assign_cells(run: Run, search: Search, place: int, vectors: Ref) -> Ref:
    """Find the nearest cells of the rows of a shard."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        rows = shard(run, place, search.rows)
        begun = folder(run, search.begun)
        X = load_vectors(run, vectors)
        met = knn_shards.cells_of_shard(X, begun, rows, threads=_threads(run))
        np.save(out / "met.npy", met)

    return _make(run, search, "cells", place, make)


def lay_out(run: Run, search: Search, vectors: Ref, cells: Sequence[Ref]) -> Ref:
    """Order the vectors by their cells, so that a shard's rows are contiguous."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        met = [np.load(folder(run, ref) / "met.npy") for ref in cells]
        X, begun = load_vectors(run, vectors), folder(run, search.begun)
        with step("graph: lay out", None):
            knn_shards.lay_out(out, X, begun, met, threads=_threads(run))

    return _make(run, search, "layout", 0, make)


def join(
    run: Run,
    search: Search,
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
            folder(run, search.begun),
            folder(run, laid),
            shard(run, place, search.rows),
            probes=probes,
            before=None if before is None else _load(run, before),
            threads=_threads(run),
        )
        save_all(out, **found._asdict())

    return _make(run, search, name, place, make)


def expand(run: Run, search: Search, place: int, laid: Ref, name: str, parts: Sequence[Ref]) -> Ref:
    """Let the rows of a shard meet the neighbors of their neighbors."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        found = knn_shards.expand_shard(
            folder(run, search.begun),
            folder(run, laid),
            shard(run, place, search.rows),
            [_load(run, part) for part in parts],
            place,
            threads=_threads(run),
        )
        save_all(out, **found._asdict())

    return _make(run, search, name, place, make)


def recall(run: Run, search: Search, laid: Ref, parts: Sequence[Ref]) -> tuple[float, float, float]:
    """Measure the recall of all lists on the sampled rows: mean, low and high."""
    from assay.index.knn import shards as knn_shards

    if is_made(run, search.target):
        return (1.0, 1.0, 1.0)
    found = knn_shards.measure(folder(run, laid), [_load(run, part) for part in parts])
    return found.mean, found.low, found.high


def graph(run: Run, samples: Ref, changes: Ref | None, vectors: Ref, result: SearchResult) -> Ref:
    """Build the similarity graph from the neighbors that the shards found."""

    def collect() -> Any:
        from assay.index.knn import shards as knn_shards
        from assay.index.vectors.exact import Recall

        return knn_shards.collect(
            load_vectors(run, vectors),
            graphs.ids_of(run, samples, vectors),
            folder(run, result.search.begun),
            folder(run, result.laid),
            [_load(run, part) for part in result.parts],
            recall=Recall(*result.recall),
            rounds=result.rounds,
            probes=result.probes,
            **_settings(run),
        )

    return graphs.graph(run, samples, changes, vectors, collect)


def run_search(call: Call, run: Run, search: Search, vectors: Ref) -> SearchResult:
    """Submit the search, shard by shard, and wait for it."""
    places = range(shard_count(run, search.rows))
    if search.method == "exact":
        laid = call(stage.LAY_OUT, run, search, vectors, ())
        parts = [call(stage.JOIN, run, search, place, laid, "join") for place in places]
        (laid,) = call.results([laid])
        return SearchResult(search, laid, tuple(call.results(parts)), (1.0, 1.0, 1.0), 0, 0)
    from assay.index.knn.block_join import seek

    cells = [call(stage.ASSIGN_CELLS, run, search, place, vectors) for place in places]
    (laid,) = call.results([call(stage.LAY_OUT, run, search, vectors, cells)])
    steps = _Steps(call, run, search, laid)
    target = run.config.graph.target_recall
    reached, rounds, probes = seek(steps, search.probes, search.lists, target)
    recall = (reached.mean, reached.low, reached.high)
    return SearchResult(search, laid, tuple(call.results(steps.parts)), recall, rounds, probes)


class _Steps:
    """The steps of a block join, each a task per shard."""

    def __init__(self, call: Call, run: Run, search: Search, laid: Ref) -> None:
        self._call = call
        self._args = (run, search)
        self._laid = laid
        self._done = 0
        self._places = range(shard_count(run, search.rows))
        self.parts: list[Any] = []

    def join(self, probes: int) -> Any:
        name = self._name(f"join {probes}")
        before = self.parts or [None] * len(self._places)
        self.parts = [
            self._call(stage.JOIN, *self._args, place, self._laid, name, probes, before[place])
            for place in self._places
        ]
        return self._measure()

    def expand(self) -> Any:
        name = self._name("expand")
        self.parts = [
            self._call(stage.EXPAND, *self._args, place, self._laid, name, self.parts)
            for place in self._places
        ]
        return self._measure()

    def _name(self, step: str) -> str:
        self._done += 1
        return f"{self._done} {step}"

    def _measure(self) -> Any:
        from assay.index.vectors.exact import Recall

        (measured,) = self._call.results(
            [self._call(stage.RECALL, *self._args, self._laid, self.parts)]
        )
        self.parts = self._call.results(self.parts)
        return Recall(*measured)


def _settings(run: Run) -> dict[str, Any]:
    from assay.index.graph.context_similarity import CANDIDATES

    config = run.config.graph
    return {
        "k": max(config.k, CANDIDATES) if config.robust else config.k,
        "metric": config.metric,
        "method": config.method,
        "target_recall": config.target_recall,
        "random_state": run.config.seed,
        "memory_limit": config.memory_limit,
    }


def _threads(run: Run) -> int:

    from assay.index.threads import thread_count

    return own_threads(run) or thread_count()


def _part(target: Ref, name: str, *parts: Any) -> Ref:
    return Ref("search_part", fingerprint(target, name, *parts))


def _make(run: Run, search: Search, name: str, place: int, make: Any) -> Ref:
    ref = _part(search.target, name, place, run.config.shard_rows)
    if is_made(run, search.target):
        return ref

    def made(out: Path) -> None:
        with step(f"graph: {name} {place + 1}", None):
            make(out)

    return make_stage(run, stage.GRAPH, ref, made, f"{name} {place + 1}")


def _load(run: Run, ref: Ref) -> Any:
    from assay.index.knn.shards import Part

    there = folder(run, ref)
    return Part(*(np.load(there / f"{name}.npy") for name in Part._fields))
