"""Numba kernels over int8 codes of rows: encoding, and scans that compare all pairs of two sets.

A scan packs columns (up to 64 at a time) and queries for the tiles of `_tiles`, and takes from each
tile the pairs whose key is at most the limit of one of the two. What is listed doesn't depend on
the order in which pairs are met: a list holds the least (key, row) of all of them.
"""

from __future__ import annotations

import numpy as np

from assay.index.vectors._knn_kernels import enter, exact_key
from assay.index.vectors._tiles import (
    COLUMNS,
    LANES,
    ROWS,
    VNNI,
    enter_short,
    lowest_bit,
    tile_of_bytes,
    tile_of_words,
)
from assay.storage.compiling import njit

# queries whose packed codes stay in the cache while columns pass by
_QUERIES = 16 * ROWS
_TOGETHER = 16
# how the rows that are met are related to the queries
OTHERS, AMONG, TRIANGLE = 0, 1, 2
# which side of a pair has lists: both of them, the queries, or the rows that they meet
BOTH, QUERIES, MET = 0, 1, 2


@njit(cache=True, nogil=True)
def encode_rows(  # type: ignore[no-untyped-def]
    X, take, squares, mean, unit, power, signs, codes, scale, square, offset, error
):
    """Encode the rows X[take]: scaled, less the mean, rotated, as scale * int8.

    `unit`: scaled to length 1, otherwise by `power`. The rotation is random signs[round] and a
    Walsh-Hadamard transform, over the first and (where d is no power of two) then over the last
    coordinates. square = scale**2 |code|**2, offset = 128 sum(code), error = the length of what
    rounding lost. Every row is encoded on its own, by steps in a fixed order.
    """
    n, d = len(take), X.shape[1]
    width = 1
    while 2 * width <= d:
        width *= 2
    some = np.empty((d, _TOGETHER), np.float32)
    row = np.empty(d, np.float32)
    evenly = np.float32(1.0 / np.sqrt(width))
    for begin in range(0, n, _TOGETHER):
        count = min(_TOGETHER, n - begin)
        for r in range(count):
            i = take[begin + r]
            factor = power
            if unit:
                length = np.sqrt(squares[begin + r])
                factor = 1.0 / length if length > 0.0 else 0.0
            for e in range(d):
                some[e, r] = np.float32(np.float64(X[i, e]) * factor) - mean[e]
        for turn in range(1 if width == d else 2):
            first = 0 if turn == 0 else d - width
            for e in range(d):
                inside = first <= e < first + width
                factor32 = signs[turn, e] * (evenly if inside else np.float32(1.0))
                for r in range(_TOGETHER):
                    some[e, r] *= factor32
            half = 1
            while half < width:
                for block in range(first, first + width, 2 * half):
                    for e in range(block, block + half):
                        for r in range(_TOGETHER):
                            one, other = some[e, r], some[e + half, r]
                            some[e, r] = one + other
                            some[e + half, r] = one - other
                half *= 2
        for r in range(count):
            at = begin + r
            largest = np.float32(0.0)
            for e in range(d):
                row[e] = some[e, r]
                largest = max(largest, abs(row[e]))
            unitary = largest / np.float32(127.0) if largest > 0 else np.float32(1.0)
            inverse = np.float32(1.0) / unitary
            total, total_square = np.int32(0), np.int32(0)
            for e in range(d):
                code = np.int32(np.rint(row[e] * inverse))
                codes[at, e] = np.int8(code)
                total += code
                total_square += code * code
            lost = 0.0
            for e in range(d):
                rest = np.float64(row[e] - unitary * np.float32(codes[at, e]))
                lost += rest * rest
            scale[at] = unitary
            square[at] = (unitary * unitary) * np.float32(total_square)
            offset[at] = np.int32(128) * total
            error[at] = np.float32(np.sqrt(lost))


@njit(cache=True, nogil=True)
def _aligned(size):  # type: ignore[no-untyped-def]
    room = np.empty(size + 64, np.uint8)
    first = (-room.ctypes.data) & 63
    return room[first : first + size]


@njit(cache=True, nogil=True)
def _pack_columns(kind, codes, begin, end, steps, out):  # type: ignore[no-untyped-def]
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
def _pack_rows(kind, codes, queries, steps, out):  # type: ignore[no-untyped-def]
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
    found = 0
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
                out_rows[found] = begin + r
                out_columns[found] = c
                out_keys[found] = keys[r, c]
                found += 1
    return found


