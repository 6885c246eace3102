"""The directed nearest neighbors of every row of a set of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.block_join import PERFECT, block_join
from assay.index.knn.exact_join import exact_join
from assay.index.knn.layout import CODES_FROM, Lists, encoded
from assay.index.threads import thread_count
from assay.index.vectors import _knn_kernels as kernels
from assay.index.vectors.checks import (
    EqualRows,
    Vectors,
    check_metric,
    check_scale,
    equal_rows,
    id_noise,
    id_order,
)
from assay.index.vectors.code_search import RecallProbe, exact_knn
from assay.index.vectors.exact import (
    RECALL_SAMPLE,
    BlockScan,
    Progress,
    Recall,
    distances_of,
    empty_lists,
    rank_candidates,
    row_squares,
)
from assay.index.vectors.mapped import ordered_rows, room_beside
from assay.storage.disk.pages import mapping, release
from assay.storage.errors import InputError
from assay.storage.limits import MOST_THREADS, NEIGHBORS, Number, Whole, check_parameters

METHODS = ("auto", "exact", "block_join", "ivf", "hnsw", "nn_descent")
EXACT_UP_TO = 2e10
EDGE_BYTES = 40
_SPREAD = 65_536


@dataclass(frozen=True)
class NearestNeighbors:
    """Neighbors int32[n, k] (padding -1) and distances float32[n, k] (padding inf), best first.

    The block join also gives its centroids and the nearest one of every row, `cells` int32[n] (-1
    for rows that are not searched).
    """

    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    centroids: Vectors | None
    report: dict[str, Any]
    cells: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Distinct:
    """The rows of X that are searched: one of each group of equal rows, in order of id.

    Attributes
    ----------
    order : int64[n]
        All rows in order of id.
    groups : EqualRows
        Of the rows in that order.
    alive : bool[groups]
        Which groups are searched: under the cosine not those of length 0.
    take : int64[m]
        The rows of X that stand for these.
    squares, noise : float64[m]
        Their squared lengths, and numbers that depend on their ids.
    k : int
        How many neighbors each can have.
    method : str
        Which is not "auto".
    limited : bool
        Whether the memory does not suffice for a copy of the vectors.
    """

    order: NDArray[np.int64]
    groups: EqualRows
    alive: NDArray[np.bool_]
    take: NDArray[np.int64]
    squares: NDArray[np.float64]
    noise: NDArray[np.float64]
    k: int
    method: str
    limited: bool


@dataclass
class Search:
    """What one method found among distinct rows, in order of id."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]
    recall: Recall
    centroids: Vectors | None = None
    rounds: int = 0
    probes: int = 0
    cells: NDArray[np.int32] | None = None


def nearest_neighbors(
    X: Vectors,
    ids: pl.Series | None = None,
    *,
    k: int = 15,
    metric: str = "cosine",
    method: str = "auto",
    target_recall: float = 0.95,
    random_state: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    scratch: str | Path | None = None,
    found: tuple[Distinct, Search] | None = None,
) -> NearestNeighbors:
    """Find the k nearest rows of every row; parameters as in `SimilarityGraph.from_vectors`.

    Rows are put in order of id and equal ones are grouped. One row of each group is searched, then
    the lists are spread to its copies. X and ids must have been checked. `found`: what was searched
    elsewhere (see `assay.index.knn.shards`).
    """
    n = len(X)
    _check(n, k, metric, method, target_recall, threads)
    if found is not None:
        return _spread_all(*found, n, k, metric, random_state)
    rows = distinct_rows(
        X, ids, k=k, metric=metric, method=method, target_recall=target_recall,
        random_state=random_state, memory_limit=memory_limit,
    )  # fmt: skip
    searched = _search(
        X,
        rows,
        metric=metric,
        target_recall=target_recall,
        random_state=random_state,
        threads=thread_count() if threads is None else threads,
        progress=progress,
        scratch=(scratch or gettempdir()) if rows.limited else None,
    )
    return _spread_all(rows, searched, n, k, metric, random_state)


