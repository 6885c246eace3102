"""Exact search: by int8 codes with proof where queries are many, else by BLAS; its recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors import _search_kernels as kernels
from assay.index.vectors._knn_kernels import METRICS, squared_norms
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_limits import odd_rows
from assay.index.vectors.codes import Codes, encode, frame_of
from assay.index.vectors.exact import (
    BlockScan,
    Progress,
    Recall,
    block_knn,
    empty_lists,
    frozen,
    recall_interval,
    run_threads,
)
from assay.storage.disk.pages import mapping, release

Rows = NDArray[np.int64]
Lists = tuple[NDArray[np.float64], NDArray[np.int32]]

# fewer queries or rows don't pay for codes, longer lists cost more than what they are filled from
_CODES_FROM, _CODES_AMONG, _CODES_LIST = 500, 4_096, 32
# sums of more products of bytes don't fit in int32
_CODES_WIDTH = 65_536
_QUERIES = 2_048
# squared lengths of codes whose keys float32 holds
_MOST_SQUARE = 1e36


class CodedRows:
    """Rows that are searched exactly, with their codes.

    A query meets the codes of all rows, and the exact keys of those which its k nearest may be among;
    rows without a code worth the name (the few that are far out, and of length 0 for the cosine) have
    their exact key computed for every query.

    Parameters
    ----------
    X : float32[n, d]
        C-contiguous and finite.
    squares : float64[n]
        Squared lengths.
    metric : {'l2', 'cosine', 'ip'}
    rank : int32[n]
        Order in which rows with equal keys are listed.
    """

    def __init__(
        self,
        X: Vectors,
        squares: NDArray[np.float64],
        metric: str,
        rank: NDArray[np.int32],
        *,
        threads: int = 1,
    ) -> None:
        self.X, self.squares, self.metric, self.rank = frozen(X), squares, metric, rank
        everyone = np.arange(len(X))
        self.frame = frame_of(X, everyone, squares, metric)
        self.codes = encode(X, everyone, squares, self.frame, threads=threads)
        unusual = np.zeros(len(X), bool)
        unusual[odd_rows(self.codes)] = True
        unusual |= ~_usable(self.codes)
        self._odd = np.flatnonzero(unusual)
        self._zero = np.flatnonzero(squares == 0) if metric == "cosine" else everyone[:0]
        self._zero = self._zero[np.argsort(rank[self._zero], kind="stable")]
        self._odd = np.setdiff1d(self._odd, self._zero)
        usual = np.delete(everyone, np.concatenate([self._odd, self._zero]))
        self._most_error = float(self.codes.errors[usual].max(initial=0.0))
        self._longest = float(np.sqrt(squares[usual].max(initial=0.0))) * self.frame.power
        self._facts = self.codes.facts.copy()
        self._facts[0, self._odd] = self._facts[0, self._zero] = np.inf

    def knn(
        self,
        Q: Vectors,
        k: int,
        itself: Rows,
        *,
        threads: int = 1,
        progress: Progress | None = None,
    ) -> Lists:
        """Return the k nearest rows of every query; see `exact_knn`, whose result it is."""
        keys, rows = empty_lists(len(Q), k)
        mapped = mapping(Q)

        def work(begin: int) -> None:
            part = slice(begin, begin + _QUERIES)
            keys[part], rows[part] = self.search(Q[part], k, itself[part])
            release(mapped)

        run_threads(work, range(0, len(Q), _QUERIES), threads, "search", progress)
        return keys, rows

    def search(self, Q: Vectors, k: int, itself: Rows) -> Lists:
        """Return keys float64[m, k] and rows int32[m, k] of the k nearest of each query."""
        squares = squared_norms(frozen(Q))
        codes = encode(Q, np.arange(len(Q)), squares, self.frame)
        return self.search_coded(Q, squares, codes, k, itself)

    def search_coded(
        self, Q: Vectors, squares: NDArray[np.float64], codes: Codes, k: int, itself: Rows
    ) -> Lists:
        """Return the same as `search` for queries that are encoded by the same frame."""
        lists = empty_lists(len(Q), k)
        metric, Q = METRICS[self.metric], frozen(Q)
        exact = Q, squares, self.X, self.squares, self.rank
        # all keys of a query of length 0 are 0
        zero = (squares == 0) if self.metric == "cosine" else np.zeros(len(Q), bool)
        unable = ~_usable(codes)
        lost = np.where(zero | unable, np.inf, self._lost(squares, codes))
        if self.metric == "ip":
            lengths = np.sqrt(squares) * self.frame.power
        else:
            lengths = np.sqrt(codes.squares.astype(np.float64))
        kernels.search_codes(
            *codes.scanned(), lengths, lost, self.codes.codes, self._facts, metric,
            self.frame.power, *exact, itself, *lists,
        )  # fmt: skip

        def offer(which: NDArray[np.bool_], others: Rows) -> None:
            if len(others):
                kernels.offer(
                    metric, Q, squares, np.flatnonzero(which), *exact[2:], others, itself, *lists
                )

        offer(~zero, np.concatenate([self._odd, self._zero[: k + 1]]))
        offer(unable & ~zero, np.arange(len(self.X)))
        if zero.any():
            first = np.argpartition(self.rank, min(k, len(self.X) - 1))[: k + 1]
            offer(zero, first)
        return lists

    def _lost(self, squares: NDArray[np.float64], codes: Codes) -> NDArray[np.float64]:
        """Return what bounds the error of codes: of a distance, or of an inner product."""
        error = codes.errors.astype(np.float64)
        if self.metric != "ip":
            return error + self._most_error
        length = np.sqrt(squares) * self.frame.power
        lost = length * self._most_error + self._longest * error + error * self._most_error
        return np.asarray(lost + 10 * kernels.ROUNDING * self._longest * length)


def _usable(codes: Codes) -> NDArray[np.bool_]:
    """Return which rows have keys that float32 holds."""
    return np.isfinite(codes.errors) & (codes.squares < _MOST_SQUARE)


def codes_pay(searched: BlockScan, queries: int, k: int) -> bool:
    """Return whether so many queries are answered sooner by codes; mapped rows are only read."""
    n, d = searched.X.shape
    enough = queries >= _CODES_FROM and n >= _CODES_AMONG
    return enough and k <= _CODES_LIST and d <= _CODES_WIDTH and searched.mapped is None


def exact_knn(
    Q: Vectors,
    searched: BlockScan,
    k: int,
    *,
    itself: NDArray[np.int64] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Lists:
    """Return the k nearest rows of every query: keys float64[m, k] and rows int32[m, k].

    Parameters
    ----------
    Q : float32[m, d]
        The queries.
    searched : BlockScan
        The rows to search.
    k : int
        Length of the lists; short lists are padded with inf and -1.
    itself : int64[m], optional
        For each query the row that it is, which is left out (-1: none).
    threads : int
        Blocks of queries searched at the same time; does not change the result.
    progress : callable, optional
        Called with (stage, done, total).

    Notes
    -----
    From 500 queries among 4,096 rows on, for up to 32 neighbors, queries meet int8 codes of the rows,
    which are made once and kept (see `CodedRows`): m n d products of bytes and some dozens of exact
    keys a query. Otherwise, and where the rows are in a mapped file, it costs 2 m n d operations
    of BLAS and needs 4 MiB per thread besides the lists. The result is the same.
    """
    itself = np.full(len(Q), -1) if itself is None else itself
    if codes_pay(searched, len(Q), k):
        coded: CodedRows = searched.coded or CodedRows(
            searched.X, searched.squares, searched.metric, searched.rank, threads=threads
        )
        searched.coded = coded
        return coded.knn(Q, k, itself, threads=threads, progress=progress)
    return block_knn(Q, searched, k, itself, threads=threads, progress=progress)


class RecallProbe:
    """Sampled rows with their true k-th keys, to which lists are compared by distance."""

    def __init__(
        self,
        searched: BlockScan,
        sample: NDArray[np.int64],
        k: int,
        threads: int,
        progress: Progress | None,
    ) -> None:
        keys, _ = exact_knn(
            searched.X[sample], searched, k, itself=sample, threads=threads, progress=progress
        )
        self.sample = sample
        self.n = len(searched.X)
        self.worst = keys[:, -1:] + 1e-12 * np.abs(keys[:, -1:])

    def measure(self, keys: NDArray[np.float64]) -> Recall:
        return recall_interval((keys[self.sample] <= self.worst).mean(axis=1), self.n)
