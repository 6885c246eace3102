"""Numba kernels of exact search by codes: codes tell which pairs are worth an exact key.

A query's *limit* is a key of codes that no row among its k nearest can exceed. It comes from the k
least keys of codes so far, or from the worst of k exact keys, whichever is lower, by the triangle
inequality (see `limit_within`). Rows below it wait, and most of them are ruled out by a later limit
before their exact key is computed.
"""

from __future__ import annotations

import numpy as np

from assay.index.vectors._knn_kernels import COSINE, IP, L2, enter, exact_key
from assay.index.vectors._tile_kernels import (
    aligned,
    near_pairs,
    pack_columns,
    pack_rows,
    padded,
    set_columns,
    set_queries,
    valid_columns,
)
from assay.index.vectors._tiles import COLUMNS, ROWS
from assay.storage.compiling import njit

# queries whose packed codes stay in the cache while columns pass by, and columns packed at once
_QUERIES = 16 * ROWS
_PACKED = 4_096
# rows that wait for their exact key, beside k
_WAITING = 128
# of float32 keys and of rotations, relative to the squared sum of the lengths of both rows
ROUNDING = 4e-6


@njit(cache=True, nogil=True)
def _up(value):  # type: ignore[no-untyped-def]
    """Return a float32 that is not below a float64."""
    return np.float32(value + 2e-7 * abs(value) + 1e-37)


@njit(cache=True, nogil=True)
def limit_within(distance, length, lost, same):  # type: ignore[no-untyped-def]
    """Return the greatest key of codes of a row within `distance` of a query of some length.

    `lost` bounds the errors of both codes together, `same` the squared distances that exact keys
    don't tell from 0. A row that is so near is at most so much longer.
    """
    apart = np.sqrt(distance * distance + same) + lost
    return _up(apart * apart + ROUNDING * (2.0 * length + apart) ** 2)


@njit(cache=True, nogil=True)
def distance_within(key, length, lost):  # type: ignore[no-untyped-def]
    """Return the greatest distance from a query of rows whose codes have a key."""
    apart = np.sqrt(max(key, 0.0) + 5.0 * ROUNDING * length * length)
    return (apart + 2.0 * ROUNDING * length) * (1.0 + 3.0 * ROUNDING) + lost


@njit(cache=True, nogil=True)
def _limit_of_code(metric, key, length, lost, same):  # type: ignore[no-untyped-def]
    """Return the limit that follows from a k-th key of codes."""
    if metric == IP:
        return _up(key + 4.0 * lost)
    return limit_within(distance_within(key, length, lost), length, lost, same)


@njit(cache=True, nogil=True)
def _limit_of_exact(metric, key, power, length, lost, same):  # type: ignore[no-untyped-def]
    """Return the limit that follows from a k-th exact key."""
    if metric == IP:
        return _up(2.0 * (key * power * power + lost))
    if metric == L2:
        return limit_within(np.sqrt(key) * power, length, lost, same)
    return limit_within(np.sqrt(max(2.0 + 2.0 * key, 0.0)), length, lost, same)


@njit(cache=True, nogil=True)
def _put(line, key):  # type: ignore[no-untyped-def]
    """Enter a key, less than the last one, in an ascending line."""
    place = len(line) - 1
    while place > 0 and line[place - 1] > key:
        line[place] = line[place - 1]
        place -= 1
    line[place] = key


