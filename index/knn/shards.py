"""The search for nearest neighbors by map and reduce: functions for whatever runs tasks.

Shards are slices of the rows that are searched, and their lists the only thing that is reduced. Which
pairs meet depends on the plan only, whatever the shard, so that the result is that of
`nearest_neighbors` to the byte. What tasks share lies in files, whose vectors are mapped.

1. `begin` finds the rows to search; for a block join it encodes them, finds the true neighbors of
   the sampled rows and trains the cells.
2. `cells_of_shard` finds the cell of each of a shard's rows (block join only).
3. `lay_out` puts vectors and codes cell by cell, and makes the plan.
4. For an exact search `join_shard`. For a block join, as `block_join.seek` says: `visits_of_shard`,
   `join_shard` with all of these visits, and `measure`, which gives the recall.
5. `collect` makes of it what `SimilarityGraph.from_vectors` takes as `found`.

Examples
--------
>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from assay.index import SimilarityGraph
>>> X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
>>> with TemporaryDirectory() as name:
...     begun, laid = Path(name) / "begun", Path(name) / "laid"
...     begun.mkdir(), laid.mkdir()
...     facts = begin(begun, X, None, k=5)
...     lay_out(laid, X, begun, [])
...     parts = [join_shard(begun, laid, slice(b, b + 100)) for b in (0, 100, 200)]
...     found = collect(X, None, begun, laid, parts, k=5)
(None, None)
>>> whole = SimilarityGraph.from_vectors(X, k=5)
>>> bool((SimilarityGraph.from_vectors(X, k=5, found=found).neighbors == whole.neighbors).all())
True
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.block_join import (
    PERFECT,
    Cut,
    by_position,
    list_width,
    means_of,
    sampled,
    training_rows,
)
from assay.index.knn.cells import Cells, Visits, find_visits, train_cells
from assay.index.knn.layout import Layout, Lists, encoded
from assay.index.knn.nearest_neighbors import Distinct, Search, distinct_rows
from assay.index.knn.planning import Plan, make_plan
from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors.checks import Vectors, as_ids, as_vectors
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.codes import Codes, empty_code_lists
from assay.index.vectors.exact import BlockScan, Recall, frozen, recall_interval, run_threads
from assay.index.vectors.mapped import is_large, joined, ordered_rows, save_array, take_rows
from assay.storage.disk.pages import mapping, new_mapped, open_mapped, release

METHODS = ("exact", "block_join")
_CELL = np.dtype([("cell", np.int32), ("own", np.float32)])
_VISIT = np.dtype([("row", np.int32), ("cell", np.int32)])


class Part(NamedTuple):
    """The lists of a shard's rows, by place in the layout."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]


def begin(folder: Path, X: Any, ids: Any, *, threads: int = 1, **settings: Any) -> dict[str, Any]:
    """Write the files that every shard needs into a folder, and return their description.

    Parameters
    ----------
    folder : Path
    X, ids
        As of `SimilarityGraph.from_vectors`.
    threads : int
    **settings
        k, metric, method, target_recall, random_state and memory_limit, likewise.

    Returns
    -------
    dict
        method ("exact", "block_join", or another that is not sharded), rows, k and metric.
    """
    X, distinct = _distinct(X, ids, **settings)
    facts = {
        "method": distinct.method,
        "rows": len(distinct.take),
        "k": distinct.k,
        "metric": settings.get("metric", "cosine"),
    }
    np.save(folder / "take.npy", distinct.take)
    if distinct.method == "block_join" and distinct.k > 0:
        scratch = gettempdir() if is_large(X) else None
        layout = encoded(
            X, distinct.take, distinct.squares, facts["metric"], threads=threads, scratch=scratch
        )
        sample = sampled(distinct.noise)
        keys, true = layout.search(sample, distinct.k, threads=threads)
        training, count = training_rows(distinct.noise, distinct.k)
        cells = train_cells(layout.codes.take(training), count, threads)
        _save_codes(folder / "codes", layout.codes)
        _save_codes(folder / "centroids", cells.centroids)
        for name, array in (
            ("squares", distinct.squares), ("sample", sample), ("true_keys", keys), ("true", true),
        ):  # fmt: skip
            np.save(folder / f"{name}.npy", array)
    (folder / "facts.json").write_text(json.dumps(facts))
    return facts


def _save_codes(folder: Path, codes: Codes) -> None:
    folder.mkdir()
    rest = {field.name: getattr(codes, field.name) for field in fields(codes)}
    save_array(folder / "codes.npy", rest.pop("codes"))
    np.savez(folder / "rest.npz", **rest)


def _load_codes(folder: Path) -> Codes:
    """Return codes that are mapped, and what belongs to them."""
    codes = frozen(open_mapped(folder / "codes.npy"))
    with np.load(folder / "rest.npz") as rest:
        facts: dict[str, Any] = dict(rest)
    facts |= {"dimension": int(facts["dimension"]), "power": float(facts["power"])}
    return Codes(codes=codes, **facts)


