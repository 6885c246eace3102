"""The longest run of words that a text shares with any of some items, on flat arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams.hasher import NGramHasher
from assay.storage.compiling import njit

_CODES = 1 << 28


class Words(NamedTuple):
    """Codes of the words of each text: codes[indptr[i] : indptr[i + 1]]."""

    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]


class Spans(NamedTuple):
    """For each text the item it shares most words in a row with (-1: none) and how many."""

    item: NDArray[np.int64]
    length: NDArray[np.int64]


def words_of(texts: pl.Series) -> Words:
    """Return the words of texts, without regard to case, punctuation and spacing."""
    plain = _composed(texts).str.replace_all(r"[^\w\s]+", " ")
    hashed = NGramHasher(ngrams=1, buckets=_CODES, characters=True).transform(plain)
    return Words(hashed.indptr, hashed.buckets)


def _composed(texts: pl.Series) -> pl.Series:
    """Return the texts in NFKC; those of ASCII alone, which are in it, cost a fraction."""
    other = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if not len(other):
        return texts
    # scatter changes the series it is called on
    return texts.clone().scatter(other, texts.gather(other).str.normalize("NFKC"))


class SpanMatcher:
    """Index of all runs of `ngrams` words of the items to search for.

    Parameters
    ----------
    items : Words
        Those of fewer than `ngrams` words are found only where a text is nothing else.
    ngrams : int

    Notes
    -----
    24 bytes per word of the items. A text of T words is searched in O(T log(words of the items)).
    """

    def __init__(self, items: Words, ngrams: int) -> None:
        self.items, self.ngrams = items, ngrams
        keys, starts = _runs(items.indptr, items.codes, ngrams)
        order = np.argsort(keys, kind="stable")
        self._keys, self._starts = keys[order], starts[order]
        self._item_of = np.repeat(np.arange(len(items.indptr) - 1), np.diff(items.indptr))

    def longest(self, texts: Words) -> Spans:
        """Return the longest run of words that each text shares with an item, ties by item."""
        size = len(texts.indptr) - 1
        item, length = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
        _match(
            texts.indptr, texts.codes, self.ngrams, self._keys, self._starts, self._item_of,
            self.items.indptr, item, length,
        )  # fmt: skip
        return Spans(item, length)


@njit(cache=True, nogil=True)
def _key(codes: Any, begin: int, end: int) -> Any:  # pragma: no cover
    """Return a 64-bit hash of a run of words."""
    h = np.uint64(end - begin)
    for place in range(begin, end):
        h = (h ^ np.uint64(codes[place])) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(29)
    return h


@njit(cache=True, nogil=True)
def _runs(indptr: Any, codes: Any, n: int) -> Any:  # pragma: no cover
    """Return the hash and the place of every run of n words, of shorter items the whole."""
    keys = np.empty(len(codes), dtype=np.uint64)
    starts = np.empty(len(codes), dtype=np.int64)
    used = 0
    for item in range(len(indptr) - 1):
        begin, end = indptr[item], indptr[item + 1]
        if end > begin:
            for start in range(begin, max(end - n, begin) + 1):
                keys[used] = _key(codes, start, min(start + n, end))
                starts[used] = start
                used += 1
    return keys[:used], starts[:used]


@njit(cache=True, nogil=True)
def _match(  # pragma: no cover
    indptr: Any, codes: Any, n: int, keys: Any, starts: Any, item_of: Any, ends: Any,
    best_item: Any, best_length: Any,
) -> None:  # fmt: skip
    # where the run that ends at a place of the items was last seen, and how long it was
    seen = np.full(len(item_of) + 1, -2, dtype=np.int64)
    run = np.zeros(len(item_of) + 1, dtype=np.int64)
    for text in range(len(indptr) - 1):
        begin, end = indptr[text], indptr[text + 1]
        size = end - begin
        for start in range(begin, max(end - n, begin) + 1 if size else begin):
            stop = min(start + n, end)
            key = _key(codes, start, stop)
            # downwards, so that what was seen at the place before is still that of one word ago
            place = np.searchsorted(keys, key, side="right") - 1
            while place >= 0 and keys[place] == key:
                at = starts[place]
                item = item_of[at]
                whole = ends[item + 1] - ends[item]
                length = stop - start
                # a short item counts where it is all of the text; the key holds the length
                if length == n or whole == size:
                    # counted on by one per text, so that no run goes on from text to text
                    if at > ends[item] and seen[at - 1] == start + text - 1:
                        length = run[at - 1] + 1
                    seen[at], run[at] = start + text, length
                    if length > best_length[text] or (
                        length == best_length[text] and item < best_item[text]
                    ):
                        best_length[text], best_item[text] = length, item
                place -= 1
