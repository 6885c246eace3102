"""Divergence of a selection from a target, over histograms of cells or hashed n-grams."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from assay.index.ngrams.hasher import NGramHasher
from assay.index.vectors.centroids import means_of_cells
from assay.selection.algorithms.density_ratio import backed_off, divergence
from assay.selection.contract.inputs import Rows

Vectors = NDArray[np.float32]

BUCKETS = 10_000
# mass of the pool in a selection, as a share of its own
_BACKING = 0.25
_BLOCK = 4_096
_ITERATIONS = 10


def backed_off_divergence(target: ArrayLike, selection: ArrayLike, pool: ArrayLike) -> float:
    r"""Return KL(target || selection) of histograms over the same cells, in nats.

    .. math:: \sum_c t_c \log \frac{t_c}{s_c}, \quad
        s_c = \frac{n_c + \mu b_c}{n + \mu}, \quad \mu = n / 4, \quad
        b_c = \frac{m_c + 1/2}{m + C/2}

    with :math:`n_c` the counts of the selection, :math:`m_c` those of the pool and t the target's
    shares. The selection is backed off to the pool with a quarter of its own mass, and half a
    count is added to each of the pool's C cells, so that it is finite; the share does not depend
    on the size of the selection.

    Examples
    --------
    >>> round(backed_off_divergence([5, 5], [3, 3], [90, 90]), 12)
    0.0
    """
    wanted, of_pool = (np.asarray(counts, dtype=np.float64) for counts in (target, pool))
    background = (of_pool + 0.5) / (of_pool.sum() + len(of_pool) / 2)
    return divergence(
        wanted / wanted.sum(),
        backed_off(np.asarray(selection, dtype=np.int64), background, _BACKING),
    )


def fit_cells(vectors: Vectors, cells: int) -> Vectors:
    """Return the centers of k-means cells: Lloyd's algorithm from the first different rows.

    Parameters
    ----------
    vectors : float32[n, d]
        In random order: the first `cells` different ones are the start.
    cells : int
        At most this many centers are returned, fewer where there are fewer different rows.

    Notes
    -----
    10 rounds, time O(n cells d) each. A cell that becomes empty keeps its center.
    """
    _, first = np.unique(vectors[: 4 * cells], axis=0, return_index=True)
    centers = vectors[np.sort(first)[:cells]].copy()
    for _ in range(_ITERATIONS):
        codes = cell_of(vectors, centers)
        _, filled, means = means_of_cells(vectors, codes, len(centers))
        centers[filled] = means
    return centers


def cell_of(vectors: Vectors, centers: Vectors) -> NDArray[np.int64]:
    """Return the nearest center of every row, in blocks."""
    half = (centers.astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2
    codes = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        near = vectors[start : start + _BLOCK] @ centers.T - half
        codes[start : start + _BLOCK] = near.argmax(axis=1)
    return codes


def ngram_counts(texts: pl.Series, rows: Rows | None = None) -> Rows:
    """Return how often each of 10,000 hashed buckets of word 1- and 2-grams occurs."""
    held = texts if rows is None else texts.gather(rows)
    buckets = NGramHasher(2, BUCKETS).transform(held).buckets
    return np.bincount(buckets, minlength=BUCKETS)
