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
from assay.storage.disk.pages import open_mapped
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
    rows : int
        That are searched.
    """

    target: Ref
    begun: Ref
    method: str
    rows: int


class SearchResult(NamedTuple):
    """The layout, its shards' visits and lists, and their recall (mean, low, high)."""

    search: Search
    laid: Ref
    visits: tuple[Ref, ...]
    parts: tuple[Ref, ...]
    recall: tuple[float, float, float]
    rounds: int


def begin(run: Run, samples: Ref, changes: Ref | None, vectors: Ref) -> Search | None:
    """Begin a search; None where the graph need not be built, or one shard holds all rows."""
    target = graphs.graph_to_build(run, samples, changes, vectors)
    if target is None:
        return None
    X = load_vectors(run, vectors)
    if shard_count(run, len(X)) < 2:
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
    return Search(target, ref, facts["method"], facts["rows"])


def assign_cells(run: Run, search: Search, place: int) -> Ref:
    """Find the cells of the rows of a shard."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        rows = shard(run, place, search.rows)
        nearest = knn_shards.cells_of_shard(folder(run, search.begun), rows, threads=_threads(run))
        np.save(out / "cells.npy", nearest)

    return _make(run, search, "cells", place, make)


def lay_out(run: Run, search: Search, vectors: Ref, cells: Sequence[Ref]) -> Ref:
    """Order the vectors by their cells, so that a shard's rows are contiguous."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        cells_of_shards = [np.load(folder(run, ref) / "cells.npy") for ref in cells]
        X, begun = load_vectors(run, vectors), folder(run, search.begun)
        with step("graph: lay out", None):
            knn_shards.lay_out(out, X, begun, cells_of_shards)

    return _make(run, search, "layout", 0, make)


def visits(run: Run, search: Search, place: int, laid: Ref, name: str, tau: float) -> Ref:
    """Find which rows of a shard visit which cells."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        rows = shard(run, place, search.rows)
        begun, layout = folder(run, search.begun), folder(run, laid)
        found = knn_shards.visits_of_shard(begun, layout, rows, tau, threads=_threads(run))
        np.save(out / "visits.npy", found)

    return _make(run, search, name, place, make)


def join(
    run: Run, search: Search, place: int, laid: Ref, name: str, visits: Sequence[Ref] = ()
) -> Ref:
    """Let the rows of a shard meet all rows, or those that the visits of all shards say."""
    from assay.index.knn import shards as knn_shards

    def make(out: Path) -> None:
        lists = knn_shards.join_shard(
            folder(run, search.begun),
            folder(run, laid),
            shard(run, place, search.rows),
            _visits(run, visits),
            threads=_threads(run),
        )
        save_all(out, **lists._asdict())

    return _make(run, search, name, place, make)


def recall(
    run: Run, search: Search, laid: Ref, visits: Sequence[Ref], parts: Sequence[Ref]
) -> tuple[float, float, float] | None:
    """Measure the recall of all lists on the sampled rows; None where all pairs were compared."""
    from assay.index.knn import shards as knn_shards

    if is_made(run, search.target):
        return (1.0, 1.0, 1.0)
    begun, there = folder(run, search.begun), folder(run, laid)
    if knn_shards.meets_nearly_all(begun, there, _visits(run, visits)):
        return None
    found = knn_shards.measure(begun, there, [_load(run, part) for part in parts])
    return found.mean, found.low, found.high


def plan(run: Run, search: Search, laid: Ref) -> Any:
    """Return what the sampled rows need; nothing where the graph is made already."""
    from assay.index.knn import shards as knn_shards
    from assay.index.knn.planning import Plan

    if is_made(run, search.target):
        return Plan(np.full((1, 1), -np.inf), 1)
    return knn_shards.plan_of(folder(run, laid))


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
            _visits(run, result.visits),
            recall=Recall(*result.recall),
            rounds=result.rounds,
            **_settings(run),
        )

    return graphs.graph(run, samples, changes, vectors, collect)


def run_search(call: Call, run: Run, search: Search, vectors: Ref) -> SearchResult:
    """Submit the search, shard by shard, and wait for it."""
    shards = shard_count(run, search.rows)
    if search.method == "exact":
        laid = call(stage.LAY_OUT, run, search, vectors, ())
        laid, parts = call.results(
            [laid, call.spread(stage.JOIN, run, search, shards, laid, "join")]
        )
        return SearchResult(search, laid, (), parts, (1.0, 1.0, 1.0), 0)
    from assay.index.knn.block_join import seek

    cells = call.spread(stage.ASSIGN_CELLS, run, search, shards)
    (laid,) = call.results([call(stage.LAY_OUT, run, search, vectors, cells)])
    (planned,) = call.results([call(stage.PLAN_SEARCH, run, search, laid)])
    steps = _Steps(call, run, search, laid)
    reached, rounds = seek(steps, planned, run.config.graph.target_recall)
    recall = (reached.mean, reached.low, reached.high)
    return SearchResult(search, laid, steps.visits, steps.parts, recall, rounds)


class _Steps:
    """The steps of a block join, each in shards."""

    def __init__(self, call: Call, run: Run, search: Search, laid: Ref) -> None:
        self._call = call
        self._args = (run, search)
        self._laid = laid
        self._shards = shard_count(run, search.rows)
        self._done = 0
        self.visits: tuple[Ref, ...] = ()
        self.parts: tuple[Ref, ...] = ()

    def join(self, tau: float) -> Any:
        from assay.index.vectors.exact import Recall

        self._done += 1
        call, args, laid = self._call, self._args, self._laid
        name = f"{self._done} visits {tau!r}"
        (self.visits,) = call.results(
            [call.spread(stage.VISITS, *args, self._shards, laid, name, tau)]
        )
        name = f"{self._done} join"
        parts = call.spread(stage.JOIN, *args, self._shards, laid, name, self.visits)
        measured = call(stage.RECALL, *args, laid, self.visits, parts)
        measured, self.parts = call.results([measured, parts])
        return None if measured is None else Recall(*measured)


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

    stored = folder(run, ref)
    return Part(*(open_mapped(stored / f"{name}.npy") for name in Part._fields))


def _visits(run: Run, visits: Sequence[Ref]) -> list[Any]:
    return [open_mapped(folder(run, ref) / "visits.npy") for ref in visits]
