"""Gradient steps of UMAP's layout, compiled: one thread, so that the seed alone decides."""

from __future__ import annotations

from assay.storage.compiling import njit

_LIMIT = 4.0


@njit(cache=True, fastmath=True)
def optimize(places, heads, tails, periods, moving, a, b, epochs, negatives, state):  # type: ignore[no-untyped-def]
    """Move the rows of `places` along the gradients of the edges; see `umap_layout`.

    Edge e is stepped along every `periods[e]` epochs, with `negatives` random rows pushed away
    each time. Rows that are not `moving` stay.
    """
    n, dims = places.shape
    due = periods.copy()
    step = 1.0
    for epoch in range(1, epochs + 1):
        for e in range(len(heads)):
            if due[e] > epoch:
                continue
            due[e] += periods[e]
            head, tail = heads[e], tails[e]
            squared = 0.0
            for d in range(dims):
                squared += (places[head, d] - places[tail, d]) ** 2
            if squared > 0.0:
                power = squared**b
                pull = -2.0 * a * b * power / (squared * (a * power + 1.0))
                for d in range(dims):
                    move = pull * (places[head, d] - places[tail, d])
                    move = min(max(move, -_LIMIT), _LIMIT) * step
                    places[head, d] += move
                    if moving[tail]:
                        places[tail, d] -= move
            for _ in range(negatives):
                # xorshift, period 2^64 - 1
                state ^= state << 13
                state ^= (state >> 7) & 0x1FFFFFFFFFFFFFF
                state ^= state << 17
                other = ((state >> 20) & 0x7FFFFFFFFFF) % n
                squared = 0.0
                for d in range(dims):
                    squared += (places[head, d] - places[other, d]) ** 2
                if squared > 0.0:
                    push = 2.0 * b / ((0.001 + squared) * (a * squared**b + 1.0))
                    for d in range(dims):
                        move = push * (places[head, d] - places[other, d])
                        places[head, d] += min(max(move, -_LIMIT), _LIMIT) * step
        step = 1.0 - epoch / epochs
