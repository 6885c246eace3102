"""The hashed n-grams of many texts, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from assay.index.ngrams import NGramHasher, NGrams
from assay.selection.inputs import Floats, Rows

Mask = NDArray[np.bool_]

# n-gram occurrences kept between two passes over a pool (4 bytes each); the rest is hashed again
_KEPT = 1 << 26


class HashedTexts:
    """The n-grams of texts, hashed once as far as memory allows.

    Iterating yields ``(first row, NGrams)`` for consecutive runs of rows.

    Parameters
    ----------
    hasher : NGramHasher
    texts : pl.Series of String
    kept : int
        N-gram occurrences to hold in memory; rows beyond them are hashed again each time.
    """

    def __init__(self, hasher: NGramHasher, texts: pl.Series, kept: int = _KEPT) -> None:
        self.hasher = hasher
        self.texts = texts
        self.kept = kept
        self._parts: list[NGrams] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[tuple[int, NGrams]]:
        parts = self._parts or []
        row = 0
        for part in parts:
            yield row, part
            row += len(part.n_tokens)
        room = self.kept if self._parts is None else -1
        for part in self.hasher.stream(self.texts.slice(row)) if row < len(self) else ():
            room -= len(part.buckets) + 1
            if room >= 0:
                parts.append(part)
            yield row, part
            row += len(part.n_tokens)
        self._parts = parts

    @property
    def sizes(self) -> Rows:
        """N-grams of each text."""
        return self._totals[0]

    @property
    def counts(self) -> Rows:
        """How often each bucket occurs in all texts."""
        return self._totals[1]

    @cached_property
    def _totals(self) -> tuple[Rows, Rows]:
        sizes = np.zeros(len(self), dtype=np.int64)
        counts = np.zeros(self.hasher.buckets, dtype=np.int64)
        for row, part in self:
            sizes[row : row + len(part.n_tokens)] = np.diff(part.indptr)
            counts += np.bincount(part.buckets, minlength=len(counts))
        return sizes, counts

    def counts_of(self, *subsets: Rows) -> list[Rows]:
        """Return how often each bucket occurs in each of some subsets of the rows."""
        counts = [np.zeros(self.hasher.buckets, dtype=np.int64) for _ in subsets]
        masks = [mask_of(rows, len(self)) for rows in subsets]
        for row, part in self:
            for total, mask in zip(counts, masks, strict=True):
                within = np.repeat(mask[row : row + len(part.n_tokens)], np.diff(part.indptr))
                total += np.bincount(part.buckets[within], minlength=len(total))
        return counts

    def sums(self, values: Floats) -> Floats:
        """Return the sum of `values` over the n-grams of each text, added in their order."""
        sums = np.zeros(len(self))
        for row, part in self:
            sums[row : row + len(part.n_tokens)] = row_sums(part.indptr, part.buckets, values)
        return sums

    def take(self, rows: Rows) -> NGrams:
        """Return the n-grams of `rows`, which must ascend."""
        wanted = mask_of(rows, len(self))
        found = [
            part.buckets[np.repeat(wanted[row : row + len(part.n_tokens)], np.diff(part.indptr))]
            for row, part in self
        ]
        indptr = np.concatenate([[0], np.cumsum(self.sizes[rows])])
        return NGrams(indptr, np.concatenate(found), np.zeros(len(rows), dtype=np.int32))


def mask_of(rows: Rows, n: int) -> Mask:
    """Return bool[n], true at `rows`."""
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def row_sums(indptr: NDArray[Any], buckets: NDArray[Any], values: Floats) -> Floats:
    """Return the sum of `values` over the buckets of each row, added in their order."""
    shape = (len(indptr) - 1, len(values))
    return np.asarray(csr_matrix((np.ones(len(buckets)), buckets, indptr), shape=shape) @ values)
