"""Numba kernels over int8 codes of rows, one row at a time: see `codes`."""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit

_TOGETHER = 16


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
                # one rounding, so that rows far from the origin lose nothing by it
                some[e, r] = np.float32(np.float64(X[i, e]) * factor - np.float64(mean[e]))
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
def cell_sums(codes, scale, cells, sums, sizes):  # type: ignore[no-untyped-def]
    """Add the decoded rows to the sums float64[cells, d] of their cells, in their order."""
    for i in range(len(cells)):
        sizes[cells[i]] += 1
        for e in range(sums.shape[1]):
            sums[cells[i], e] += np.float64(scale[i]) * np.float64(codes[i, e])


@njit(cache=True, nogil=True)
def deal(rows, cells, starts, ends, dealt):  # type: ignore[no-untyped-def]
    """Put each row behind those of its cell, in dealt[starts[c] : ends[c]]; return if they ascend."""
    ascending = True
    for i in range(len(rows)):
        cell = cells[i]
        end = ends[cell]
        ascending &= end == starts[cell] or dealt[end - 1] <= rows[i]
        dealt[end] = rows[i]
        ends[cell] = end + 1
    return ascending


@njit(cache=True, nogil=True)
def cell_means(X, at, weights, bounds, out):  # type: ignore[no-untyped-def]
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
