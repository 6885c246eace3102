"""Exact k-nearest-neighbor search by BLAS blocks and a fused top-k, and recall."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.index.vectors import _knn_kernels as kernels
from assay.index.vectors.checks import Vectors
from assay.index.vectors.mapped import is_large, ordered_rows, take_rows
from assay.storage.disk.pages import mapping, release

Progress = Callable[[str, int, int], None]

QUERY_BLOCK = 1_024
COLUMN_BLOCK = 1_024
RECALL_SAMPLE = 1_000
_PART = 65_536
_ROUNDING = 2.0**-24


# the limit on BLAS is one for the whole process, and the last to restore it would win
_one_at_a_time = RLock()


@contextmanager
def single_threaded_workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that have one BLAS thread each; contexts of several callers take turns."""
    with _one_at_a_time, one_thread("blas"), ThreadPoolExecutor(threads) as pool:
        yield pool


def run_threads(
    work: Callable[[Any], None],
    items: Iterable[Any],
    threads: int,
    stage: str = "",
    progress: Progress | None = None,
) -> None:
    """Call `work` on every item in `threads` threads, each with one BLAS thread.

    The items must not write to the same places; then neither their order nor `threads` can change
    the result. Calls from several threads take turns.
    """
    items = list(items)
    with single_threaded_workers(threads) as pool:
        run = pool.map if min(threads, len(items)) > 1 else map
        for done, _ in enumerate(run(work, items), 1):
            if progress is not None:
                progress(stage, done, len(items))


def run_alone(work: Callable[[Any], None], items: Iterable[Any], threads: int) -> None:
    """Call `work`, which uses no BLAS, on every item: by `run_threads`, or with one thread here.

    With one thread it may be called from within `run_threads`.
    """
    if threads > 1:
        run_threads(work, items, threads)
    else:
        for item in items:
            work(item)


