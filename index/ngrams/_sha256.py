"""SHA-256 buckets of n-grams: 64 messages at a time, behind a direct-mapped cache.

The bucket of an n-gram is ``int(sha256(n-gram).hexdigest(), 16) % n_buckets``, its tokens joined by
single spaces. Reference: FIPS 180-4, Secure Hash Standard, 2015.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import int32, int64, uint32, uint64

from assay.index.ngrams._ngram_kernels import chain
from assay.storage.compiling import njit

LANES = 64
# The working table is flat, in rows of one word of each lane. Rows 64 - t to 71 - t are the working
# variables a to h before round t, row 135 - t is word t of the message schedule. So every distance
# inside a round is fixed, and the loop over the lanes becomes vector instructions.
_ROW = uint64(LANES)
_ROWS = 136
_SCHEDULE = 135
_SLOTS = 1 << 16


def _root_bits(root: int, count: int) -> np.ndarray:
    """First 32 fractional bits of the square or cube roots of the first `count` primes."""
    primes = [p for p in range(2, 312) if all(p % q for q in range(2, math.isqrt(p) + 1))]
    bits = []
    for prime in primes[:count]:
        # floor of the root times 2^32, in whole numbers
        target = prime << (32 * root)
        low, high = 0, 1 << 38
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**root <= target else (low, middle)
        bits.append(low & 0xFFFFFFFF)
    return np.array(bits, np.uint32)


_ROUND_CONSTANTS = _root_bits(3, 64)
_INITIAL = _root_bits(2, 8)


@njit(inline="always")
def _rotate(x, n):  # type: ignore[no-untyped-def]
    return uint32((x >> uint32(n)) | (x << uint32(32 - n)))


@njit(cache=True, nogil=True)
def _compress(table):  # type: ignore[no-untyped-def]
    """Complete the message schedules, then run the 64 rounds; a to h end in the rows 0 to 7.

    Numba widens a sum of uint32 to uint64: hence the casts back.
    """
    for t in range(uint64(16), uint64(64)):
        for i in range((uint64(_SCHEDULE) - t) * _ROW, (uint64(_SCHEDULE + 1) - t) * _ROW):
            x = table[i + _ROW * 15]
            y = table[i + _ROW * 2]
            table[i] = uint32(
                table[i + _ROW * 16]
                + (_rotate(x, 7) ^ _rotate(x, 18) ^ (x >> uint32(3)))
                + table[i + _ROW * 7]
                + (_rotate(y, 17) ^ _rotate(y, 19) ^ (y >> uint32(10)))
            )
    for t in range(uint64(64)):
        constant = _ROUND_CONSTANTS[t]
        for i in range((uint64(64) - t) * _ROW, (uint64(65) - t) * _ROW):
            a = table[i]
            b = table[i + _ROW]
            c = table[i + _ROW * 2]
            e = table[i + _ROW * 4]
            first = uint32(
                table[i + _ROW * 7]
                + (_rotate(e, 6) ^ _rotate(e, 11) ^ _rotate(e, 25))
                + ((e & table[i + _ROW * 5]) ^ (~e & table[i + _ROW * 6]))
                + constant
                + table[i + _ROW * 71]
            )
            table[i + _ROW * 3] = uint32(table[i + _ROW * 3] + first)
            table[i - _ROW] = uint32(
                first
                + (_rotate(a, 2) ^ _rotate(a, 13) ^ _rotate(a, 22))
                + ((a & b) ^ (a & c) ^ (b & c))
            )


@njit(cache=True, nogil=True)
def _load(text, start, length, block, table, lane):  # type: ignore[no-untyped-def]
    """Write 64 bytes of the padded message, from 64 * `block`, into a zeroed lane."""
    done = 64 * block
    top = _SCHEDULE * LANES + lane
    for i in range(max(0, min(64, length - done))):
        byte = uint32(text[start + done + i])
        table[top - (i >> 2) * LANES] |= byte << uint32(24 - 8 * (i & 3))
    if done <= length < done + 64:
        i = length - done
        table[top - (i >> 2) * LANES] |= uint32(0x80) << uint32(24 - 8 * (i & 3))
    if block == (length + 8) // 64:
        table[top - 14 * LANES] = uint32(uint64(length) >> uint64(29))
        table[top - 15 * LANES] = uint32((uint64(length) << uint64(3)) & uint64(0xFFFFFFFF))


@njit(cache=True, nogil=True)
def _digest_buckets(text, starts, ends, order, factors, n_buckets, out):  # type: ignore[no-untyped-def]
    """Fill the bucket of each message ``text[starts[i]:ends[i]]``, in groups along `order`."""
    table = np.zeros(_ROWS * LANES, np.uint32)
    state = np.empty(8 * LANES, np.uint32)
    for group in range(0, order.size, LANES):
        lanes = min(LANES, order.size - group)
        blocks = 0
        for lane in range(lanes):
            i = order[group + lane]
            blocks = max(blocks, (ends[i] - starts[i] + 8) // 64 + 1)
        for i in range(state.size):
            state[i] = _INITIAL[i // LANES]
        for block in range(blocks):
            # loops, because assignments to slices take seconds to compile
            for i in range(state.size):
                table[64 * LANES + i] = state[i]
            for i in range((_SCHEDULE - 15) * LANES, table.size):
                table[i] = 0
            for lane in range(lanes):
                i = order[group + lane]
                _load(text, starts[i], ends[i] - starts[i], block, table, lane)
            _compress(table)
            for lane in range(lanes):
                i = order[group + lane]
                if block <= (ends[i] - starts[i] + 8) // 64:
                    for r in range(lane, state.size, LANES):
                        state[r] += table[r]
        for lane in range(lanes):
            total = uint64(0)
            for r in range(8):
                total += uint64(state[r * LANES + lane]) * factors[r]
            out[order[group + lane]] = int32(total % n_buckets)


@njit(cache=True, nogil=True)
def _look_up(  # type: ignore[no-untyped-def]
    fingerprints, token_indptr, token_starts, ngrams, tags, values, out, starts, ends
):
    """Fill the buckets that the cache knows; the i-th that it doesn't becomes ``-1 - i``."""
    slots = uint64(tags.size - 1)
    missing = int64(0)
    at = 0
    for row in range(token_indptr.size - 1):
        first = token_indptr[row]
        for j in range(first, token_indptr[row + 1]):
            fingerprint = fingerprints[j]
            k = j
            while True:
                slot = int64(fingerprint & slots)
                if tags[slot] != fingerprint:
                    tags[slot] = fingerprint
                    values[slot] = -1 - missing
                    starts[missing] = token_starts[k]
                    ends[missing] = token_starts[j + 1] - 1
                    missing += 1
                out[at] = values[slot]
                at += 1
                k -= 1
                if k < first or k <= j - ngrams:
                    break
                fingerprint = chain(fingerprints[k], fingerprint)
    return missing


