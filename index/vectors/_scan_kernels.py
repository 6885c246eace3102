"""Numba kernels that scan int8 codes: all pairs of two sets of rows are compared by tiles.

A scan packs columns (up to 64 at a time) and queries, and takes from each tile the pairs whose key is
at most the limit of one of the two. What is listed doesn't depend on the order in which pairs are
met: a list holds the least (key, row) of all of them.
"""

from __future__ import annotations

import numpy as np

from assay.index.vectors._knn_kernels import enter, exact_key
from assay.index.vectors._row_sums import LINE, LINES
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
from assay.index.vectors._tiles import COLUMNS, LANES, ROWS, enter_short
from assay.storage.compiling import njit, prefetch

# queries whose packed codes stay in the cache while columns pass by
_QUERIES = 16 * ROWS
# how the rows that are met are related to the queries
OTHERS, AMONG, TRIANGLE = 0, 1, 2
# which side of a pair has lists: both of them, the queries, or the rows that they meet
BOTH, QUERIES, MET = 0, 1, 2


@njit(cache=True, nogil=True)
def enter_code(keys, rows, at, key, row):  # type: ignore[no-untyped-def]
    """Enter a row on a list of the least (key, row), unless it is there; return the last key."""
    length = keys.shape[1]
    if length <= LANES:
        return enter_short(  # type: ignore[call-arg]
            keys.ctypes.data + 4 * at * length, rows.ctypes.data + 4 * at * length, length, key, row
        )
    last = length - 1
    if key > keys[at, last] or (key == keys[at, last] and row >= rows[at, last]):
        return keys[at, last]
    place = last
    while place > 0 and (
        keys[at, place - 1] > key or (keys[at, place - 1] == key and rows[at, place - 1] > row)
    ):
        place -= 1
    # a pair has one key, so that a row that is there stands just before
    if place > 0 and rows[at, place - 1] == row and keys[at, place - 1] == key:
        return keys[at, last]
    for t in range(last, place, -1):
        keys[at, t] = keys[at, t - 1]
        rows[at, t] = rows[at, t - 1]
    keys[at, place] = key
    rows[at, place] = row
    return keys[at, last]


@njit(cache=True, nogil=True)
def scan(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, queries, others, other_facts, begin, end, how, served, first,
    limits, keys, rows,
):  # fmt: skip
    """Let the rows `queries` of `codes` meet the rows begin..end of `others`.

    The list of row i is number i - first of keys float32[lists, k] and rows int32[lists, k], whose
    last keys are `limits`. The `served` (QUERIES, MET or BOTH) get the other side on their lists. `how`: the
    `others` are other rows (OTHERS), the same rows, where none meets itself (AMONG), or the queries
    are begin, begin + 1, ... of the same rows and each pair is met once (TRIANGLE).
    """
    if end <= begin or len(queries) == 0:
        return
    groups = (end - begin + COLUMNS - 1) // COLUMNS
    columns = aligned(groups * COLUMNS * steps * 4)
    pack_columns(kind, others, begin, end, steps, columns)
    size = min(_QUERIES, len(queries))
    packed = aligned(padded(size) * steps * 4)
    row_facts = np.zeros((3, padded(size)), np.float32)
    row_offsets = np.zeros(padded(size), np.int32)
    column_facts = np.empty((3, COLUMNS), np.float32)
    near_rows, near_columns = np.empty(size * COLUMNS, np.int32), np.empty(size * COLUMNS, np.int32)
    near_keys = np.empty(size * COLUMNS, np.float32)
    nothing = np.float32(-np.inf)
    for start in range(0, len(queries), _QUERIES):
        part = queries[start : start + _QUERIES]
        pack_rows(kind, codes, part, steps, packed)
        set_queries(kind, facts, offsets, part, row_facts, row_offsets)
        for group in range(groups):
            low = begin + group * COLUMNS
            skip = part[0] - low if how == TRIANGLE else -len(part) - 1
            if skip >= COLUMNS - 1:
                continue
            set_columns(other_facts, low, end, column_facts)
            for c in range(COLUMNS):
                has_list = served != QUERIES and low + c < end
                column_facts[2, c] = limits[low + c - first] if has_list else nothing
            for r in range(len(part)):
                row_facts[2, r] = limits[part[r] - first] if served != MET else nothing
            count = near_pairs(
                kind, packed, 0, len(part), columns[group * COLUMNS * steps * 4 :], steps,
                row_facts, row_offsets, column_facts, valid_columns(end - low), skip,
                near_rows, near_columns, near_keys,
            )  # fmt: skip
            for t in range(count):
                i, j, key = part[near_rows[t]], low + near_columns[t], near_keys[t]
                if how == AMONG and i == j:
                    continue
                if served != MET and key <= limits[i - first]:
                    limits[i - first] = enter_code(keys, rows, i - first, key, j)
                if served != QUERIES and key <= limits[j - first]:
                    limits[j - first] = enter_code(keys, rows, j - first, key, i)


