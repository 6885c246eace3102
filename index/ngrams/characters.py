"""Hashed runs of characters of texts, on flat arrays."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from assay.index.ngrams._character_kernels import character_buckets
from assay.index.ngrams.hasher import MOST_BUCKETS, NGramHasher, NGrams
from assay.storage.limits import Whole, check_parameters

MOST_CHARACTERS = 16


class CharacterNGramHasher(NGramHasher):
    r"""Hash the runs of `shortest` to `longest` characters inside the words of texts into buckets.

    A word is what stands between spaces in the lower-cased text in NFC, with a space on both sides, so that
    beginnings and ends of words count as such; a word that is no longer than a run is a run itself, once. Runs
    outlive misspelled and abbreviated words, which matters most in short records: names, titles, product codes.

    Parameters
    ----------
    shortest, longest : int, default 3
        Characters of a run. Runs of three tell most words apart and still outlive a changed letter.
    buckets : int, default 131,072
        Number of buckets, at most 2^28.

    Raises
    ------
    ConfigError
        A parameter is out of its range, or `longest` is below `shortest`.

    Notes
    -----
    Time is linear in the bytes of text times the characters of all lengths.

    References
    ----------
    Cavnar, Trenkle, "N-gram-based text categorization", 1994.

    Examples
    --------
    >>> found = CharacterNGramHasher().transform(["A tap", "tap tap", None])
    >>> found.n_tokens  # " a " of the first; " ta", "tap", "ap " of each tap
    array([4, 6, 0], dtype=int32)
    """

    def __init__(self, shortest: int = 3, longest: int = 3, buckets: int = 1 << 17) -> None:
        check_parameters(
            shortest=(shortest, Whole(1, MOST_CHARACTERS)),
            longest=(longest, Whole(1, MOST_CHARACTERS)),
            buckets=(buckets, Whole(1, MOST_BUCKETS)),
        )
        check_parameters(longest=(longest, Whole(shortest, MOST_CHARACTERS)))
        super().__init__(1, buckets)
        self.shortest, self.longest = int(shortest), int(longest)

    def parameters(self) -> dict[str, Any]:
        """Return what decides the buckets of a text."""
        return {"shortest": self.shortest, "longest": self.longest, "buckets": self.buckets}

    def tokens(self, texts: Any) -> list[list[str]]:
        """Return the runs of each text; for looking at, not for speed."""
        tokens = []
        for data, offsets in self._chunks(texts):
            joined = data.tobytes()
            for first, last in pairwise(offsets):
                words = [f" {word} " for word in joined[first:last].decode().lower().split()]
                tokens.append(
                    [
                        word[start : start + size]
                        for word in words
                        for size in range(
                            self.shortest, min(self.longest, max(len(word), self.shortest)) + 1
                        )
                        for start in range(max(1, len(word) - size + 1))
                    ]
                )
        return tokens

    def _hashed(self, data: np.ndarray, offsets: np.ndarray, sha256: Any) -> NGrams:
        # a word of its own needs a space or another text behind it
        most = 2 * (int(offsets[-1] - offsets[0]) + len(offsets))
        word = np.empty(int(np.diff(offsets).max(initial=0)) + 2, np.uint32)
        indptr = np.empty(len(offsets), np.int64)
        buckets = np.empty((self.longest - self.shortest + 1) * most, np.int32)
        character_buckets(
            data, offsets, self._table, self.shortest, self.longest, self.buckets, word, indptr, buckets
        )  # fmt: skip
        return NGrams(indptr, buckets[: indptr[-1]].copy(), np.diff(indptr).astype(np.int32))
