"""Stars of rows whose hashes differ in few bits: a multi-index on parts of the hash."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Rows
from assay.storage.compiling import njit

# bits of a table's key at most: 4 bytes per key and part
_KEY_BITS = 20
_RADIUS = 3


class Parts(NamedTuple):
    """How hashes are looked up: parts of so many bits each, in which so many may differ."""

    parts: int
    bits: int
    radius: int


@cache
def plan_parts(bits: int, distance: int, n: int) -> Parts:
    """Choose parts so that hashes at most `distance` apart agree in one but for `radius` bits.

    By the pigeonhole principle that is so where parts * (radius + 1) > distance. Of these the one
    with the fewest comparisons, were all hashes equally likely.

    Examples
    --------
    >>> plan_parts(256, 25, 100_000)
    Parts(parts=13, bits=19, radius=1)
    """
    best, least = None, float("inf")
    for radius in range(_RADIUS + 1):
        parts = distance // (radius + 1) + 1
        width = min(bits // parts, max(_RADIUS + 1, n.bit_length() + 2), _KEY_BITS)
        if width <= radius:
            continue
        looked_up = parts * sum(comb(width, r) for r in range(radius + 1))
        cost = looked_up * (1 + n / 2.0**width)
        if cost < least:
            best, least = Parts(parts, width, radius), cost
    return best or Parts(1, min(bits, _RADIUS), _RADIUS)


def hash_stars(
    hashes: NDArray[np.uint64],
    colors: NDArray[np.uint8],
    order: Rows,
    distance: int,
    color_distance: float,
) -> tuple[Rows, NDArray[np.int64], int]:
    """Let each row become a keeper unless an earlier one is near; join the others to the nearest.

    Every pair that is near is found: no lookup has a limit.

    Parameters
    ----------
    hashes : uint64[n, w]
    colors : uint8[n, c]
    order : int64[m]
        Rows in order of the claim to be a keeper; the others stand alone.
    distance : int
        Most bits in which near rows differ.
    color_distance : float
        Most that their colors differ, on average.

    Returns
    -------
    keeper, distances, compared
        The row that each row belongs to, the bits in which they differ, and how many pairs were
        compared.
    """
    plan = plan_parts(64 * hashes.shape[1], distance, max(1, len(order)))
    # neighboring frequencies go to different parts
    keys = _keys(hashes, plan.parts, plan.bits)
    flips = np.array(_flips(plan.bits, plan.radius), dtype=np.int64)
    keeper, distances, compared = _stars(
        hashes, colors, keys, flips, plan.bits, order, distance, color_distance
    )
    return keeper, distances, int(compared)


def _flips(bits: int, radius: int) -> list[int]:
    """Return all keys of at most `radius` set bits, those of fewer first."""
    chosen = (places for r in range(radius + 1) for places in combinations(range(bits), r))
    return [sum(1 << place for place in places) for places in chosen]


@njit(cache=True, nogil=True)
def _keys(hashes: Any, parts: int, bits: int) -> Any:  # pragma: no cover
    """Return int32[n, parts]: part p of a hash is its bits p, p + parts, p + 2 parts ..."""
    out = np.zeros((len(hashes), parts), dtype=np.int32)
    for row in range(len(hashes)):
        for part in range(parts):
            key = np.int64(0)
            for place in range(bits):
                bit = part + place * parts
                word = hashes[row, bit >> 6]
                key |= np.int64((word >> np.uint64(bit & 63)) & np.uint64(1)) << place
            out[row, part] = key
    return out


@njit(cache=True, nogil=True)
def _ones(word: Any) -> Any:  # pragma: no cover
    """Return how many bits of a word are set."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    low = np.uint64(0x3333333333333333)
    word = (word & low) + ((word >> np.uint64(2)) & low)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _stars(  # pragma: no cover
    hashes: Any,
    colors: Any,
    keys: Any,
    flips: Any,
    bits: int,
    order: Any,
    distance: int,
    color_distance: float,
) -> Any:
    n, parts = keys.shape
    words, shades = hashes.shape[1], colors.shape[1]
    most = color_distance * shades
    head = np.full((parts, 1 << bits), -1, dtype=np.int32)
    after = np.full((parts, n), -1, dtype=np.int32)
    seen = np.full(n, -1, dtype=np.int64)
    keeper = np.arange(n)
    distances = np.zeros(n, dtype=np.int64)
    compared = 0
    count = len(order)
    for turn in range(2 * count):
        # the second time round, the rows that were left out choose among all keepers
        row = order[turn % count]
        if turn >= count and keeper[row] == row:
            continue
        least, which = np.int64(distance + 1), np.int64(-1)
        for part in range(parts):
            for flip in flips:
                other = head[part, keys[row, part] ^ flip]
                while other >= 0:
                    if seen[other] != turn:
                        seen[other] = turn
                        compared += 1
                        apart = np.int64(0)
                        for word in range(words):
                            apart += _ones(hashes[row, word] ^ hashes[other, word])
                        if apart < least or (apart == least and other < which):
                            shade = np.int64(0)
                            for place in range(shades):
                                shade += abs(
                                    np.int64(colors[row, place]) - np.int64(colors[other, place])
                                )
                            if shade <= most:
                                least, which = apart, other
                    other = after[part, other]
        if which >= 0:
            keeper[row] = which
            distances[row] = least
        elif turn < count:
            for part in range(parts):
                key = keys[row, part]
                after[part, row] = head[part, key]
                head[part, key] = row
    return keeper, distances, compared
