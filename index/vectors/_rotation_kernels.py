"""Numba kernel of the rotation: see `rotation`."""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def rotate_rows(X, signs, back, out):  # type: ignore[no-untyped-def]
    """Write the rows of X, turned forward or back, to out float32[n, d]."""
    n, d = X.shape
    width = 1
    while 2 * width <= d:
        width *= 2
    evenly = np.float32(1.0 / np.sqrt(width))
    turns = 1 if width == d else 2
    row = np.empty(d, np.float32)
    for i in range(n):
        for e in range(d):
            row[e] = X[i, e]
        for step in range(turns):
            turn = turns - 1 - step if back else step
            first = 0 if turn == 0 else d - width
            if not back:
                for e in range(d):
                    row[e] *= signs[turn, e]
            half = 1
            while half < width:
                for block in range(first, first + width, 2 * half):
                    for e in range(block, block + half):
                        one, other = row[e], row[e + half]
                        row[e] = one + other
                        row[e + half] = one - other
                half *= 2
            for e in range(first, first + width):
                row[e] *= evenly
            if back:
                for e in range(d):
                    row[e] *= signs[turn, e]
        for e in range(d):
            out[i, e] = row[e]