@njit(cache=True, nogil=True)
def scan_exactly(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, queries, limits, begin, end,
    metric, X, at, squares, rank, lists, keys, rows,
):  # fmt: skip
    """Let rows meet the rows begin..end; each pair whose key of codes is within a limit is computed.

    limits[i] is the limit of row i and lists[i] its list in keys float64 and rows; X[at[i]] is its
    vector. Equal keys are put in order of `rank`.
    """
    if end <= begin or len(queries) == 0:
        return
    groups = (end - begin + COLUMNS - 1) // COLUMNS
    columns = aligned(groups * COLUMNS * steps * 4)
    pack_columns(kind, codes, begin, end, steps, columns)
    size = min(_QUERIES, len(queries))
    packed = aligned(padded(size) * steps * 4)
    row_facts = np.zeros((3, padded(size)), np.float32)
    row_offsets = np.zeros(padded(size), np.int32)
    column_facts = np.full((3, COLUMNS), -np.inf, np.float32)
    near_rows, near_columns = np.empty(size * COLUMNS, np.int32), np.empty(size * COLUMNS, np.int32)
    near_keys = np.empty(size * COLUMNS, np.float32)
    for start in range(0, len(queries), _QUERIES):
        part = queries[start : start + _QUERIES]
        pack_rows(kind, codes, part, steps, packed)
        set_queries(kind, facts, offsets, part, row_facts, row_offsets)
        for r in range(len(part)):
            row_facts[2, r] = limits[part[r]]
        for group in range(groups):
            low = begin + group * COLUMNS
            set_columns(facts, low, end, column_facts)
            count = near_pairs(
                kind, packed, 0, len(part), columns[group * COLUMNS * steps * 4 :], steps,
                row_facts, row_offsets, column_facts, valid_columns(end - low), -len(part) - 1,
                near_rows, near_columns, near_keys,
            )  # fmt: skip
            for t in range(count):
                i, j = part[near_rows[t]], low + near_columns[t]
                if i != j:
                    key = exact_key(metric, X, at[i], squares[i], X, at[j], squares[j])
                    enter(keys, rows, lists[i], key, j, rank)


@njit(cache=True, nogil=True)
def _between(rows, begin, end):  # type: ignore[no-untyped-def]
    """Return those of the ascending `rows` that are in begin..end."""
    return rows[np.searchsorted(rows, begin) : np.searchsorted(rows, end)].astype(np.int64)


