"""Numba kernel of BLAKE2b (RFC 7693) with 16-byte digests, over the rows of one flat buffer.

Several rows are hashed side by side, in the lanes of vectors: LLVM maps these to what the CPU has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from assay.storage.compiling import njit

DIGEST_SIZE = 16
LANES = 4
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


@intrinsic
def _compress(typing, states, words, counts, lasts, order):  # type: ignore[no-untyped-def]
    """Enter a block into each lane's chaining value; the arguments are addresses.

    Lanes lie side by side: uint64[8, lanes] chaining values, uint64[16, lanes] words of the blocks,
    bytes so far, and all ones where a block is the last of its row. `order` is the order of the
    words in each round, uint8[12, 16].
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lane, byte = ir.IntType(64), ir.IntType(8)
        lanes, in_bytes = ir.VectorType(lane, LANES), ir.VectorType(byte, 8 * LANES)

        def slot(address: Any, place: int) -> Any:
            at = builder.add(address, ir.Constant(address.type, 8 * LANES * place))
            return builder.inttoptr(at, ir.PointerType(lanes))

        def load(address: Any, place: int) -> Any:
            return builder.load(slot(address, place), align=8)

        def all_lanes(value: int) -> Any:
            return ir.Constant(lanes, [value] * LANES)

        def rotate_bytes(value: Any, count: int) -> Any:
            order = [8 * (k // 8) + (k + count) % 8 for k in range(8 * LANES)]
            as_bytes = builder.bitcast(value, in_bytes)
            places = ir.Constant(ir.VectorType(ir.IntType(32), 8 * LANES), order)
            return builder.bitcast(builder.shuffle_vector(as_bytes, as_bytes, places), lanes)

        def mix(a: int, b: int, c: int, d: int, x: Any, y: Any) -> None:
            v[a] = builder.add(builder.add(v[a], v[b]), x)
            v[d] = rotate_bytes(builder.xor(v[d], v[a]), 4)
            v[c] = builder.add(v[c], v[d])
            v[b] = rotate_bytes(builder.xor(v[b], v[c]), 3)
            v[a] = builder.add(builder.add(v[a], v[b]), y)
            v[d] = rotate_bytes(builder.xor(v[d], v[a]), 2)
            v[c] = builder.add(v[c], v[d])
            mixed = builder.xor(v[b], v[c])
            v[b] = builder.or_(builder.lshr(mixed, all_lanes(63)), builder.shl(mixed, all_lanes(1)))

        h = [load(arguments[0], place) for place in range(8)]
        v = h + [all_lanes(int(word)) for word in _IV]
        v[12] = builder.xor(v[12], load(arguments[2], 0))
        v[14] = builder.xor(v[14], load(arguments[3], 0))
        # a loop, which compiles faster than twelve rounds in a row; LLVM keeps these in registers
        held = [cgutils.alloca_once_value(builder, value) for value in v]  # type: ignore[no-untyped-call]
        rounds = ir.Constant(arguments[4].type, len(_PERMUTATIONS))
        with cgutils.for_range(builder, rounds) as loop:
            first = builder.add(arguments[4], builder.mul(loop.index, ir.Constant(rounds.type, 16)))

            def word(place: int) -> Any:
                at = builder.add(first, ir.Constant(rounds.type, place))
                number = builder.load(builder.inttoptr(at, ir.PointerType(byte)))
                offset = builder.mul(
                    builder.zext(number, rounds.type), ir.Constant(rounds.type, 8 * LANES)
                )
                return load(builder.add(arguments[1], offset), 0)

            v[:] = [builder.load(place) for place in held]
            for i in range(4):
                mix(i, i + 4, i + 8, i + 12, word(2 * i), word(2 * i + 1))
            for i in range(4):
                b, c, d = (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12
                mix(i, b, c, d, word(2 * i + 8), word(2 * i + 9))
            for value, place in zip(v, held, strict=True):
                builder.store(value, place)
        v[:] = [builder.load(place) for place in held]
        for place in range(8):
            value = builder.xor(h[place], builder.xor(v[place], v[place + 8]))
            builder.store(value, slot(arguments[0], place), align=8)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), emit


@njit(cache=True, nogil=True)
def blake2b_rows(data, offsets, state, out):  # type: ignore[no-untyped-def]
    """Hash the bytes `data[offsets[i]:offsets[i + 1]]` of every row i into `out[i]`.

    Each lane hashes a row of its own, block by block, and takes the next row when it is done.
    """
    n = len(offsets) - 1
    h = np.zeros((8, LANES), np.uint64)
    m = np.zeros((16, LANES), np.uint64)
    counts, lasts = np.zeros(LANES, np.uint64), np.full(LANES, ~uint64(0))
    rows, places = np.full(LANES, -1), np.zeros(LANES, np.int64)
    following = done = 0
    while done < n:
        for lane in range(LANES):
            if lasts[lane] and following < n:
                rows[lane], places[lane] = following, offsets[following]
                counts[lane] = 0
                for i in range(8):
                    h[i, lane] = state[i]
                following += 1
            elif lasts[lane]:
                rows[lane] = -1
                continue
            at = places[lane]
            size = min(offsets[rows[lane] + 1] - at, _BLOCK)
            whole = size // 8
            for i in range(whole):
                word = uint64(0)
                for j in range(8):
                    word |= uint64(data[at + j]) << uint64(8 * j)
                m[i, lane] = word
                at += 8
            for i in range(whole, 16):
                m[i, lane] = 0
            for j in range(size % 8):
                m[whole, lane] |= uint64(data[at + j]) << uint64(8 * j)
            places[lane] += size
            counts[lane] += uint64(size)
            lasts[lane] = ~uint64(0) if places[lane] == offsets[rows[lane] + 1] else uint64(0)
        _compress(  # type: ignore[call-arg]
            h.ctypes.data, m.ctypes.data, counts.ctypes.data, lasts.ctypes.data,
            _PERMUTATIONS.ctypes.data,
        )  # fmt: skip
        for lane in range(LANES):
            if lasts[lane] and rows[lane] >= 0:
                out[rows[lane], 0] = h[0, lane]
                out[rows[lane], 1] = h[1, lane]
                done += 1
