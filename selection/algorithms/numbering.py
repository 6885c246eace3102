"""Codes as numbers from 0, in the order in which they are met."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def numbered(codes: Any) -> Any:  # pragma: no cover
    """Return each code's number, in the order in which codes are first met, and how many there are."""
    size = 16
    while size < 2 * len(codes):
        size *= 2
    # open addressing; a slot holds the number of a code plus one
    slots = np.zeros(size, dtype=np.int32)
    found = np.empty(len(codes), dtype=codes.dtype)
    numbers = np.empty(len(codes), dtype=np.int32)
    count = 0
    mask = np.uint64(size - 1)
    for place in range(len(codes)):
        code = codes[place]
        spread = np.uint64(code) * np.uint64(0x9E3779B97F4A7C15)
        slot = (spread >> np.uint64(32)) & mask
        while slots[slot] > 0 and found[slots[slot] - 1] != code:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == 0:
            found[count] = code
            count += 1
            slots[slot] = count
        numbers[place] = slots[slot] - 1
    return numbers, count


@njit(cache=True, nogil=True)
def first_in_row(words: Any, row: Any, count: int) -> Any:  # pragma: no cover
    """Return which words were not met before in the same row; rows follow each other."""
    last = np.full(count, -1, dtype=np.int64)
    first = np.empty(len(words), dtype=np.bool_)
    for place in range(len(words)):
        first[place] = last[words[place]] != row[place]
        last[words[place]] = row[place]
    return first
