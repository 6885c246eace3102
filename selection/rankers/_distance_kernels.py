"""Sums over all pairs of rows in O(n log n), compiled."""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def paired_distances(ascending, order, number):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the sum of |x_i - x_j| |y_i - y_j| over all i, j; y ascends by original position."""
    m, n = ascending.shape
    result = np.empty(m)
    tree = np.empty((n + 1, 4))
    for row in range(m):
        tree[:] = 0.0
        seen = sum_x = sum_y = sum_xy = total = 0.0
        for i in range(n):
            x, place = ascending[row, i], order[row, i] + 1
            y = number[place - 1]
            below = below_x = below_y = below_xy = 0.0
            k = place
            while k > 0:
                below += tree[k, 0]
                below_x += tree[k, 1]
                below_y += tree[k, 2]
                below_xy += tree[k, 3]
                k -= k & -k
            lower = below * x * y - x * below_y - y * below_x + below_xy
            total += 2.0 * lower - (seen * x * y - x * sum_y - y * sum_x + sum_xy)
            k = place
            while k <= n:
                tree[k, 0] += 1.0
                tree[k, 1] += x
                tree[k, 2] += y
                tree[k, 3] += x * y
                k += k & -k
            seen += 1.0
            sum_x += x
            sum_y += y
            sum_xy += x * y
        result[row] = 2.0 * total
    return result