def distinct_rows(
    X: Vectors,
    ids: pl.Series | None,
    *,
    k: int,
    metric: str,
    method: str,
    target_recall: float,
    random_state: int,
    memory_limit: int | None = None,
) -> Distinct:
    """Return the rows to search, and how."""
    n = len(X)
    order = id_order(ids, n)
    squares = row_squares(X)
    how = "inner products are kept in" if metric == "ip" else "method='nn_descent' compares in"
    check_scale(float(squares.max()), metric, rough=method == "nn_descent", how=how)
    groups = equal_rows(X, order, squares)
    standing = groups.first
    squares = squares[order[standing]]
    alive = squares > 0 if metric == "cosine" else np.ones(len(standing), bool)
    take = order[standing[alive]]
    noise = id_noise(ids, n, random_state)[take]
    needed = 2 * X.nbytes + EDGE_BYTES * n * k
    limited = memory_limit is not None and needed > memory_limit
    if method == "auto":
        cheap = float(len(take)) ** 2 * X.shape[1] <= EXACT_UP_TO
        method = "exact" if cheap or target_recall == 1 else "block_join"
    return Distinct(
        order, groups, alive, take, squares[alive], noise, min(k, len(take) - 1), method, limited
    )


def _spread_all(
    distinct: Distinct, search: Search, n: int, k: int, metric: str, random_state: int
) -> NearestNeighbors:
    """Return the lists of all n rows, in their order."""
    order, groups, alive = distinct.order, distinct.groups, distinct.alive
    report = {
        "method": distinct.method,
        "n": n,
        "k": k,
        "metric": metric,
        "recall": search.recall.mean,
        "recall_low": search.recall.low,
        "recall_high": search.recall.high,
        "rounds": search.rounds,
        "probes": search.probes,
        "blocks": 0 if search.centroids is None else len(search.centroids),
        "duplicates": n - len(alive),
        "zero_rows": int(np.diff(groups.starts)[~alive].sum()),
        "seed": random_state,
        "out_of_core": distinct.limited,
    }
    keys, rows = _spread(search, _own_keys(distinct.squares, metric), groups, alive, n, k)
    search.keys, search.rows = empty_lists(0, 0)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    distances = ordered_rows(keys, place, lambda part: distances_of(part, metric))
    del keys
    number = np.append(order, -1).astype(np.int32)
    neighbors = ordered_rows(rows, place, lambda part: number[part])
    del rows, place
    cells = None
    if search.cells is not None:
        cells = np.full(n, -1, np.int32)
        sizes = np.diff(groups.starts)
        cells[order[groups.members[np.repeat(alive, sizes)]]] = np.repeat(
            search.cells, sizes[alive]
        )
    return NearestNeighbors(neighbors, distances, search.centroids, report, cells)


def _search(
    X: Vectors,
    distinct: Distinct,
    *,
    metric: str,
    target_recall: float,
    random_state: int,
    threads: int,
    progress: Progress | None,
    scratch: str | Path | None,
) -> Search:
    take, k, method = distinct.take, distinct.k, distinct.method
    if k < 1:
        return Search(*empty_lists(len(take), 0), PERFECT)
    if method == "block_join":
        join = block_join(
            X,
            take,
            k,
            metric=metric,
            noise=distinct.noise,
            squares=distinct.squares,
            target_recall=target_recall,
            threads=threads,
            progress=progress,
            scratch=scratch,
        )
        return Search(
            join.keys, join.rows, join.recall, join.centroids, join.rounds, join.probes, join.cells
        )
    if method == "exact":
        return Search(*_search_exactly(X, distinct, metric, threads, progress, scratch), PERFECT)
    whole = len(take) == len(X) and bool((take[1:] > take[:-1]).all())
    searched = BlockScan(X if whole else X[take], metric)
    sample = np.argsort(distinct.noise, kind="stable")[-RECALL_SAMPLE:]
    truth = RecallProbe(searched, sample, k, threads, progress)
    if method == "nn_descent":
        # FAISS is needed for this and the indexes only
        from assay.index.knn.nn_descent import nn_descent

        keys, rows, recall, rounds = nn_descent(
            searched,
            k,
            truth=truth,
            target_recall=target_recall,
            random_state=random_state,
            threads=threads,
        )
        return Search(keys, rows, recall, rounds=rounds)
    return _search_index(searched, k, method, target_recall, truth, random_state)


