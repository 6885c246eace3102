"""Heaps: the largest key first, then the least tie.

`build`, `settle` and `pop` keep a heap of numbered entries whose keys may change: `heap` holds entries and `place` each entry's place in it, -1 once it is taken out. `keys` and
`ties` belong to the entries and are changed by the caller, who then calls `settle`.
`sift` keeps a plain heap of keys and rows.
"""

from __future__ import annotations

from typing import Any

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def _before(keys: Any, ties: Any, a: Any, b: Any) -> Any:  # pragma: no cover
    return keys[a] > keys[b] or (keys[a] == keys[b] and ties[a] < ties[b])


@njit(cache=True, nogil=True)
def _up(heap: Any, place: Any, keys: Any, ties: Any, at: int) -> int:  # pragma: no cover
    entry = heap[at]
    while at > 0:
        parent = (at - 1) // 2
        if not _before(keys, ties, entry, heap[parent]):
            break
        heap[at] = heap[parent]
        place[heap[at]] = at
        at = parent
    heap[at] = entry
    place[entry] = at
    return at


@njit(cache=True, nogil=True)
def _down(
    heap: Any, place: Any, keys: Any, ties: Any, at: int, size: int
) -> None:  # pragma: no cover
    entry = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(keys, ties, heap[child + 1], heap[child]):
            child += 1
        if not _before(keys, ties, heap[child], entry):
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = entry
    place[entry] = at


@njit(cache=True, nogil=True)
def build(heap: Any, place: Any, keys: Any, ties: Any, size: int) -> None:  # pragma: no cover
    """Put the first `size` entries of `heap` in order."""
    for at in range(size):
        place[heap[at]] = at
    for at in range(size // 2 - 1, -1, -1):
        _down(heap, place, keys, ties, at, size)


@njit(cache=True, nogil=True)
def settle(
    heap: Any, place: Any, keys: Any, ties: Any, entry: int, size: int
) -> None:  # pragma: no cover
    """Move `entry` to where its changed key belongs."""
    at = _up(heap, place, keys, ties, place[entry])
    _down(heap, place, keys, ties, at, size)


@njit(cache=True, nogil=True)
def pop(heap: Any, place: Any, keys: Any, ties: Any, size: int) -> Any:  # pragma: no cover
    """Take the first entry out; the heap then holds ``size - 1``."""
    entry = heap[0]
    place[entry] = -1
    last = size - 1
    if last > 0:
        heap[0] = heap[last]
        place[heap[0]] = 0
        _down(heap, place, keys, ties, 0, last)
    return entry


@njit(cache=True, nogil=True)
def sift(keys: Any, rows: Any, place: int, size: int) -> None:  # pragma: no cover
    """Move an entry of a heap down to where it belongs: larger key first, then smaller row."""
    key, row = keys[place], rows[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            keys[right] > keys[child] or (keys[right] == keys[child] and rows[right] < rows[child])
        ):
            child = right
        if keys[child] > key or (keys[child] == key and rows[child] < row):
            keys[place], rows[place] = keys[child], rows[child]
            place = child
        else:
            break
    keys[place], rows[place] = key, row
