"""Numba kernels over stored n-gram buckets: count, copy and sum the rows of a ragged array."""

from __future__ import annotations

from numpy import float64, int32, int64, sqrt

from assay.storage.compiling import njit


@njit(cache=True, nogil=True)
def count_all(buckets, counts):  # type: ignore[no-untyped-def]
    """Add the occurrences of each bucket to `counts`."""
    for j in range(buckets.size):
        counts[buckets[j]] += int64(1)


@njit(cache=True, nogil=True)
def count_rows(indptr, buckets, rows, times, counts):  # type: ignore[no-untyped-def]
    """Add ``times[i]`` for each occurrence of a bucket in row ``rows[i]`` to `counts`."""
    for i in range(rows.size):
        for j in range(indptr[rows[i]], indptr[rows[i] + 1]):
            counts[buckets[j]] += times[i]


@njit(cache=True, nogil=True)
def copy_rows(indptr, buckets, rows, out):  # type: ignore[no-untyped-def]
    """Copy the buckets of `rows`, one after the other."""
    at = 0
    for i in range(rows.size):
        for j in range(indptr[rows[i]], indptr[rows[i] + 1]):
            out[at] = buckets[j]
            at += 1


@njit(cache=True, nogil=True)
def move_rows(indptr, buckets, rows, starts, out):  # type: ignore[no-untyped-def]
    """Copy the buckets of row ``rows[i]`` to where ``starts[i]`` says."""
    for i in range(rows.size):
        at = starts[i]
        for j in range(indptr[rows[i]], indptr[rows[i] + 1]):
            out[at] = buckets[j]
            at += 1


@njit(cache=True, nogil=True)
def sum_rows(indptr, buckets, values, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the sum of `values` over the occurrences of each row, in their order."""
    for row in range(indptr.size - 1):
        total = float64(0)
        for j in range(indptr[row], indptr[row + 1]):
            total += values[buckets[j]]
        out[row] = total


@njit(cache=True, nogil=True)
def presence_rows(indptr, buckets, values, last, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` with the sum of `values` over the m different buckets of each row, over sqrt(m).

    `last`, int32, one per bucket, must be -1 everywhere.
    """
    for row in range(indptr.size - 1):
        total = float64(0)
        different = float64(0)
        for j in range(indptr[row], indptr[row + 1]):
            bucket = buckets[j]
            # a product, because a branch here is mispredicted often
            new = float64(last[bucket] != int32(row))
            last[bucket] = int32(row)
            total += values[bucket] * new
            different += new
        out[row] = total / sqrt(different) if different > 0 else 0.0


@njit(cache=True, nogil=True)
def distinct_rows(indptr, buckets, last, ends, out):  # type: ignore[no-untyped-def]
    """Write the different buckets of each row, in the order of their first occurrence.

    ``ends[i + 1]`` is where row i ends. `last`, one per bucket, must be -1 everywhere.
    """
    at = int64(0)
    ends[0] = 0
    for row in range(indptr.size - 1):
        for j in range(indptr[row], indptr[row + 1]):
            bucket = buckets[j]
            if last[bucket] != row:
                last[bucket] = row
                out[at] = bucket
                at += 1
        ends[row + 1] = at
