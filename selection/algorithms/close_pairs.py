"""Pairs of rows that are alike: texts by MinHash, rows by their neighbors on a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.minhash import Shingles, jaccard
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.compiling import njit

# rows of one bucket that a row is compared with: bounds the work for boilerplate
_COMPARED = 64


def near_pairs(
    texts: Shingles, buckets: NDArray[np.int32], threshold: float
) -> tuple[Rows, Rows, Floats]:
    """Return pairs of texts whose sets of shingles have at least that Jaccard similarity.

    Parameters
    ----------
    texts : Shingles
    buckets : int32[bands, texts]
        Texts of the same number are compared, each with at most 64 before it; -1: with nobody.
    threshold : float

    Returns
    -------
    first, second : int64[m], first < second
    similarity : float64[m]
    """
    first, second, similarity = [], [], []
    for bucket in buckets:
        order = np.lexsort((np.arange(len(bucket)), bucket))
        order = order[bucket[order] >= 0]
        a, b, s = _within(texts.indptr, texts.values, bucket, order, threshold, _COMPARED)
        first.append(a)
        second.append(b)
        similarity.append(s)
    low, high = np.concatenate(first), np.concatenate(second)
    value = np.concatenate(similarity)
    _, once = np.unique(low * max(1, buckets.shape[1]) + high, return_index=True)
    return low[once], high[once], value[once]


def close_neighbors(
    neighbors: NDArray[Any], similarities: NDArray[Any], threshold: float
) -> tuple[Rows, Rows, Floats]:
    """Return pairs of rows of which one lists the other at that similarity or more."""
    values = np.asarray(similarities, dtype=np.float64)
    row, place = np.nonzero((np.asarray(neighbors) >= 0) & (values >= threshold - 1e-9))
    other = np.asarray(neighbors)[row, place].astype(np.int64)
    low, high = np.minimum(row, other), np.maximum(row, other)
    _, once = np.unique(low * len(neighbors) + high, return_index=True)
    return low[once], high[once], values[row, place][once]


@njit(cache=True, nogil=True)
def _within(  # pragma: no cover
    indptr: Any, values: Any, bucket: Any, order: Any, threshold: float, limit: int
) -> Any:
    first, second = np.empty(1024, np.int64), np.empty(1024, np.int64)
    similarity = np.empty(1024)
    count = 0
    for place in range(1, len(order)):
        row = order[place]
        size = indptr[row + 1] - indptr[row]
        for before in range(place - 1, max(-1, place - 1 - limit), -1):
            other = order[before]
            if bucket[other] != bucket[row]:
                break
            length = indptr[other + 1] - indptr[other]
            if min(size, length) < threshold * max(size, length):
                continue
            likeness = jaccard(
                values, indptr[row], indptr[row + 1], indptr[other], indptr[other + 1]
            )
            if likeness < threshold:
                continue
            if count == len(first):
                first = np.concatenate((first, np.empty_like(first)))
                second = np.concatenate((second, np.empty_like(second)))
                similarity = np.concatenate((similarity, np.empty_like(similarity)))
            first[count], second[count] = min(row, other), max(row, other)
            similarity[count] = likeness
            count += 1
    return first[:count], second[:count], similarity[:count]
