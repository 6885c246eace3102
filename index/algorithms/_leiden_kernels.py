"""Numba kernels of the Leiden algorithm: moving nodes, refining communities, aggregating parts.

`penalty` is the resolution divided by the sum of all strengths (sums of weights); `least` the
smallest gain that counts.
"""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def move(indptr, indices, weights, strength, labels, order, penalty, least):  # type: ignore[no-untyped-def]
    """Move nodes to the best community beside them until none gains; return how many moved."""
    n = len(labels)
    totals = np.zeros(n)
    for i in range(n):
        totals[labels[i]] += strength[i]
    least = least / penalty
    to = np.zeros(n)
    queue = order.copy()
    waiting = np.ones(n, np.bool_)
    head, length, moves = 0, n, 0
    while length > 0:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        waiting[i] = False
        own = labels[i]
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i:
                to[labels[indices[e]]] += weights[e]
        totals[own] -= strength[i]
        pull = penalty * strength[i]
        best = own
        gain = to[own] - pull * totals[own] + least * pull
        for e in range(indptr[i], indptr[i + 1]):
            c = labels[indices[e]]
            if c != own and to[c] > 0.0:
                gained = to[c] - pull * totals[c]
                if gained > gain or (gained == gain and best != own and c < best):
                    best, gain = c, gained
        for e in range(indptr[i], indptr[i + 1]):
            to[labels[indices[e]]] = 0.0
        totals[best] += strength[i]
        if best != own:
            labels[i] = best
            moves += 1
            for e in range(indptr[i], indptr[i + 1]):
                other = indices[e]
                if labels[other] != best and not waiting[other]:
                    waiting[other] = True
                    at = head + length
                    queue[at if at < n else at - n] = other
                    length += 1
    return moves


@njit(cache=True, nogil=True)
def refine(indptr, indices, weights, strength, labels, order, penalty, least):  # type: ignore[no-untyped-def]
    """Merge, within each community, single nodes into well connected parts; number the parts."""
    n = len(labels)
    totals = np.zeros(n)
    for i in range(n):
        totals[labels[i]] += strength[i]
    parts = np.arange(n).astype(np.int32)
    size = np.ones(n, np.int32)
    part_totals = strength.copy()
    # weight between each part and the rest of its community
    outward = np.zeros(n)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i and labels[indices[e]] == labels[i]:
                outward[i] += weights[e]
    to = np.zeros(n)
    for i in order:
        whole = totals[labels[i]]
        if size[parts[i]] > 1 or outward[i] < penalty * strength[i] * (whole - strength[i]):
            continue
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i and labels[indices[e]] == labels[i]:
                to[parts[indices[e]]] += weights[e]
        best, gain = i, least
        for e in range(indptr[i], indptr[i + 1]):
            c = parts[indices[e]]
            if to[c] > 0.0:
                gained = to[c] - penalty * strength[i] * part_totals[c]
                well = outward[c] >= penalty * part_totals[c] * (whole - part_totals[c])
                if well and (gained > gain or (gained == gain and c < best)):
                    best, gain = c, gained
        if best != i:
            parts[i] = best
            size[best] += 1
            part_totals[best] += strength[i]
            outward[best] += outward[i] - 2.0 * to[best]
        for e in range(indptr[i], indptr[i + 1]):
            to[parts[indices[e]]] = 0.0
        to[i] = 0.0
    number = np.full(n, -1, np.int32)
    count = 0
    for i in range(n):
        if number[parts[i]] < 0:
            number[parts[i]] = count
            count += 1
        parts[i] = number[parts[i]]
    return parts, count


@njit(cache=True, nogil=True)
def aggregate(indptr, indices, weights, parts, count):  # type: ignore[no-untyped-def]
    """Make each part a node; the weight within it becomes an edge from the node to itself."""
    n = len(parts)
    starts = np.zeros(count + 1, np.int64)
    for i in range(n):
        starts[parts[i] + 1] += 1
    for c in range(count):
        starts[c + 1] += starts[c]
    filled = starts[:-1].copy()
    members = np.empty(n, np.int32)
    for i in range(n):
        members[filled[parts[i]]] = i
        filled[parts[i]] += 1
    to = np.zeros(count)
    seen = np.full(count, -1, np.int32)
    out_indptr = np.zeros(count + 1, np.int64)
    out_indices = np.empty(len(indices), np.int32)
    out_weights = np.empty(len(indices))
    at = 0
    for c in range(count):
        first = at
        for m in range(starts[c], starts[c + 1]):
            i = members[m]
            for e in range(indptr[i], indptr[i + 1]):
                other = parts[indices[e]]
                if seen[other] != c:
                    seen[other] = c
                    out_indices[at] = other
                    at += 1
                to[other] += weights[e]
        for e in range(first, at):
            out_weights[e] = to[out_indices[e]]
            to[out_indices[e]] = 0.0
        out_indptr[c + 1] = at
    return out_indptr, out_indices[:at].copy(), out_weights[:at].copy()
