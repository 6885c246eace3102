"""Numba kernels that turn UTF-8 buffers into buckets of runs of characters."""

from __future__ import annotations

from numpy import int32, uint32, uint64

from assay.index.ngrams._ngram_kernels import FIRST, STEP, code_point, mix
from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def character_buckets(data, offsets, table, shortest, longest, n_buckets, word, indptr, out):  # type: ignore[no-untyped-def]
    """Fill the bucket of each run of characters inside words, and ``indptr[rows + 1]``.

    A word is what stands between spaces, lower-cased, with a space on both sides; one that is no longer than a run
    gives itself, once. `word` has room for the longest row's characters and two spaces.
    """
    scale = uint64(n_buckets)
    at = 0
    indptr[0] = 0
    word[0] = 32
    for row in range(offsets.size - 1):
        i = offsets[row]
        end = offsets[row + 1]
        length = 1
        while i <= end:
            entry = uint32(0)
            if i < end:
                code, i = code_point(data, i)
                entry = table[code]
            else:
                i += 1
            if entry & uint32(3) != uint32(0):
                word[length] = entry >> uint32(2)
                length += 1
            elif length > 1:
                word[length] = 32
                length += 1
                for size in range(shortest, longest + 1):
                    width = min(size, length)
                    for start in range(length - width + 1):
                        fingerprint = FIRST
                        for j in range(start, start + width):
                            fingerprint = (fingerprint ^ uint64(word[j])) * STEP
                            fingerprint ^= fingerprint >> uint64(32)
                        fingerprint = mix(fingerprint)
                        out[at] = int32(((fingerprint >> uint64(32)) * scale) >> uint64(32))
                        at += 1
                    if size >= length:
                        break
                length = 1
        indptr[row + 1] = at
