"""New rows in lists of nearest neighbors, and rows taken out, at a cost that follows those rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.cell_meeting import CellMeeting
from assay.index.knn.nearest_neighbors import EXACT_UP_TO, NearestNeighbors
from assay.index.knn.updatable_lists import NeighborLists, Rows
from assay.index.threads import thread_count
from assay.index.vectors.centroids import SAMPLES_PER_LIST, assign, list_count, train_centroids
from assay.index.vectors.checks import Vectors, id_noise
from assay.storage.hashing.rows import first_rows

_OLD_BLOCK = 4_096
# rows of the nearest cells that a new row meets, where the graph does not say how many it took
_COMPARED = 4_000
# new rows meet so many times as many cells, since the rows of those do not come to meet them
_ONE_SIDED = 3


def insert_rows(
    X: Vectors,
    ids: pl.Series | None,
    before: NearestNeighbors,
    known: Rows,
    *,
    metric: str,
    threads: int | None = None,
    measured: bool = False,
) -> NearestNeighbors:
    """Return the lists of all rows of X, of which the rows `known`, in turn, have the lists `before`.

    Where m new rows among n can be compared with all in n m d <= 2e10 steps (1e9 where the lists are
    not exact), they are, and lists that were exact stay so. Otherwise each new row meets, by codes,
    the rows of three times as many of its nearest cells as a row met when the graph was built (where
    rows of other cells came to meet it, too), and both sides of a pair may list the other. Equal rows
    are compared once. With `measured` the report holds `built_recall`: what it held before, else the
    recall of `before`, as `measured_recall` returns it.
    """
    threads = threads or thread_count()
    new = np.ones(len(X), bool)
    new[known] = False
    k = before.neighbors.shape[1]
    neighbors = np.full((len(X), k), -1, np.int32)
    distances = np.full((len(X), k), np.inf, np.float32)
    neighbors[known] = np.append(known, -1).astype(np.int32)[before.neighbors]
    distances[known] = before.distances
    lists = NeighborLists(X, neighbors, distances, metric, ids, threads, new=new)
    noise = id_noise(ids, len(X), before.report.get("seed", 0))
    report = _measured(lists, before.report, noise) if measured else before.report
    centroids, cells = before.centroids, None
    exact = float(new.sum()) * len(X) * X.shape[1] <= _exact_up_to(before)
    if before.cells is not None:
        cells = np.full(len(X), -1, np.int32)
        cells[known] = before.cells
    if exact:
        _compare_all(lists, new)
        if centroids is not None and cells is not None:
            added = np.flatnonzero(new & lists.listed)
            cells[added] = assign(X, centroids, metric, 1, take=added, threads=threads)[:, 0]
    else:
        if centroids is None or cells is None:
            centroids, cells = _cells(lists, ~new, noise)
        _meet_cells(lists, new, centroids, cells, _probes(before, centroids))
    return _finish(lists, report, exact, np.ones(len(X), bool), noise, centroids, cells)


def remove_rows(
    X: Vectors,
    ids: pl.Series | None,
    before: NearestNeighbors,
    gone: NDArray[np.bool_],
    *,
    metric: str,
    threads: int | None = None,
    measured: bool = False,
) -> NearestNeighbors:
    """Return the lists of the rows that are not `gone`, renumbered.

    Rows that listed one of them are searched again: among all rows where that takes at most 2e10
    steps (1e9 where the lists are not exact), and otherwise by codes in as many of their nearest
    cells as a row met when the graph was built. `measured` is as for `insert_rows`.
    """
    threads = threads or thread_count()
    lists = NeighborLists(
        X, before.neighbors.copy(), before.distances.copy(), metric, ids, threads, gone
    )
    noise = id_noise(ids, len(X), before.report.get("seed", 0))
    report = _measured(lists, before.report, noise) if measured else before.report
    holes = np.flatnonzero((gone[lists.rows] & (lists.rows >= 0)).any(axis=1) & lists.listed)
    centroids, cells = before.centroids, before.cells
    exact = float(len(holes)) * len(X) * X.shape[1] <= _exact_up_to(before)
    if exact:
        lists.enter(holes, *lists.search(holes))
    else:
        if centroids is None or cells is None:
            centroids, cells = _cells(lists, np.ones(len(X), bool), noise)
        _refill(lists, holes, gone, centroids, cells, _probes(before, centroids))
    lists.changed &= ~gone
    updated = _finish(lists, report, exact, ~gone, noise, centroids, cells)
    number = np.append(np.cumsum(~gone) - 1, -1).astype(np.int32)
    return replace(
        updated,
        neighbors=number[updated.neighbors[~gone]],
        distances=updated.distances[~gone],
        cells=None if updated.cells is None else updated.cells[~gone],
    )


def measured_recall(
    X: Vectors,
    ids: pl.Series | None,
    lists: NearestNeighbors,
    *,
    metric: str,
    threads: int | None = None,
) -> float:
    """Return the recall of lists of all rows of X, on the rows on which updates measure theirs."""
    if lists.report.get("method") == "exact":
        return 1.0
    threads = threads or thread_count()
    # they are not written to
    held = NeighborLists(X, lists.neighbors, lists.distances, metric, ids, threads)
    return held.recall(id_noise(ids, len(X), lists.report.get("seed", 0))).mean


def _measured(
    lists: NeighborLists, report: dict[str, Any], noise: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the report with the recall that known rows had before the first update."""
    if "built_recall" in report:
        return report
    exact = report.get("method") == "exact"
    return report | {"built_recall": 1.0 if exact else lists.recall(noise, lists.known).mean}