def frozen(rows: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view, so that kernels are compiled for one kind of array only."""
    view = np.asarray(rows).view()
    view.flags.writeable = False
    return view


def row_squares(X: Vectors) -> NDArray[np.float64]:
    """Return the squared length of every row; a mapped file is read in parts."""
    mapped = mapping(X)
    if mapped is None:
        return np.asarray(kernels.squared_norms(frozen(X)))
    squares = np.empty(len(X))
    for begin in range(0, len(X), _PART):
        squares[begin : begin + _PART] = kernels.squared_norms(frozen(X[begin : begin + _PART]))
        release(mapped)
    return squares


def unit_rows(X: Vectors, order: NDArray[np.int64] | None = None) -> Vectors:
    """Return the rows scaled to length 1, in an order of all of them if given; zero rows stay."""
    if order is None:
        if not is_large(X):
            return np.asarray(kernels.unit(frozen(X)))
        order = np.arange(len(X))
    return ordered_rows(X, order, unit_rows)


def empty_lists(n: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return lists of neighbors without any neighbor: keys (inf) and rows (-1)."""
    return np.full((n, k), np.inf), np.full((n, k), -1, np.int32)


def distances_of(keys: NDArray[np.float64], metric: str) -> NDArray[np.float32]:
    """Convert keys to distances."""
    if metric == "l2":
        return np.sqrt(keys).astype(np.float32)
    if metric == "cosine":
        return np.maximum(1.0 + keys, 0.0).astype(np.float32)
    return keys.astype(np.float32)


class BlockScan:
    """The rows that are searched, and the scan of blocks of them for blocks of queries.

    A block of approximate keys is one matrix product in float32, on coordinates that are centered
    (l2), of unit length (cosine) or as they are (ip), and scaled by a power of two against overflow.
    With u = 2**-24 and S = |q| + max |x| (l2) or S**2 = |q| max |x| (cosine, ip) its error is below
    (2 d + 16) u S**2. Every pair that is within that bound of a query's k-th best key is computed
    again in float64, so the result is exact and doesn't depend on BLAS.

    Parameters
    ----------
    X : float32[n, d]
        C-contiguous and finite.
    metric : {'l2', 'cosine', 'ip'}
    rank : int32[n], optional
        Order in which rows with equal keys are listed (default: by position).
    """

    def __init__(self, X: Vectors, metric: str, rank: NDArray[np.int32] | None = None) -> None:
        self.X = frozen(X)
        self.metric = metric
        self.code = kernels.METRICS[metric]
        self.rank = np.arange(len(X), dtype=np.int32) if rank is None else rank
        self.squares = row_squares(X)
        self.mapped = mapping(X)
        # the same rows as codes, once they are needed
        self.coded: Any = None
        d = X.shape[1]
        self._bound = (2 * d + 16) * _ROUNDING
        self._center = np.zeros(d, np.float32)
        self._scale = np.float32(1.0)
        if metric == "l2":
            step = max(1, len(X) // 65_536)
            some = take_rows(X, np.arange(0, len(X), step))
            self._center = some.mean(axis=0, dtype=np.float64).astype(np.float32)
        if metric != "cosine":
            # wide enough for the centered rows too
            largest = 2 * float(np.sqrt(self.squares.max(initial=0.0)))
            exponent = np.ceil(np.log2(largest)) if largest > 0 else 0.0
            self._scale = np.float32(2.0 ** -np.clip(exponent, -126, 126))

    def _coordinates(self, rows: Vectors, squares: NDArray[np.float64]) -> Vectors:
        if self.metric == "cosine":
            lengths = np.sqrt(squares)
            inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            return rows * inverse.astype(np.float32)[:, None]
        return (rows - self._center) * self._scale

    def _columns(self, begin: int, end: int) -> tuple[Vectors, Vectors, float]:
        """Return the right-hand factor for the rows begin..end, their shifts and greatest length."""
        factor = self._coordinates(self.X[begin:end], self.squares[begin:end])
        squares = np.einsum("ij,ij->i", factor, factor)
        longest = float(np.sqrt(squares.max()))
        if self.metric == "l2":
            return np.float32(-2.0) * factor, squares, longest
        return -factor, np.zeros_like(squares), longest

    def _sizes(self, left: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return squared lengths and lengths of the coordinates of queries; 1 for the cosine."""
        if self.metric == "cosine":
            return np.ones(len(left)), np.ones(len(left))
        squares = np.einsum("ij,ij->i", left, left, dtype=np.float64)
        return squares, np.sqrt(squares)

    def _slacks(self, lengths: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
        """Return what bounds the error of the approximate keys of each query."""
        spread = (lengths + longest) ** 2 if self.metric == "l2" else lengths * longest
        return np.asarray(self._bound * spread + 1e-37)

    def scan(
        self,
        Q: Vectors,
        slots: NDArray[np.int64],
        itself: NDArray[np.int64],
        blocks: Iterable[tuple[int, int]],
        keys: NDArray[np.float64],
        rows: NDArray[np.int32],
    ) -> None:
        """Enter the rows of `blocks` (begin, end) on the lists `slots` of the queries Q.

        `itself` names the row that each query is (-1: none); it is left out.
        """
        Q = frozen(Q)
        Q_squares = kernels.squared_norms(Q)
        left = self._coordinates(Q, Q_squares)
        squares, lengths = self._sizes(left)
        scale = 1.0 if self.metric == "cosine" else float(self._scale) ** 2
        offsets = squares if self.metric == "l2" else np.zeros(len(Q))
        for begin, end in blocks:
            right, shifts, longest = self._columns(begin, end)
            kernels.scan_block(
                left @ right.T,
                shifts,
                scale,
                offsets,
                self._slacks(lengths, longest),
                self.code,
                Q,
                Q_squares,
                slots,
                itself,
                self.X,
                self.squares,
                begin,
                self.rank,
                keys,
                rows,
            )
            release(self.mapped)

    def nearest(self, Q: Vectors) -> NDArray[np.int32]:
        """Return the row that is nearest to each of the queries Q, int32[m]; all rows are one block."""
        Q = frozen(Q)
        Q_squares = kernels.squared_norms(Q)
        left = self._coordinates(Q, Q_squares)
        right, shifts, longest = self._columns(0, len(self.X))
        slacks = self._slacks(self._sizes(left)[1], longest)
        rows = np.empty(len(Q), np.int32)
        kernels.nearest_of_block(
            left @ right.T, shifts, slacks, self.code, Q, Q_squares, self.X, self.squares,
            self.rank, rows,
        )  # fmt: skip
        return rows


def block_knn(
    Q: Vectors,
    searched: BlockScan,
    k: int,
    itself: NDArray[np.int64],
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the k nearest rows of every query by blocks of BLAS; see `exact_knn`."""
    n = len(searched.X)
    keys, rows = empty_lists(len(Q), k)
    blocks = [(b, min(b + COLUMN_BLOCK, n)) for b in range(0, n, COLUMN_BLOCK)]

    def work(begin: int) -> None:
        end = min(begin + QUERY_BLOCK, len(Q))
        slots = np.arange(begin, end)
        searched.scan(Q[begin:end], slots, itself[begin:end], blocks, keys, rows)

    run_threads(work, range(0, len(Q), QUERY_BLOCK), threads, "search", progress)
    return keys, rows


def rank_candidates(
    Q: Vectors,
    X: Vectors,
    candidates: NDArray[np.int64],
    k: int,
    *,
    metric: str,
    rank: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return for every query the k nearest of its own candidates int64[m, c], rows of X (-1: none)."""
    Q, X = frozen(Q), frozen(X)
    keys, rows = empty_lists(len(Q), k)
    squares = kernels.squared_norms(Q), kernels.squared_norms(X)
    code = kernels.METRICS[metric]
    kernels.rank_candidates(code, Q, squares[0], candidates, X, squares[1], rank, keys, rows)
    return keys, rows


@dataclass(frozen=True)
class Recall:
    """Share of true nearest neighbors found, with its 95% interval."""

    mean: float
    low: float
    high: float


def recall_interval(shares: NDArray[np.float64], n: int) -> Recall:
    """Return the mean of `shares`, the recalls of sampled rows, and its 95% interval.

    The interval is the normal one after two rows of recall 0 and two of recall 1 are added (Agresti
    and Coull, 1998), so that it has a width where every sampled row is perfect. Where all `n` rows
    were looked at there is nothing to estimate and it is the mean itself.
    """
    mean = float(shares.mean())
    if len(shares) >= n:
        return Recall(mean, mean, mean)
    added = np.concatenate([shares, [0.0, 0.0, 1.0, 1.0]])
    half = 1.96 * float(added.std()) / len(added) ** 0.5
    center = float(added.mean())
    return Recall(mean, max(0.0, min(mean, center - half)), min(1.0, max(mean, center) + half))
