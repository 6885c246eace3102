"""Numba kernels around the tiles of `_tiles`: rows are packed for them, and near pairs taken out."""

from __future__ import annotations

import numpy as np

from assay.index.vectors._tiles import (
    COLUMNS,
    ROWS,
    VNNI,
    lowest_bit,
    tile_of_bytes,
    tile_of_words,
)
from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def aligned(size):  # type: ignore[no-untyped-def]
    room = np.empty(size + 64, np.uint8)
    first = (-room.ctypes.data) & 63
    return room[first : first + size]


@njit(cache=True, nogil=True)
def pack_columns(kind, codes, begin, end, steps, out):  # type: ignore[no-untyped-def]
    """Pack the rows begin..end as columns of tiles, in groups of 64; what is missing is 0."""
    if kind == VNNI:
        for first in range(begin, end, COLUMNS):
            base = (first - begin) // COLUMNS * steps * 4 * COLUMNS
            for c in range(COLUMNS):
                for t in range(steps):
                    for u in range(4):
                        place = base + t * 256 + c * 4 + u
                        if first + c < end:
                            out[place] = np.uint8(np.int16(codes[first + c, 4 * t + u]) + 128)
                        else:
                            out[place] = np.uint8(128)
        return
    words = out.view(np.int16)
    for first in range(begin, end, 16):
        base = (first - begin) // 16 * steps * 32
        for c in range(16):
            if first + c < end:
                for t in range(steps):
                    words[base + t * 32 + c * 2] = codes[first + c, 2 * t]
                    words[base + t * 32 + c * 2 + 1] = codes[first + c, 2 * t + 1]
            else:
                for t in range(steps):
                    words[base + t * 32 + c * 2] = 0
                    words[base + t * 32 + c * 2 + 1] = 0


@njit(cache=True, nogil=True)
def pack_rows(kind, codes, queries, steps, out):  # type: ignore[no-untyped-def]
    """Pack the rows `queries` one after the other."""
    if kind == VNNI:
        signed = out.view(np.int8)
        for r in range(len(queries)):
            for e in range(4 * steps):
                signed[r * 4 * steps + e] = codes[queries[r], e]
        return
    words = out.view(np.int16)
    for r in range(len(queries)):
        for e in range(2 * steps):
            words[r * 2 * steps + e] = codes[queries[r], e]


@njit(cache=True, nogil=True)
def tile_steps(kind, d):  # type: ignore[no-untyped-def]
    """Return how many steps a tile takes over codes of d coordinates."""
    return (d + 3) // 4 if kind == VNNI else (d + 1) // 2


@njit(cache=True, nogil=True)
def near_pairs(  # type: ignore[no-untyped-def]
    kind, rows, first, count, columns, steps, row_facts, row_offsets, column_facts, valid, skip,
    out_rows, out_columns, out_keys,
):  # fmt: skip
    """Compare packed queries first..first + count with 64 packed columns; return how many are near.

    row_facts and column_facts float32[3, ...] are the shift, the scale (2 a of rows, a of columns)
    and the limit of each: the key is row shift + column shift - (row scale * column scale) *
    (product - offset), near is at most one of the two limits. `valid` has a bit for each column
    that is there; of query first + r only columns behind skip + r count (negative: all).
    """
    keys = np.empty((ROWS, COLUMNS), np.float32)
    hits = np.empty(ROWS, np.int64)
    n_near = 0
    width = row_facts.shape[1] * 4
    for begin in range(first, first + count, ROWS):
        behind = skip + begin - first
        if behind >= COLUMNS - 1:
            break
        at = row_facts.ctypes.data + 4 * begin
        arguments = (
            rows.ctypes.data + begin * steps * 4, steps * 4, columns.ctypes.data, steps,
            column_facts.ctypes.data, column_facts.ctypes.data + 4 * COLUMNS,
            column_facts.ctypes.data + 8 * COLUMNS, at, at + width, at + 2 * width,
            row_offsets.ctypes.data + 4 * begin, keys.ctypes.data, hits.ctypes.data,
        )  # fmt: skip
        if kind == VNNI:
            tile_of_bytes(*arguments)  # type: ignore[call-arg]
        else:
            tile_of_words(*arguments)  # type: ignore[call-arg]
        for r in range(min(ROWS, first + count - begin)):
            bits = hits[r] & valid
            if behind + r >= 0:
                after = behind + r + 1
                bits = bits & (np.int64(-1) << after) if after < COLUMNS else np.int64(0)
            while bits != 0:
                c = lowest_bit(bits)
                bits &= bits - 1
                out_rows[n_near] = begin + r
                out_columns[n_near] = c
                out_keys[n_near] = keys[r, c]
                n_near += 1
    return n_near


@njit(cache=True, nogil=True)
def padded(count):  # type: ignore[no-untyped-def]
    return (count + ROWS - 1) // ROWS * ROWS


@njit(cache=True, nogil=True)
def set_queries(kind, facts, offsets, queries, out, out_offsets):  # type: ignore[no-untyped-def]
    """Set shift, scale and offset of queries."""
    for r in range(len(queries)):
        out[0, r] = facts[0, queries[r]]
        out[1, r] = np.float32(2.0) * facts[1, queries[r]]
        out_offsets[r] = offsets[queries[r]] if kind == VNNI else 0


@njit(cache=True, nogil=True)
def set_columns(facts, begin, end, out):  # type: ignore[no-untyped-def]
    """Set shift and scale of 64 columns; those that are missing are far from everything."""
    for c in range(COLUMNS):
        exists = begin + c < end
        out[0, c] = facts[0, begin + c] if exists else np.float32(np.inf)
        out[1, c] = facts[1, begin + c] if exists else np.float32(0.0)


@njit(cache=True, nogil=True)
def valid_columns(count):  # type: ignore[no-untyped-def]
    return np.int64(-1) if count >= COLUMNS else (np.int64(1) << count) - 1


@njit(cache=True, nogil=True)
def pack(kind, codes, steps):  # type: ignore[no-untyped-def]
    """Return all rows packed as columns of tiles, in groups of 64."""
    groups = (len(codes) + COLUMNS - 1) // COLUMNS
    out = aligned(groups * COLUMNS * steps * 4)
    pack_columns(kind, codes, np.int64(0), np.int64(len(codes)), steps, out)
    return out