@njit(cache=True, nogil=True)
def _enter_code(keys, rows, at, key, row):  # type: ignore[no-untyped-def]
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
def _padded(count):  # type: ignore[no-untyped-def]
    return (count + ROWS - 1) // ROWS * ROWS


@njit(cache=True, nogil=True)
def _set_queries(kind, facts, offsets, queries, out, out_offsets):  # type: ignore[no-untyped-def]
    """Set shift, scale and offset of queries."""
    for r in range(len(queries)):
        out[0, r] = facts[0, queries[r]]
        out[1, r] = np.float32(2.0) * facts[1, queries[r]]
        out_offsets[r] = offsets[queries[r]] if kind == VNNI else 0


@njit(cache=True, nogil=True)
def _set_columns(facts, begin, end, out):  # type: ignore[no-untyped-def]
    """Set shift and scale of 64 columns; those that are missing are far from everything."""
    for c in range(COLUMNS):
        there = begin + c < end
        out[0, c] = facts[0, begin + c] if there else np.float32(np.inf)
        out[1, c] = facts[1, begin + c] if there else np.float32(0.0)


@njit(cache=True, nogil=True)
def _valid(count):  # type: ignore[no-untyped-def]
    return np.int64(-1) if count >= COLUMNS else (np.int64(1) << count) - 1


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
    columns = _aligned(groups * COLUMNS * steps * 4)
    _pack_columns(kind, others, begin, end, steps, columns)
    size = min(_QUERIES, len(queries))
    packed = _aligned(_padded(size) * steps * 4)
    row_facts = np.zeros((3, _padded(size)), np.float32)
    row_offsets = np.zeros(_padded(size), np.int32)
    column_facts = np.empty((3, COLUMNS), np.float32)
    near_rows, near_columns = np.empty(size * COLUMNS, np.int32), np.empty(size * COLUMNS, np.int32)
    near_keys = np.empty(size * COLUMNS, np.float32)
    nothing = np.float32(-np.inf)
    for start in range(0, len(queries), _QUERIES):
        part = queries[start : start + _QUERIES]
        _pack_rows(kind, codes, part, steps, packed)
        _set_queries(kind, facts, offsets, part, row_facts, row_offsets)
        for group in range(groups):
            low = begin + group * COLUMNS
            skip = part[0] - low if how == TRIANGLE else -len(part) - 1
            if skip >= COLUMNS - 1:
                continue
            _set_columns(other_facts, low, end, column_facts)
            for c in range(COLUMNS):
                there = served != QUERIES and low + c < end
                column_facts[2, c] = limits[low + c - first] if there else nothing
            for r in range(len(part)):
                row_facts[2, r] = limits[part[r] - first] if served != MET else nothing
            found = near_pairs(
                kind, packed, 0, len(part), columns[group * COLUMNS * steps * 4 :], steps,
                row_facts, row_offsets, column_facts, _valid(end - low), skip,
                near_rows, near_columns, near_keys,
            )  # fmt: skip
            for t in range(found):
                i, j, key = part[near_rows[t]], low + near_columns[t], near_keys[t]
                if how == AMONG and i == j:
                    continue
                if served != MET and key <= limits[i - first]:
                    limits[i - first] = _enter_code(keys, rows, i - first, key, j)
                if served != QUERIES and key <= limits[j - first]:
                    limits[j - first] = _enter_code(keys, rows, j - first, key, i)


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
    columns = _aligned(groups * COLUMNS * steps * 4)
    _pack_columns(kind, codes, begin, end, steps, columns)
    size = min(_QUERIES, len(queries))
    packed = _aligned(_padded(size) * steps * 4)
    row_facts = np.zeros((3, _padded(size)), np.float32)
    row_offsets = np.zeros(_padded(size), np.int32)
    column_facts = np.full((3, COLUMNS), -np.inf, np.float32)
    near_rows, near_columns = np.empty(size * COLUMNS, np.int32), np.empty(size * COLUMNS, np.int32)
    near_keys = np.empty(size * COLUMNS, np.float32)
    for start in range(0, len(queries), _QUERIES):
        part = queries[start : start + _QUERIES]
        _pack_rows(kind, codes, part, steps, packed)
        _set_queries(kind, facts, offsets, part, row_facts, row_offsets)
        for r in range(len(part)):
            row_facts[2, r] = limits[part[r]]
        for group in range(groups):
            low = begin + group * COLUMNS
            _set_columns(facts, low, end, column_facts)
            found = near_pairs(
                kind, packed, 0, len(part), columns[group * COLUMNS * steps * 4 :], steps,
                row_facts, row_offsets, column_facts, _valid(end - low), -len(part) - 1,
                near_rows, near_columns, near_keys,
            )  # fmt: skip
            for t in range(found):
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
def rank_lists(metric, X, at, squares, rank, which, found, keys, rows):  # type: ignore[no-untyped-def]
    """Fill the lists of the rows `which` with the best of found[s] by exact keys (-1: no more)."""
    for s in range(len(which)):
        i = which[s]
        for t in range(found.shape[1]):
            j = found[s, t]
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
    packed = _aligned(_padded(count) * steps * 4)
    here = np.arange(begin, end)
    _pack_rows(kind, codes, here, steps, packed)
    row_facts = np.zeros((3, _padded(count)), np.float32)
    row_offsets = np.zeros(_padded(count), np.int32)
    _set_queries(kind, facts, offsets, here, row_facts, row_offsets)
    for r in range(count):
        row_facts[0, r] -= own[begin + r]
    column_facts = np.full((3, COLUMNS), -np.inf, np.float32)
    near_rows, near_columns = (
        np.empty(count * COLUMNS, np.int32),
        np.empty(count * COLUMNS, np.int32),
    )
    near_keys = np.empty(count * COLUMNS, np.float32)
    cells = centroid_facts.shape[1]
    found = 0
    for low in range(0, cells, COLUMNS):
        _set_columns(centroid_facts, low, cells, column_facts)
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
            row_facts, row_offsets, column_facts, _valid(cells - low), -count - 1,
            near_rows, near_columns, near_keys,
        )  # fmt: skip
        for t in range(near):
            if found < len(out_rows):
                out_rows[found] = begin + near_rows[t]
                out_cells[found] = low + near_columns[t]
            found += 1
    return found