class Sha256Buckets:
    """SHA-256 buckets of one stream of token buffers; the cache is kept from call to call.

    Two n-grams are taken as equal when their 64-bit fingerprints are.
    """

    def __init__(self, ngrams: int, n_buckets: int) -> None:
        self.ngrams = ngrams
        self.n_buckets = np.uint64(n_buckets)
        self._factors = np.array([pow(2, 32 * (7 - r), n_buckets) for r in range(8)], np.uint64)
        self._tags = np.zeros(_SLOTS, np.uint64)
        # slot 0 may hold the fingerprint 0, so what is empty there must differ from it
        self._tags[0] = 1
        self._values = np.zeros(_SLOTS, np.int32)

    def __call__(
        self,
        fingerprints: np.ndarray,
        token_indptr: np.ndarray,
        text: np.ndarray,
        token_starts: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """Fill `out` with the bucket of each n-gram, in the order of `fast_buckets`."""
        starts = np.empty(out.size, np.int64)
        ends = np.empty(out.size, np.int64)
        missing = _look_up(
            fingerprints, token_indptr, token_starts, self.ngrams, self._tags, self._values, out,
            starts, ends,
        )  # fmt: skip
        starts, ends = starts[:missing], ends[:missing]
        blocks = np.minimum((ends - starts + 8) // 64, 65_535).astype(np.uint16)
        order = np.argsort(blocks, kind="stable")
        buckets = np.empty(missing, np.int32)
        _digest_buckets(text, starts, ends, order, self._factors, self.n_buckets, buckets)
        for array in (out, self._values):
            pending = np.flatnonzero(array < 0)
            array[pending] = buckets[-1 - array[pending]]