@njit(cache=True, nogil=True)
def meet_cells(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, bounds, low, high, starts, visitors, begin, end, how,
    limits, keys, rows,
):  # fmt: skip
    """Let cells low..high meet; both sides are served.

    `how`: the rows of each cell meet one another (TRIANGLE), or the cell meets those of its visitors
    that are in begin..end (AMONG).
    """
    for c in range(low, high):
        if how == TRIANGLE:
            here = np.arange(bounds[c], bounds[c + 1])
        else:
            here = _between(visitors[starts[c] : starts[c + 1]], begin, end)
        scan(
            kind, steps, codes, facts, offsets, here, codes, facts, bounds[c], bounds[c + 1],
            how, np.int64(BOTH), np.int64(0), limits, keys, rows,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def meet_slice(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, bounds, starts, visitors, begin, end, limits, keys, rows
):
    """Let the rows begin..end meet all that they should; only they have lists (first: begin)."""
    for c in range(len(bounds) - 1):
        b, e = bounds[c], bounds[c + 1]
        visiting = visitors[starts[c] : starts[c + 1]]
        scan(
            kind, steps, codes, facts, offsets, _between(visiting, begin, end), codes, facts,
            b, e, np.int64(AMONG), np.int64(QUERIES), begin, limits, keys, rows,
        )  # fmt: skip
        first, last = max(b, begin), min(e, end)
        if first < last:
            scan(
                kind, steps, codes, facts, offsets, np.arange(first, last), codes, facts,
                b, e, np.int64(AMONG), np.int64(QUERIES), begin, limits, keys, rows,
            )  # fmt: skip
            scan(
                kind, steps, codes, facts, offsets, visiting.astype(np.int64), codes, facts,
                first, last, np.int64(AMONG), np.int64(MET), begin, limits, keys, rows,
            )  # fmt: skip


@njit(cache=True, nogil=True)
def look_again(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, bounds, starts, visitors, begin, end, unsafe, limits,
    metric, X, at, squares, rank, lists, keys, rows,
):  # fmt: skip
    """Let the unsafe rows of begin..end meet their own and their visited cells by exact keys."""
    for c in range(len(bounds) - 1):
        visiting = _between(visitors[starts[c] : starts[c + 1]], begin, end)
        own = np.arange(max(bounds[c], begin), max(min(bounds[c + 1], end), max(bounds[c], begin)))
        here = np.concatenate((own, visiting))
        scan_exactly(
            kind, steps, codes, facts, offsets, here[unsafe[here]], limits,
            bounds[c], bounds[c + 1], metric, X, at, squares, rank, lists, keys, rows,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def rank_lists(metric, X, at, squares, rank, which, candidates, keys, rows):  # type: ignore[no-untyped-def]
    """Fill the lists of the rows `which` with the best of candidates[s] by exact keys (-1: no more)."""
    lines = min(LINES, (X.shape[1] * X.itemsize + LINE - 1) // LINE)
    for s in range(len(which)):
        i = which[s]
        for t in range(candidates.shape[1]):
            if s + 1 < len(which) and candidates[s + 1, t] >= 0:
                start = X.ctypes.data + at[candidates[s + 1, t]] * X.strides[0]
                for line in range(lines):
                    prefetch(start + line * LINE)  # type: ignore[call-arg]
            j = candidates[s, t]
            if j < 0:
                break
            if j != i:
                key = exact_key(metric, X, at[i], squares[i], X, at[j], squares[j])
                enter(keys, rows, s, key, j, rank)


@njit(cache=True, nogil=True)
def rank_others(metric, X, at, squares, rank, which, others, keys, rows):  # type: ignore[no-untyped-def]
    """Offer all of the rows `others` to the lists of the rows `which`, by exact keys."""
    for s in range(len(which)):
        i = which[s]
        for j in others:
            if j != i:
                key = exact_key(metric, X, at[i], squares[i], X, at[j], squares[j])
                enter(keys, rows, s, key, j, rank)


@njit(cache=True, nogil=True)
def visits(  # type: ignore[no-untyped-def]
    kind, steps, codes, facts, offsets, own, begin, end, cell, apart, tau, radius,
    columns, centroid_facts, out_rows, out_cells,
):  # fmt: skip
    """Find the cells that the rows begin..end of a cell visit; return how many visits there are.

    Row i visits cell c where D(i, c) - D(i, cell) <= 2 tau |c - cell|; own[i] is D(i, cell) and
    apart float32[cells] the distances to its centroid. Rows are at most `radius` from it, and so
    at least apart / 2 - radius from the plane between two centroids. What doesn't fit in the
    outputs is only counted.
    """
    count = end - begin
    packed = aligned(padded(count) * steps * 4)
    here = np.arange(begin, end)
    pack_rows(kind, codes, here, steps, packed)
    row_facts = np.zeros((3, padded(count)), np.float32)
    row_offsets = np.zeros(padded(count), np.int32)
    set_queries(kind, facts, offsets, here, row_facts, row_offsets)
    for r in range(count):
        row_facts[0, r] -= own[begin + r]
    column_facts = np.full((3, COLUMNS), -np.inf, np.float32)
    near_rows, near_columns = (
        np.empty(count * COLUMNS, np.int32),
        np.empty(count * COLUMNS, np.int32),
    )
    near_keys = np.empty(count * COLUMNS, np.float32)
    cells = centroid_facts.shape[1]
    n_visits = 0
    for low in range(0, cells, COLUMNS):
        set_columns(centroid_facts, low, cells, column_facts)
        some = False
        for c in range(min(COLUMNS, cells - low)):
            away = apart[low + c]
            if low + c != cell and away * np.float32(0.5) - radius <= tau:
                column_facts[0, c] -= np.float32(2.0) * tau * away
                some = True
            else:
                column_facts[0, c] = np.float32(np.inf)
        if not some:
            continue
        near = near_pairs(
            kind, packed, 0, count, columns[low * steps * 4 :], steps,
            row_facts, row_offsets, column_facts, valid_columns(cells - low), -count - 1,
            near_rows, near_columns, near_keys,
        )  # fmt: skip
        for t in range(near):
            if n_visits < len(out_rows):
                out_rows[n_visits] = begin + near_rows[t]
                out_cells[n_visits] = low + near_columns[t]
            n_visits += 1
    return n_visits