@njit(cache=True, nogil=True)
def pack(kind, codes, steps):  # type: ignore[no-untyped-def]
    """Return all rows packed as columns of tiles, in groups of 64."""
    groups = (len(codes) + COLUMNS - 1) // COLUMNS
    out = _aligned(groups * COLUMNS * steps * 4)
    _pack_columns(kind, codes, np.int64(0), np.int64(len(codes)), steps, out)
    return out


@njit(cache=True, nogil=True)
def cell_sums(codes, scale, cells, sums, sizes):  # type: ignore[no-untyped-def]
    """Add the decoded rows to the sums float64[cells, d] of their cells, in their order."""
    for i in range(len(cells)):
        sizes[cells[i]] += 1
        for e in range(sums.shape[1]):
            sums[cells[i], e] += np.float64(scale[i]) * np.float64(codes[i, e])


@njit(cache=True, nogil=True)
def means(X, at, weights, bounds, out):  # type: ignore[no-untyped-def]
    """Set out float64[cells, d] to the means of the weighted X[at[bounds[c] : bounds[c + 1]]]."""
    for c in range(len(bounds) - 1):
        for i in range(bounds[c], bounds[c + 1]):
            for e in range(out.shape[1]):
                out[c, e] += weights[i] * X[at[i], e]
        for e in range(out.shape[1]):
            out[c, e] /= max(1, bounds[c + 1] - bounds[c])


@njit(cache=True, nogil=True)
def code_keys(codes, facts, ones, others, other_facts, twos, out):  # type: ignore[no-untyped-def]
    """Set out float32 to the keys of the pairs (ones[t], twos[t]), as a tile computes them."""
    for t in range(len(ones)):
        i, j = ones[t], twos[t]
        product = np.int32(0)
        for e in range(codes.shape[1]):
            product += np.int32(codes[i, e]) * np.int32(others[j, e])
        scale = (np.float32(2.0) * facts[1, i]) * other_facts[1, j]
        out[t] = (facts[0, i] + other_facts[0, j]) - scale * np.float32(product)
