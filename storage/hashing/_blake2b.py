"""Numba kernel of BLAKE2b (RFC 7693) with 16-byte digests, over the rows of one flat buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from assay.storage.compiling import njit

DIGEST_SIZE = 16
_BLOCK = 128
_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
_PERMUTATIONS = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.uint8,
)


def initial_state(salt: bytes) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the chaining value for unkeyed, sequential hashing with a salt of up to 16 bytes."""
    parameters = bytearray(64)
    parameters[0], parameters[2], parameters[3] = DIGEST_SIZE, 1, 1
    parameters[32 : 32 + len(salt)] = salt
    state: np.ndarray[Any, np.dtype[np.uint64]] = _IV ^ np.frombuffer(bytes(parameters), "<u8")
    return state


@njit(cache=True, nogil=True)
def _mix(v, a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    va = v[a] + v[b] + x
    vd = v[d] ^ va
    vd = (vd >> uint64(32)) | (vd << uint64(32))
    vc = v[c] + vd
    vb = v[b] ^ vc
    vb = (vb >> uint64(24)) | (vb << uint64(40))
    va = va + vb + y
    vd = vd ^ va
    vd = (vd >> uint64(16)) | (vd << uint64(48))
    vc = vc + vd
    vb = vb ^ vc
    v[a] = va
    v[b] = (vb >> uint64(63)) | (vb << uint64(1))
    v[c] = vc
    v[d] = vd


@njit(cache=True, nogil=True)
def _compress(h, v, m, count, last):  # type: ignore[no-untyped-def]
    for i in range(8):
        v[i] = h[i]
        v[i + 8] = _IV[i]
    v[12] ^= count
    v[14] ^= last
    for r in range(12):
        for i in range(4):
            x = m[_PERMUTATIONS[r, 2 * i]]
            y = m[_PERMUTATIONS[r, 2 * i + 1]]
            _mix(v, i, i + 4, i + 8, i + 12, x, y)
        for i in range(4):
            x = m[_PERMUTATIONS[r, 2 * i + 8]]
            y = m[_PERMUTATIONS[r, 2 * i + 9]]
            _mix(v, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12, x, y)
    for i in range(8):
        h[i] ^= v[i] ^ v[i + 8]


@njit(cache=True, nogil=True)
def blake2b_rows(data, offsets, state, out):  # type: ignore[no-untyped-def]
    """Hash the bytes `data[offsets[i]:offsets[i + 1]]` of every row i into `out[i]`."""
    h = np.empty(8, np.uint64)
    v = np.empty(16, np.uint64)
    m = np.empty(16, np.uint64)
    for row in range(len(offsets) - 1):
        for i in range(8):
            h[i] = state[i]
        at, stop = offsets[row], offsets[row + 1]
        count = uint64(0)
        while stop - at > 128:
            for i in range(16):
                word = uint64(0)
                for j in range(8):
                    word |= uint64(data[at + j]) << uint64(8 * j)
                m[i] = word
                at += 8
            count += uint64(128)
            _compress(h, v, m, count, uint64(0))
        count += uint64(stop - at)
        for i in range(16):
            word = uint64(0)
            for j in range(8):
                if at < stop:
                    word |= uint64(data[at]) << uint64(8 * j)
                    at += 1
            m[i] = word
        _compress(h, v, m, count, ~uint64(0))
        out[row, 0] = h[0]
        out[row, 1] = h[1]