def _exact_up_to(before: NearestNeighbors) -> float:
    """Return how many steps may be taken to compare with all rows: fewer where lists are not exact."""
    return EXACT_UP_TO if before.report.get("method") == "exact" else EXACT_UP_TO / 20


def _finish(
    lists: NeighborLists,
    report: dict[str, Any],
    exact: bool,
    kept: NDArray[np.bool_],
    noise: NDArray[np.float64],
    centroids: Vectors | None,
    cells: NDArray[np.int32] | None,
) -> NearestNeighbors:
    if exact and report.get("method") == "exact":
        mean = low = high = 1.0
    else:
        recall = lists.recall(noise)
        mean, low, high = recall.mean, recall.low, recall.high
    counts = {
        "method": report.get("method") if exact else "block_join",
        "recall": mean,
        "recall_low": low,
        "recall_high": high,
        "blocks": 0 if centroids is None else len(centroids),
        "duplicates": int((np.bincount(lists.group[kept]) - 1).clip(0).sum()),
        "zero_rows": int((kept & ~lists.listed).sum()),
        "touched": int(lists.changed.sum()),
    }
    return NearestNeighbors(lists.rows, lists.distances, centroids, report | counts, cells)


def _compare_all(lists: NeighborLists, new: NDArray[np.bool_]) -> None:
    """Search the new rows exactly, and offer them to all others."""
    old, added = np.flatnonzero(lists.listed & ~new), np.flatnonzero(lists.listed & new)
    if not len(added):
        return
    lists.enter(added, *lists.search(added))
    parts = [old[b : b + _OLD_BLOCK] for b in range(0, len(old), _OLD_BLOCK)]
    lists.offer([(part, added) for part in parts])


def _probes(before: NearestNeighbors, centroids: Vectors) -> int:
    """Return as many cells as the graph's rows met when it was built."""
    usual = _COMPARED * len(centroids) // len(before.neighbors)
    return min(max(4, int(before.report.get("probes", 0)) or usual), len(centroids))


