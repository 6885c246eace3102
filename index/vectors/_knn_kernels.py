"""Numba kernels of the nearest-neighbor searches.

A *key* orders the neighbors of a row: lower is nearer. It is the squared distance (l2), the
negated cosine (cosine) or the negated inner product (ip), summed in float64 over float32
coordinates. Lists of neighbors are two arrays, `keys` float64[n, k] and `rows` int32[n, k], best
first, padded with inf and -1. Equal keys are put in order of `rank`.
"""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit

L2, COSINE, IP = 0, 1, 2
METRICS = {"l2": L2, "cosine": COSINE, "ip": IP}

# what a sum may do to be vectorized; NaN and infinity keep their meaning
_REASSOCIATE = {"reassoc", "contract", "nsz"}


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _dot(a, i, b, j):  # type: ignore[no-untyped-def]
    total = 0.0
    for e in range(a.shape[1]):
        total += np.float64(a[i, e]) * np.float64(b[j, e])
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _squared_distance(a, i, b, j):  # type: ignore[no-untyped-def]
    total = 0.0
    for e in range(a.shape[1]):
        difference = np.float64(a[i, e]) - np.float64(b[j, e])
        total += difference * difference
    return total


@njit(cache=True, nogil=True)
def exact_key(metric, a, i, a_square, b, j, b_square):  # type: ignore[no-untyped-def]
    if metric == L2:
        return _squared_distance(a, i, b, j)
    product = _dot(a, i, b, j)
    if metric == IP:
        return -product
    lengths = np.sqrt(a_square * b_square)
    return -product / lengths if lengths > 0.0 else 0.0


@njit(cache=True, nogil=True)
def squared_norms(X):  # type: ignore[no-untyped-def]
    """Return the squared length of every row, float64[n]."""
    out = np.empty(X.shape[0])
    for i in range(X.shape[0]):
        out[i] = _dot(X, i, X, i)
    return out


@njit(cache=True, nogil=True)
def unit(X):  # type: ignore[no-untyped-def]
    """Return the rows divided by their lengths in float64, as float32; rows of 0 stay."""
    out = np.empty(X.shape, np.float32)
    for i in range(X.shape[0]):
        length = np.sqrt(_dot(X, i, X, i))
        if length == 0:
            length = 1.0
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] / length
    return out


@njit(cache=True, nogil=True)
def enter(keys, rows, slot, key, row, rank):  # type: ignore[no-untyped-def]
    last = keys.shape[1] - 1
    if key > keys[slot, last] or (key == keys[slot, last] and rank[row] >= rank[rows[slot, last]]):
        return
    for t in range(last + 1):
        if rows[slot, t] == row:
            return
    t = last
    while t > 0 and (
        keys[slot, t - 1] > key
        or (keys[slot, t - 1] == key and rank[rows[slot, t - 1]] > rank[row])
    ):
        keys[slot, t] = keys[slot, t - 1]
        rows[slot, t] = rows[slot, t - 1]
        t -= 1
    keys[slot, t] = key
    rows[slot, t] = row


@njit(cache=True, nogil=True)
def _bound(line, shifts, minima, smallest):  # type: ignore[no-untyped-def]
    """Return a number that at least len(smallest) of line + shifts don't exceed.

    It is the len(smallest)-th smallest of the minima of len(minima) groups of places.
    """
    minima[:] = np.inf
    for start in range(0, len(line), len(minima)):
        part = line[start : start + len(minima)]
        shift = shifts[start : start + len(minima)]
        for g in range(len(part)):
            value = part[g] + shift[g]
            minima[g] = value if value < minima[g] else minima[g]
    last = len(smallest) - 1
    smallest[:] = np.inf
    for value in minima:
        if value < smallest[last]:
            t = last
            while t > 0 and smallest[t - 1] > value:
                smallest[t] = smallest[t - 1]
                t -= 1
            smallest[t] = value
    return smallest[last]


