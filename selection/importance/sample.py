"""A fixed sample of a pool's documents, taken by noise, and the same from any shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from assay.index.ngrams._stream_kernels import copy_rows
from assay.index.ngrams.hasher import NGrams
from assay.index.ngrams.stream import BucketStream
from assay.selection.contract.inputs import Floats, Rows

ROWS = 50_000
NGRAMS = 1 << 22


@dataclass(frozen=True, eq=False)
class Sample:
    """The n-grams of the documents whose noise is smallest, in the order of their noise.

    Attributes
    ----------
    order : float64[m]
    rows : int64[m]
        Rows of their shard.
    grams : NGrams
    """

    order: Floats
    rows: Rows
    grams: NGrams

    @classmethod
    def merge(cls, samples: list[Sample], rows: int = ROWS, ngrams: int = NGRAMS) -> Self:
        """Return the sample of all shards together."""
        order = np.concatenate([each.order for each in samples])
        sizes = np.concatenate([np.diff(each.grams.indptr) for each in samples])
        buckets = np.concatenate([each.grams.buckets for each in samples])
        tokens = np.concatenate([each.grams.n_tokens for each in samples])
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        first = np.argsort(order, kind="stable")
        first = first[: _room(sizes[first], rows, ngrams)]
        numbers = np.concatenate([each.rows for each in samples])
        return cls(order[first], numbers[first], picked(NGrams(indptr, buckets, tokens), first))

    def head(self, rows: int, ngrams: int) -> NGrams:
        """Return the n-grams of the first documents, at most so many of either."""
        m = _room(np.diff(self.grams.indptr), rows, ngrams)
        indptr = self.grams.indptr[: m + 1]
        return NGrams(indptr, self.grams.buckets[: indptr[-1]], self.grams.n_tokens[:m])


def sample_shard(
    stream: BucketStream, order: Floats, *, rows: int = ROWS, ngrams: int = NGRAMS
) -> Sample:
    """Return the documents with n-grams whose `order` is smallest, at most so many of either.

    As many as there is room for from the front, and at least one. Shards are put together by
    `Sample.merge`: what is among the first of the pool is among the first of its shard.
    """
    sizes = stream.sizes()
    usable = np.flatnonzero(sizes)
    if len(usable) > rows:
        usable = usable[np.argpartition(order[usable], rows)[:rows]]
    usable = usable[np.argsort(order[usable], kind="stable")]
    usable = usable[: _room(sizes[usable], rows, ngrams)]
    ascending = np.sort(usable)
    grams = picked(stream.take(ascending), np.searchsorted(ascending, usable))
    return Sample(order[usable], usable, grams)


def picked(grams: NGrams, rows: Rows) -> NGrams:
    """Return the n-grams of `rows`, in their order."""
    indptr = np.concatenate([[0], np.cumsum(np.diff(grams.indptr)[rows])])
    out = np.empty(indptr[-1], dtype=np.uint32)
    copy_rows(grams.indptr, grams.buckets, rows, out)
    out.flags.writeable = False
    return NGrams(indptr, out, grams.n_tokens[rows])


def halvings(n: int) -> list[tuple[Rows, Rows]]:
    """Return halves of n rows, each beside the other half, halved in as many as three ways.

    The rows are cut into 2, 4 and 8 runs, as far as there are rows for them, and every second run
    belongs to one half. Nothing is returned for a single row.
    """
    halves = []
    for parts in (2, 4, 8):
        if parts <= n:
            odd = (np.arange(n) * parts // n) % 2 == 1
            first, second = np.flatnonzero(~odd), np.flatnonzero(odd)
            halves += [(first, second), (second, first)]
    return halves


def _room(sizes: Rows, rows: int, ngrams: int) -> int:
    """Return how many of the documents from the front there is room for."""
    if not len(sizes):
        return 0
    return max(1, min(rows, int((np.cumsum(sizes) <= ngrams).sum())))