def _cells(
    lists: NeighborLists, known: NDArray[np.bool_], noise: NDArray[np.float64]
) -> tuple[Vectors, NDArray[np.int32]]:
    """Train centroids on the known rows and return the nearest one of each of them."""
    X, metric = lists.searched.X, lists.searched.metric
    take = np.flatnonzero(lists.listed & known)
    count = list_count(len(take), lists.k)
    training = take[first_rows(noise[take], count * SAMPLES_PER_LIST)]
    centroids = train_centroids(X[training], count, metric, threads=lists.threads)
    cells = np.full(len(X), -1, np.int32)
    cells[take] = assign(X, centroids, metric, 1, take=take, threads=lists.threads)[:, 0]
    return centroids, cells


def _meet_cells(
    lists: NeighborLists,
    new: NDArray[np.bool_],
    centroids: Vectors,
    cells: NDArray[np.int32],
    probes: int,
) -> None:
    """Let the new rows meet the rows of their nearest cells, for both sides."""
    stands = _representatives(lists, ~new)
    standing = _some(len(stands), stands[lists.listed])
    fresh = standing[new[standing]]
    met = _nearest_cells(lists, fresh, centroids, min(_ONE_SIDED * probes, len(centroids)))
    cells[fresh] = met[:, 0]
    added = np.flatnonzero(new & lists.listed)
    cells[added] = cells[stands[added]]
    CellMeeting(lists, standing, cells, len(centroids)).meet(fresh, met, both=True)
    _share_with_copies(lists, new, stands, fresh)


def _nearest_cells(
    lists: NeighborLists, which: NDArray[np.int64], centroids: Vectors, probes: int
) -> NDArray[np.int32]:
    X, metric = lists.searched.X, lists.searched.metric
    return assign(X, centroids, metric, probes, take=which, threads=lists.threads)


def _some(n: int, *rows: Rows) -> NDArray[np.int64]:
    """Return the rows of n that are named, ascending."""
    named = np.zeros(n, bool)
    for part in rows:
        named[part] = True
    return np.flatnonzero(named)


def _representatives(lists: NeighborLists, before: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for every row the equal row that stands for it: the first, those `before` first."""
    backwards = lists.order[::-1]
    first = np.empty(len(backwards), np.int64)
    # where a group is written to several times, what is written last stays
    for rows in (backwards, backwards[before[backwards]]):
        first[lists.group[rows]] = rows
    return first[lists.group]


def _share_with_copies(
    lists: NeighborLists, new: NDArray[np.bool_], stands: NDArray[np.int64], fresh: Rows
) -> None:
    """Enter the copies of rows that were compared, and give their lists to copies."""
    added = stands[new & lists.listed]
    old = np.flatnonzero(lists.changed & ~new)
    gained = added[~new[added]]
    among = lists.rows[old]
    crowd = lists.crowded[among] & new[among] & (among >= 0)
    changed = old[lists.crowded[old] | crowd.any(axis=1)]
    among = lists.rows[fresh]
    mixed = fresh[lists.crowded[fresh] | (lists.crowded[among] & (among >= 0)).any(axis=1)]
    which = lists.copies(np.concatenate([gained, changed, mixed]))
    sources = np.column_stack([lists.rows[stands[which]], lists.rows[which], which])
    lists.enter_with_copies(which, sources)


def _refill(
    lists: NeighborLists,
    holes: NDArray[np.int64],
    gone: NDArray[np.bool_],
    centroids: Vectors,
    cells: NDArray[np.int32],
    probes: int,
) -> None:
    before = lists.rows[holes]
    lists.leave_out(holes, gone)
    stands = _representatives(lists, lists.listed)[lists.listed]
    members = _some(len(gone), stands, holes)
    met = _nearest_cells(lists, holes, centroids, probes)
    CellMeeting(lists, members, cells, len(centroids)).meet(holes, met)
    sources = np.column_stack([before, lists.rows[holes], holes])
    mixed = (lists.crowded[sources] & (sources >= 0)).any(axis=1)
    lists.enter_with_copies(holes[mixed], sources[mixed])
    short = holes[lists.rows[holes, -1] < 0]
    lists.enter(short, *lists.search(short))