@njit(cache=True, nogil=True)
def scan_block(  # type: ignore[no-untyped-def]
    G,
    shifts,
    scale,
    offsets,
    slacks,
    metric,
    Q,
    Q_squares,
    slots,
    itself,
    X,
    X_squares,
    first,
    rank,
    keys,
    rows,
):
    """Put the rows X[first : first + b] that are near enough on the lists of the queries Q.

    G float32[m, b] + shifts[b] holds approximate keys: the key of line r times `scale`, less
    offsets[r], is within slacks[r] of it. It only decides whose key is worth computing, so that
    its rounding can't change the lists. Line r writes to the list slots[r] and leaves out the row
    itself[r].
    """
    k = keys.shape[1]
    minima = np.empty(max(64, 4 * k), np.float32)
    # one more than k, since one of them may be the row itself
    smallest = np.empty(k + 1, np.float32)
    for r in range(G.shape[0]):
        slot = slots[r]
        if rows[slot, k - 1] >= 0:
            limit = np.float32(keys[slot, k - 1] * scale - offsets[r] + slacks[r])
        else:
            limit = np.float32(_bound(G[r], shifts, minima, smallest) + 2.0 * slacks[r])
        for start in range(0, G.shape[1], 128):
            line = G[r, start : start + 128]
            shift = shifts[start : start + 128]
            near = False
            for c in range(len(line)):
                # a NaN (overflow of the approximation) counts as near
                near |= not (line[c] + shift[c] > limit)
            if near:
                for c in range(len(line)):
                    row = first + start + c
                    if not (line[c] + shift[c] > limit) and row != itself[r]:
                        key = exact_key(metric, Q, r, Q_squares[r], X, row, X_squares[row])
                        enter(keys, rows, slot, key, row, rank)


@njit(cache=True, nogil=True)
def nearest_of_block(G, shifts, slacks, metric, Q, Q_squares, X, X_squares, rank, nearest):  # type: ignore[no-untyped-def]
    """Write the row of X that is nearest to each of the queries Q.

    G float32[m, n] + shifts[n] holds approximate keys less what is the same for a whole line, each
    within slacks[r] of the truth. Keys are computed only where several rows are that near.
    """
    minima = np.empty(64, np.float32)
    least = np.empty(1, np.float32)
    for r in range(G.shape[0]):
        line = G[r]
        limit = np.float32(_bound(line, shifts, minima, least) + 2.0 * slacks[r])
        count, last = 0, 0
        for c in range(len(line)):
            # a NaN (overflow of the approximation) counts as near
            near = not (line[c] + shifts[c] > limit)
            count += near
            last = max(last, c * near)
        nearest[r] = last
        if count == 1:
            continue
        best = exact_key(metric, Q, r, Q_squares[r], X, last, X_squares[last])
        for c in range(last):
            if not (line[c] + shifts[c] > limit):
                key = exact_key(metric, Q, r, Q_squares[r], X, c, X_squares[c])
                if key < best or (key == best and rank[c] < rank[nearest[r]]):
                    best = key
                    nearest[r] = c


@njit(cache=True, nogil=True)
def rank_candidates(  # type: ignore[no-untyped-def]
    metric, Q, Q_squares, candidates, X, X_squares, rank, keys, rows
):
    """Enter the best of candidates int64[m, c] (-1: none) on the lists of the queries Q."""
    for r in range(candidates.shape[0]):
        for c in range(candidates.shape[1]):
            row = candidates[r, c]
            if row >= 0 and not _lists(rows, r, row):
                key = exact_key(metric, Q, r, Q_squares[r], X, row, X_squares[row])
                enter(keys, rows, r, key, row, rank)


@njit(cache=True, nogil=True)
def _lists(rows, slot, row):  # type: ignore[no-untyped-def]
    listed = False
    for t in range(rows.shape[1]):
        listed |= rows[slot, t] == row
    return listed


@njit(cache=True, nogil=True)
def spread_to_copies(keys, rows, first, own_keys, starts, members, out_keys, out_rows):  # type: ignore[no-untyped-def]
    """Turn the lists of distinct rows into lists of all rows, copies of a row among them.

    Distinct row g stands for members[starts[g] : starts[g + 1]] (ascending); copies of one row are
    own_keys[g] apart. keys and rows list distinct rows from row `first` on, without the row itself. Every copy
    gets its nearest members by (key, number), without itself. Costs O(k) per row whatever the copies.
    """
    k = out_keys.shape[1]
    best_keys = np.empty(k + 1)
    best = np.empty(k + 1, np.int64)
    for place in range(keys.shape[0]):
        g = first + place
        size = 0
        for t in range(-1, keys.shape[1]):
            other = g if t < 0 else rows[place, t]
            if other < 0:
                break
            key = own_keys[g] if t < 0 else keys[place, t]
            for m in range(starts[other], starts[other + 1]):
                if size == k + 1 and (
                    key > best_keys[k] or (key == best_keys[k] and members[m] > best[k])
                ):
                    break
                if size < k + 1:
                    size += 1
                at = size - 1
                while at > 0 and (
                    best_keys[at - 1] > key
                    or (best_keys[at - 1] == key and best[at - 1] > members[m])
                ):
                    best_keys[at] = best_keys[at - 1]
                    best[at] = best[at - 1]
                    at -= 1
                best_keys[at] = key
                best[at] = members[m]
        for m in range(starts[g], starts[g + 1]):
            row = members[m]
            at = 0
            for t in range(size):
                if best[t] != row and at < k:
                    out_keys[row, at] = best_keys[t]
                    out_rows[row, at] = best[t]
                    at += 1
