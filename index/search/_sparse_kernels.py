"""Numba kernels of the sparse index: terms of rows, postings, search by accumulation."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.storage.compiling import njit

# weights of unit rows are kept as whole parts of this in postings, whose sums have no order
_PARTS = 255


@njit(cache=True, nogil=True)
def count_terms(
    indptr: Any, buckets: Any, starts: Any, terms: Any, counts: Any
) -> int:  # pragma: no cover
    """Write the distinct buckets of each row, ascending, and their counts up to 255; return how many."""
    size = 0
    starts[0] = 0
    for row in range(len(indptr) - 1):
        ordered = np.sort(buckets[indptr[row] : indptr[row + 1]])
        for at in range(len(ordered)):
            if at and ordered[at] == ordered[at - 1]:
                counts[size - 1] = min(255, counts[size - 1] + 1)
            else:
                terms[size], counts[size] = ordered[at], 1
                size += 1
        starts[row + 1] = size
    return size


@njit(cache=True, nogil=True)
def lengths(starts: Any, terms: Any, counts: Any, idf: Any, norms: Any) -> None:  # pragma: no cover
    """Write the Euclidean length of every row's weights."""
    for row in range(len(starts) - 1):
        total = 0.0
        for at in range(starts[row], starts[row + 1]):
            weight = (1.0 + np.log(counts[at])) * idf[terms[at]]
            total += weight * weight
        norms[row] = np.sqrt(total)


@njit(cache=True, nogil=True)
def heaviest(  # pragma: no cover
    starts: Any, terms: Any, counts: Any, idf: Any, norms: Any, searched: Any, most: int,
    kept: Any, codes: Any, sizes: Any,
) -> None:  # fmt: skip
    """Write the `most` heaviest searched terms of every row and their weights in whole parts."""
    for row in range(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        weights = np.empty(last - first)
        for at in range(first, last):
            weights[at - first] = 0.0
            if searched[terms[at]]:
                weights[at - first] = -(1.0 + np.log(counts[at])) * idf[terms[at]]
        # a stable sort: terms ascend, and so do equal weights' terms
        order = np.argsort(weights, kind="mergesort")
        size = 0
        for place in order[:most]:
            if weights[place] == 0.0:
                break
            kept[row, size] = terms[first + place]
            codes[row, size] = max(1, int(np.rint(-weights[place] / norms[row] * _PARTS)))
            size += 1
        sizes[row] = size


@njit(cache=True, nogil=True)
def fill_postings(
    kept: Any, codes: Any, sizes: Any, places: Any, rows: Any, parts: Any
) -> None:  # pragma: no cover
    """Write the rows of each term in order; `places` begins as the first place of each term."""
    for row in range(len(sizes)):
        for at in range(sizes[row]):
            term = kept[row, at]
            rows[places[term]], parts[places[term]] = row, codes[row, at]
            places[term] += 1


@njit(inline="always")
def _worse(one: Any, other: Any, row: Any, place: Any) -> Any:
    """Whether (one, row) comes after (other, place): fewer parts, or as many and a later row."""
    return one < other or (one == other and row > place)


@njit(cache=True, nogil=True)
def _offer(
    values: Any, rows: Any, size: int, limit: int, value: Any, row: Any
) -> int:  # pragma: no cover
    """Offer a row to a heap whose root is the worst of at most `limit`; return its size."""
    if size < limit:
        at = size
        while at > 0:
            up = (at - 1) // 2
            if not _worse(value, values[up], row, rows[up]):
                break
            values[at], rows[at] = values[up], rows[up]
            at = up
        values[at], rows[at] = value, row
        return size + 1
    if not _worse(values[0], value, rows[0], row):
        return size
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and _worse(values[down + 1], values[down], rows[down + 1], rows[down]):
            down += 1
        if not _worse(values[down], value, rows[down], row):
            break
        values[at], rows[at] = values[down], rows[down]
        at = down
    values[at], rows[at] = value, row
    return size


@njit(cache=True, nogil=True)
def search_rows(  # pragma: no cover
    query_starts: Any, query_terms: Any, query_counts: Any, own: Any,
    starts: Any, terms: Any, counts: Any, norms: Any, idf: Any,
    begins: Any, rows: Any, parts: Any, limit: int, out_rows: Any, cosines: Any,
) -> None:  # fmt: skip
    """Write the rows of greatest cosine to each query, best first, ties in order of row.

    `own` is the row that a query is, which is left out, or -1.
    """
    n, k = len(starts) - 1, out_rows.shape[1]
    totals = np.zeros(n, dtype=np.int64)
    touched = np.empty(n, dtype=np.int32)
    dense = np.zeros(len(idf))
    best = np.empty(limit, dtype=np.int64)
    places = np.empty(limit, dtype=np.int64)
    for query in range(len(query_starts) - 1):
        first, last = query_starts[query], query_starts[query + 1]
        length = 0.0
        for at in range(first, last):
            weight = (1.0 + np.log(query_counts[at])) * idf[query_terms[at]]
            dense[query_terms[at]] = weight
            length += weight * weight
        length = np.sqrt(length)
        reached = 0
        for at in range(first, last):
            term = query_terms[at]
            if begins[term] == begins[term + 1]:
                continue
            part = max(1, int(np.rint(dense[term] / length * _PARTS)))
            for place in range(begins[term], begins[term + 1]):
                row = rows[place]
                if totals[row] == 0:
                    touched[reached] = row
                    reached += 1
                totals[row] += part * parts[place]
        size = 0
        for at in range(reached):
            row = touched[at]
            if row != own[query]:
                size = _offer(best, places, size, limit, totals[row], row)
            totals[row] = 0
        filled = 0
        for at in range(size):
            row = places[at]
            product = 0.0
            for place in range(starts[row], starts[row + 1]):
                weight = dense[terms[place]]
                if weight > 0.0:
                    product += weight * (1.0 + np.log(counts[place])) * idf[terms[place]]
            cosine = min(1.0, product / (length * norms[row]))
            to = filled if filled < k else k
            while to > 0 and (
                cosine > cosines[query, to - 1]
                or (cosine == cosines[query, to - 1] and row < out_rows[query, to - 1])
            ):
                to -= 1
            if to == k:
                continue
            for move in range(min(filled, k - 1), to, -1):
                cosines[query, move], out_rows[query, move] = (
                    cosines[query, move - 1],
                    out_rows[query, move - 1],
                )
            cosines[query, to], out_rows[query, to] = cosine, row
            filled = min(filled + 1, k)
        for at in range(first, last):
            dense[query_terms[at]] = 0.0