def _distinct(
    X: Any,
    ids: Any,
    *,
    k: int = 15,
    metric: str = "cosine",
    method: str = "auto",
    target_recall: float = 0.95,
    random_state: int = 0,
    memory_limit: int | None = None,
) -> tuple[Vectors, Distinct]:
    X = as_vectors(X, ids=ids)
    named: pl.Series | None = as_ids(ids, len(X))
    return X, distinct_rows(
        X, named, k=k, metric=metric, method=method, target_recall=target_recall,
        random_state=random_state, memory_limit=memory_limit,
    )  # fmt: skip


def _facts(begun: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((begun / "facts.json").read_text())
    return facts


def cells_of_shard(begun: Path, rows: slice, *, threads: int = 1) -> NDArray[np.void]:
    """Return the cell of some of the rows to search, and the squared distance to its centroid."""
    cells = Cells.of(_load_codes(begun / "centroids"))
    own, cell = cells.assign(_load_codes(begun / "codes").take(rows), threads)
    assigned = np.empty(len(cell), _CELL)
    assigned["cell"], assigned["own"] = cell, own
    return assigned


def lay_out(folder: Path, X: Vectors, begun: Path, assigned: Sequence[NDArray[np.void]]) -> None:
    """Write the layout into a folder; `assigned` are the shards' cells, in their order."""
    facts, take = _facts(begun), np.load(begun / "take.npy")
    room = new_mapped(folder / "X.npy", np.float32, (len(take), X.shape[1]))
    if facts["method"] == "exact":
        take_rows(X, take, room)
        room.flush()
        return
    own, cell = (np.concatenate([part[name] for part in assigned]) for name in ("own", "cell"))
    codes, cells = _load_codes(begun / "codes"), Cells.of(_load_codes(begun / "centroids"))
    sample = np.load(begun / "sample.npy")
    plan = make_plan(codes, cells, cell, own, sample, np.load(begun / "true.npy"))
    order = np.argsort(cell, kind="stable")
    take_rows(X, take[order], room)
    room.flush()
    _save_codes(folder / "codes", _reordered(codes, order))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    for name, array in (
        ("order", order),
        ("squares", np.load(begun / "squares.npy")[order]),
        ("cell", cell[order]),
        ("own", own[order]),
        ("sample", place[sample]),
        ("need", plan.need),
    ):
        np.save(folder / f"{name}.npy", array)


def _reordered(codes: Codes, order: NDArray[np.int64]) -> Codes:
    """Return codes in another order; of a large mapped file they are in a nameless file."""
    return replace(
        codes,
        codes=ordered_rows(codes.codes, order),
        facts=np.ascontiguousarray(codes.facts[:, order]),
        offsets=codes.offsets[order],
        squares=codes.squares[order],
        errors=codes.errors[order],
    )


def plan_of(laid: Path) -> Plan:
    """Return the plan of a layout."""
    return Plan(np.load(laid / "need.npy"), len(open_mapped(laid / "order.npy")))


def _cut(begun: Path, laid: Path) -> Cut:
    X = open_mapped(laid / "X.npy")
    order, squares, cell, own = (
        np.load(laid / f"{name}.npy") for name in ("order", "squares", "cell", "own")
    )
    layout = Layout(
        X, np.arange(len(order)), squares, order.astype(np.int32),
        _load_codes(laid / "codes"), _facts(begun)["metric"],
    )  # fmt: skip
    cells = Cells.of(_load_codes(begun / "centroids"))
    return Cut(layout, own, np.searchsorted(cell, np.arange(len(cells) + 1)), cells)


def visits_of_shard(
    begun: Path, laid: Path, rows: slice, tau: float, *, threads: int = 1
) -> NDArray[np.void]:
    """Return which of some of the rows laid out visit which cells."""
    cells_cut = _cut(begun, laid)
    parts = find_visits(
        cells_cut.layout.codes,
        cells_cut.own,
        cells_cut.bounds,
        cells_cut.cells,
        tau,
        rows,
        threads=threads,
    )
    visits = np.empty(sum(len(visitors) for visitors, _ in parts), _VISIT)
    place = 0
    for visitors, cells in parts:
        here = visits[place : place + len(visitors)]
        here["row"], here["cell"] = visitors, cells
        place += len(visitors)
    return visits


def join_shard(
    begun: Path,
    laid: Path,
    rows: slice,
    visits: Sequence[NDArray[np.void]] = (),
    *,
    threads: int = 1,
) -> Part:
    """Search for some of the rows laid out: everywhere, or where all shards' `visits` say."""
    facts = _facts(begun)
    which = np.arange(rows.start, rows.stop)
    if facts["method"] == "exact":
        searched = BlockScan(open_mapped(laid / "X.npy"), facts["metric"])
        exact = exact_knn(searched.X[rows], searched, facts["k"], itself=which, threads=threads)
        return Part(*exact)
    cells_cut = _cut(begun, laid)
    k, layout = facts["k"], cells_cut.layout
    if cells_cut.meets_nearly_all(_counted(visits, len(cells_cut.cells))):
        return Part(*layout.search(which, k, threads=threads))
    together = _concerning(visits, rows, cells_cut)
    limits, keys, found_rows = empty_code_lists(len(which), list_width(len(layout), k))
    ends = np.linspace(rows.start, rows.stop, threads + 1).astype(np.int64)
    lists: list[Lists] = [(np.empty((0, k)), np.empty((0, k), np.int32))] * threads

    def work(at: int) -> None:
        begin, end = int(ends[at]), int(ends[at + 1])
        here = slice(begin - rows.start, end - rows.start)
        mine = limits[here], keys[here], found_rows[here]
        kernels.meet_slice(
            *layout.codes.scanned(),
            cells_cut.bounds,
            together.starts,
            together.rows,
            begin,
            end,
            *mine,
        )
        lists[at] = layout.finish(
            np.arange(begin, end),
            mine[0],
            mine[2],
            k,
            cells_cut.bounds,
            together,
            slice(begin, end),
        )

    run_threads(work, range(threads), threads)
    return Part(*(np.concatenate([part[i] for part in lists]) for i in (0, 1)))


def meets_nearly_all(begun: Path, laid: Path, visits: Sequence[NDArray[np.void]]) -> bool:
    """Return whether all pairs are compared, so that the lists of `join_shard` are exact."""
    cells_cut = _cut(begun, laid)
    return cells_cut.meets_nearly_all(_counted(visits, len(cells_cut.cells)))


def _counted(visits: Sequence[NDArray[np.void]], cells: int) -> Visits:
    """Return how many visits each cell has, without who they are by."""
    counts = np.zeros(cells, np.int64)
    for part in visits:
        counts += np.bincount(part["cell"], minlength=cells)
        release(mapping(part))
    return Visits(np.concatenate([[0], np.cumsum(counts)]), np.empty(0, np.int32))


def _concerning(visits: Sequence[NDArray[np.void]], rows: slice, cells_cut: Cut) -> Visits:
    """Return the visits by some of the rows laid out, and those to their cells."""
    bounds = cells_cut.bounds
    low = int(np.searchsorted(bounds, rows.start, side="right")) - 1
    high = int(np.searchsorted(bounds, rows.stop, side="left"))
    parts = []
    for part in visits:
        row, cell = part["row"], part["cell"]
        own = (row >= rows.start) & (row < rows.stop)
        which = own | ((cell >= low) & (cell < high))
        parts.append((row[which], cell[which]))
        release(mapping(part))
    return Visits.of(parts, len(cells_cut.cells))


def measure(begun: Path, laid: Path, parts: Sequence[Part]) -> Recall:
    """Return the recall of the lists of all rows, the shards in their order."""
    sample, true = np.load(laid / "sample.npy"), np.load(begun / "true_keys.npy")[:, -1:]
    worst = true + 1e-12 * np.abs(true)
    bounds = np.cumsum([0, *(len(part.keys) for part in parts)])
    listed = np.empty((len(sample), parts[0].keys.shape[1]))
    for part, first in zip(parts, bounds, strict=False):
        here = np.flatnonzero((sample >= first) & (sample < first + len(part.keys)))
        listed[here] = part.keys[sample[here] - first]
    return recall_interval((listed <= worst).mean(axis=1), int(bounds[-1]))


def collect(
    X: Any,
    ids: Any,
    begun: Path,
    laid: Path,
    parts: Sequence[Part],
    visits: Sequence[NDArray[np.void]] = (),
    *,
    recall: Recall = PERFECT,
    rounds: int = 0,
    **settings: Any,
) -> tuple[Distinct, Search]:
    """Return the neighbors that the shards found; `settings` as for `begin`."""
    _, distinct = _distinct(X, ids, **settings)
    lists = joined([part.keys for part in parts]), joined([part.rows for part in parts])
    if _facts(begun)["method"] == "exact":
        return distinct, Search(*lists, recall)
    cells_cut = _cut(begun, laid)
    order = np.load(laid / "order.npy")
    keys, rows = by_position(lists, order)
    cell = np.empty(len(order), np.int32)
    cell[order] = np.load(laid / "cell.npy")
    together = _counted(visits, len(cells_cut.cells))
    probes = cells_cut.probes(together) if rounds else len(cells_cut.cells)
    return distinct, Search(keys, rows, recall, means_of(cells_cut), rounds, probes, cell)