@njit(cache=True, nogil=True)
def search_codes(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, lengths, lost, others, other_facts, metric, power,
    Q, Q_squares, X, X_squares, rank, itself, keys, rows,
):  # fmt: skip
    """Enter on the lists of all queries those of the rows X that may be among their k nearest.

    codes, facts and offsets are those of the queries; others and other_facts those of the rows, where
    a shift of inf takes a row out. lengths and lost float64[m]: of the queries' codes, and what bounds
    the errors of both codes of a pair (of inner products, the error of half a key). Queries of which
    `lost` is inf are left out. itself[r] is the row that query r is (-1: none).
    """
    m, n, k = len(codes), len(others), keys.shape[1]
    d = Q.shape[1]
    same = (d + 8) * 2.0**-51 if metric == COSINE else 0.0
    room = _WAITING + k
    limits = np.where(lost < np.inf, np.float32(np.inf), np.float32(-np.inf)).astype(np.float32)
    best = np.full((m, k), np.inf, np.float32)
    waiting = np.empty((m, room), np.int32)
    waiting_keys = np.empty((m, room), np.float32)
    counts = np.zeros(m, np.int64)
    columns = aligned(min(_PACKED, (n + COLUMNS - 1) // COLUMNS * COLUMNS) * steps * 4)
    size = min(_QUERIES, m)
    packed = aligned(padded(size) * steps * 4)
    row_facts = np.zeros((3, padded(size)), np.float32)
    row_offsets = np.zeros(padded(size), np.int32)
    column_facts = np.full((3, COLUMNS), -np.inf, np.float32)
    near_rows, near_columns = np.empty(size * COLUMNS, np.int32), np.empty(size * COLUMNS, np.int32)
    near_keys = np.empty(size * COLUMNS, np.float32)
    for begin in range(0, n, _PACKED):
        end = min(begin + _PACKED, n)
        pack_columns(kind, others, begin, end, steps, columns)
        for start in range(0, m, _QUERIES):
            part = np.arange(start, min(start + _QUERIES, m))
            pack_rows(kind, codes, part, steps, packed)
            set_queries(kind, facts, offsets, part, row_facts, row_offsets)
            for low in range(begin, end, COLUMNS):
                set_columns(other_facts, low, end, column_facts)
                for r in range(len(part)):
                    row_facts[2, r] = limits[start + r]
                count = near_pairs(
                    kind, packed, 0, len(part), columns[(low - begin) * steps * 4 :], steps,
                    row_facts, row_offsets, column_facts, valid_columns(end - low), -len(part) - 1,
                    near_rows, near_columns, near_keys,
                )  # fmt: skip
                t = 0
                while t < count:
                    i, after, last = start + near_rows[t], t, best[start + near_rows[t], k - 1]
                    # the pairs of a query stand together
                    while after < count and start + near_rows[after] == i:
                        key = near_keys[after]
                        if key < best[i, k - 1] and low + near_columns[after] != itself[i]:
                            _put(best[i], key)
                        after += 1
                    if best[i, k - 1] < last:
                        limit = _limit_of_code(metric, best[i, k - 1], lengths[i], lost[i], same)
                        limits[i] = min(limits[i], limit)
                    for u in range(t, after):
                        j, key = low + near_columns[u], near_keys[u]
                        if key <= limits[i] and key < np.inf and j != itself[i]:
                            waiting[i, counts[i]] = j
                            waiting_keys[i, counts[i]] = key
                            counts[i] += 1
                            if counts[i] == room:
                                limits[i], counts[i] = _make_room(
                                    metric, Q, Q_squares, X, X_squares, rank, keys, rows, i,
                                    waiting[i], waiting_keys[i], limits[i], best[i, k - 1],
                                    power, lengths[i], lost[i], same,
                                )  # fmt: skip
                    t = after
    for i in range(m):
        _decide(
            metric, Q, Q_squares, X, X_squares, rank, keys, rows, i, waiting[i, : counts[i]],
            waiting_keys[i, : counts[i]], limits[i], best[i, k - 1], power, lengths[i], lost[i], same,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _make_room(  # type: ignore[no-untyped-def]
    metric, Q, Q_squares, X, X_squares, rank, keys, rows, i, waiting, waiting_keys, limit, first,
    power, length, lost, same,
):  # fmt: skip
    """Rule out rows that wait, or decide on all of them; return the limit and how many still wait."""
    kept = 0
    for w in range(len(waiting)):
        if waiting_keys[w] <= limit:
            waiting[kept] = waiting[w]
            waiting_keys[kept] = waiting_keys[w]
            kept += 1
    if 2 * kept <= len(waiting):
        return limit, kept
    limit = _decide(
        metric, Q, Q_squares, X, X_squares, rank, keys, rows, i, waiting[:kept],
        waiting_keys[:kept], limit, first, power, length, lost, same,
    )  # fmt: skip
    return limit, 0


@njit(cache=True, nogil=True)
def _decide(  # type: ignore[no-untyped-def]
    metric, Q, Q_squares, X, X_squares, rank, keys, rows, i, waiting, waiting_keys, limit, first,
    power, length, lost, same,
):  # fmt: skip
    """Compute the exact keys of the rows that wait, the most promising first; return the limit."""
    last = keys.shape[1] - 1
    for turn in range(2):
        for w in range(len(waiting)):
            key = waiting_keys[w]
            if key > limit or (key <= first) != (turn == 0):
                continue
            j = waiting[w]
            before = keys[i, last]
            key = exact_key(metric, Q, i, Q_squares[i], X, j, X_squares[j])
            enter(keys, rows, i, key, j, rank)
            if keys[i, last] < before:
                exact = _limit_of_exact(metric, keys[i, last], power, length, lost, same)
                limit = min(limit, exact)
    return limit


@njit(cache=True, nogil=True)
def offer(metric, Q, Q_squares, which, X, X_squares, rank, others, itself, keys, rows):  # type: ignore[no-untyped-def]
    """Offer the rows X[others] to the lists of the queries `which`, by exact keys."""
    for i in which:
        for j in others:
            if j != itself[i]:
                key = exact_key(metric, Q, i, Q_squares[i], X, j, X_squares[j])
                enter(keys, rows, i, key, j, rank)
