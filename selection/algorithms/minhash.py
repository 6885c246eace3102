"""Shingles of texts, and their MinHash signatures, on flat arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.ngrams.hasher import NGramHasher
from assay.storage.compiling import njit

# token codes of 28 bits: two words of a vocabulary of a million meet with probability .004
_CODES = 1 << 28
MOST_WORDS, MOST_PERMUTATIONS = 1_000, 65_536


class Shingles(NamedTuple):
    """The different shingles of each text, ascending: values[indptr[i] : indptr[i + 1]]."""

    indptr: NDArray[np.int64]
    values: NDArray[np.uint32]


def shingles(texts: Any, n: int = 5) -> Shingles:
    """Return a 32-bit hash of every run of `n` words of each text, once each.

    Words are in lower case; punctuation counts as words, a letter of a script without spaces as
    one. A text of fewer than `n` words has one shingle, of all its words; an empty one none.

    Notes
    -----
    Linear in the bytes of text; 4 bytes per shingle. Two different shingles share a hash with
    probability 2.3e-10.

    Examples
    --------
    >>> found = shingles(["a b c d e f", "A  b c d e", "", "a b"])
    >>> found.indptr.tolist(), bool(found.values[2] in found.values[:2])
    ([0, 2, 3, 3, 4], True)
    """
    hasher = NGramHasher(ngrams=1, buckets=_CODES, characters=True)
    sizes, values = [np.zeros(1, dtype=np.int64)], [np.empty(0, dtype=np.uint32)]
    for part in hasher.stream(texts):
        out = np.empty(len(part.buckets) + len(part.n_tokens), dtype=np.uint32)
        counts = np.empty(len(part.n_tokens), dtype=np.int64)
        used = _shingle(part.indptr, part.buckets, n, out, counts)
        sizes.append(counts)
        values.append(out[:used].copy())
    return Shingles(np.cumsum(np.concatenate(sizes)), np.concatenate(values))


def signatures(sets: Shingles, size: int, random_state: int = 0) -> NDArray[np.uint32]:
    r"""Return MinHash signatures: for each text the least of each of `size` random hashes.

    Two texts agree in one place with the probability of their Jaccard similarity.

    Returns
    -------
    uint32[texts, size]
        2^32 - 1 everywhere for a text without shingles.

    Notes
    -----
    Hashes are (a x + b) >> 32 over 64 bits with random odd a and random b. O(shingles * size).

    References
    ----------
    Broder, "On the resemblance and containment of documents", 1997. Dietzfelbinger, "Universal
    hashing and k-wise independent random variables via integer arithmetic without primes", 1996.
    """
    rng = np.random.default_rng(random_state)
    a = rng.integers(0, 2**64, size, dtype=np.uint64) | np.uint64(1)
    b = rng.integers(0, 2**64, size, dtype=np.uint64)
    out = np.empty((len(sets.indptr) - 1, size), dtype=np.uint32)
    _sign(sets.indptr, sets.values, a, b, out)
    return out


@njit(cache=True, nogil=True)
def _shingle(indptr: Any, codes: Any, n: int, out: Any, counts: Any) -> int:  # pragma: no cover
    """Write each text's different shingles, ascending, and their number; return how many in all."""
    used = 0
    odd = np.uint64(0x9E3779B97F4A7C15)
    for text in range(len(counts)):
        begin, end = indptr[text], indptr[text + 1]
        first = used
        last = max(end - n, begin)
        for start in range(begin, last + 1 if end > begin else begin):
            h = np.uint64(0)
            for place in range(start, min(start + n, end)):
                h = (h ^ np.uint64(codes[place])) * odd
                h ^= h >> np.uint64(29)
            out[used] = np.uint32((h * odd) >> np.uint64(32))
            used += 1
        part = np.sort(out[first:used])
        used = first
        for place in range(len(part)):
            if place == 0 or part[place] != part[place - 1]:
                out[used] = part[place]
                used += 1
        counts[text] = used - first
    return used


@njit(cache=True, nogil=True)
def _sign(indptr: Any, values: Any, a: Any, b: Any, out: Any) -> None:  # pragma: no cover
    size = len(a)
    least = np.empty(size, dtype=np.uint64)
    for text in range(len(indptr) - 1):
        least[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
        for place in range(indptr[text], indptr[text + 1]):
            x = np.uint64(values[place])
            for h in range(size):
                least[h] = min(least[h], a[h] * x + b[h])
        for h in range(size):
            out[text, h] = np.uint32(least[h] >> np.uint64(32))


@njit(cache=True, nogil=True)
def jaccard(values: Any, a: int, a_end: int, b: int, b_end: int) -> float:  # pragma: no cover
    """Return the Jaccard similarity of two ascending runs of different values."""
    likeness: float = jaccard_between(values, a, a_end, values, b, b_end)
    return likeness


@njit(cache=True, nogil=True)
def jaccard_between(
    left: Any, a: int, a_end: int, right: Any, b: int, b_end: int
) -> float:  # pragma: no cover
    """Return the Jaccard similarity of a run of `left` and one of `right`, both ascending."""
    total = (a_end - a) + (b_end - b)
    both = 0
    while a < a_end and b < b_end:
        if left[a] == right[b]:
            both += 1
            a += 1
            b += 1
        elif left[a] < right[b]:
            a += 1
        else:
            b += 1
    return both / (total - both) if total > both else 0.0