def _search_exactly(
    X: Vectors,
    distinct: Distinct,
    metric: str,
    threads: int,
    progress: Progress | None,
    scratch: str | Path | None,
) -> Lists:
    """Compare all pairs: of few rows by blocks of BLAS, which needs no codes."""
    take = distinct.take
    if float(len(take)) ** 2 * X.shape[1] <= CODES_FROM:
        searched = BlockScan(X[take], metric)
        itself = np.arange(len(take))
        return exact_knn(
            searched.X, searched, distinct.k, itself=itself, threads=threads, progress=progress
        )
    return exact_join(
        encoded(X, take, distinct.squares, metric, threads=threads, scratch=scratch),
        distinct.k,
        threads=threads,
        progress=progress,
    )


def _search_index(
    searched: BlockScan,
    k: int,
    kind: str,
    target_recall: float,
    truth: RecallProbe,
    random_state: int,
) -> Search:
    from assay.index.search.vector_index import VectorIndex

    n = len(searched.X)
    index = VectorIndex(searched.metric, kind, random_state).build(searched.X)
    most = n if index.centroids is None else len(index.centroids)
    probes = min(index.default_probes(k + 1), most)
    while True:
        keys, rows = empty_lists(n, k)
        for begin in range(0, n, 16_384):
            part = slice(begin, begin + 16_384)
            _, near = index.search_keys(searched.X[part], k + 1, probes)
            near[near == np.arange(begin, begin + len(near))[:, None]] = -1
            # the index keeps normalized copies; keys are those of the vectors given
            keys[part], rows[part] = rank_candidates(
                searched.X[part], searched.X, near, k, metric=searched.metric, rank=searched.rank
            )
        recall = truth.measure(keys)
        if recall.low >= target_recall or probes == most:
            return Search(keys, rows, recall, index.centroids, 0, probes)
        probes = min(2 * probes, most)


def _spread(
    search: Search,
    own: NDArray[np.float64],
    groups: EqualRows,
    alive: NDArray[np.bool_],
    n: int,
    k: int,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the lists of all n rows, in order of id; rows that were not searched have none."""
    if len(search.keys) == n and search.keys.shape[1] == k:
        return search.keys, search.rows
    sizes = np.diff(groups.starts)
    members = groups.members[np.repeat(alive, sizes)]
    starts = np.concatenate([[0], np.cumsum(sizes[alive])])
    keys = room_beside(search.keys, (n, k), np.float64)
    rows = room_beside(search.keys, (n, k), np.int32)
    arrays = search.keys, search.rows, keys, rows
    for begin in range(0, n, _SPREAD):
        keys[begin : begin + _SPREAD], rows[begin : begin + _SPREAD] = np.inf, -1
        _release(*arrays)
    for begin in range(0, len(search.keys), _SPREAD):
        part = slice(begin, begin + _SPREAD)
        kernels.spread_to_copies(
            search.keys[part], search.rows[part], begin, own, starts, members, keys, rows
        )
        _release(*arrays)
    return keys, rows


def _release(*arrays: NDArray[Any]) -> None:
    for array in arrays:
        release(mapping(array))


def _own_keys(squares: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Return the keys between a row and its copies."""
    return (
        -squares if metric == "ip" else np.full_like(squares, -1.0 if metric == "cosine" else 0.0)
    )


def _check(
    n: int, k: int, metric: str, method: str, target_recall: float, threads: int | None
) -> None:
    check_metric(metric)
    check_parameters(
        method=(method, *METHODS),
        k=(k, NEIGHBORS),
        target_recall=(target_recall, Number("(0, 1]")),
        threads=(threads, Whole(1, MOST_THREADS), None),
    )
    if n >= 2**31:
        raise InputError(f"{n} rows are too many for one graph; the limit is 2**31 - 1.")
