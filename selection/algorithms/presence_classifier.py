"""A logistic regression of target against pool on the buckets that documents hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.ngrams._stream_kernels import distinct_rows
from assay.index.ngrams.hasher import NGrams
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.compiling import njit

# inverse strength of the penalty; it hardly matters from 1 to 10
_C = 1.0
# bounds of the strength of the intercept's proximal term, 3 / n between them: any gives the same
# minimum, these in few rounds
_STEPS = (0.1, 1.0)
# a round in which no margin moved by more ends the fit
_TOLERANCE = 0.01
_ROUNDS = 100


Ragged = tuple[Rows, NDArray[np.uint32]]
"""`indptr`, int64[n + 1], and values: those of row i are ``values[indptr[i]:indptr[i + 1]]``."""


class PresenceClassifier:
    r"""Fit what tells the documents of some targets from those of one pool.

    A document is the set of its m different buckets, each :math:`1 / \sqrt m`, so that neither its
    length nor what it repeats counts. With :math:`y_i = 1` for documents of the target and -1 for
    those of the pool, weights and intercept are the minimum of

    .. math::
        \tfrac12 \lVert w \rVert^2 + \sum_i c_i \log(1 + e^{-y_i (w \cdot x_i + b)}), \qquad
        c_i = n / (2 n_{y_i})

    so that both classes weigh the same, and the intercept has no penalty.

    Parameters
    ----------
    pool : NGrams
        Documents of the pool, in an order that does not depend on that of the input: the last bits
        of the weights do.
    buckets : int

    Notes
    -----
    At the minimum :math:`w = \sum_i \alpha_i y_i x_i` with
    :math:`\alpha_i = c_i \sigma(-y_i (w \cdot x_i + b))`. A round visits every document once, in a
    random order that is always the same, and solves its equation for its own :math:`\alpha_i`
    (coordinate ascent of the dual problem). The intercept moves along with a proximal term,
    :math:`(b - b')^2 / 2s` with s from .1 (many documents) to 1, whose center b' is put to b after each round, so that
    nothing is left of the term at the end. The fit ends with a round that moves no margin by more
    than .01; the weights are then within .1 % of the minimum (relative to their Euclidean norm, on
    the pools of `benchmarks/importance.py`). Eight or nine rounds are usual, each of two passes over
    the buckets; quasi-Newton methods take a hundred.

    References
    ----------
    Yu, Huang, Lin, "Dual coordinate descent methods for logistic regression and maximum entropy
    models", 2011.

    Examples
    --------
    >>> from assay.index.ngrams.hasher import NGramHasher
    >>> from assay.selection.algorithms.presence_classifier import PresenceClassifier
    >>> hasher = NGramHasher(1, 64)
    >>> pool, target = hasher.transform(["a b", "a c"]), hasher.transform(["a d"])
    >>> weights = PresenceClassifier(pool, 64).weights(target)
    >>> d, b = (hasher.transform([word]).buckets[0] for word in "db")
    >>> bool(weights[d] > 0 > weights[b])
    True
    """

    def __init__(self, pool: NGrams, buckets: int) -> None:
        self._buckets = buckets
        self._pool = distinct_buckets(pool, buckets)

    def weights(self, target: NGrams) -> Floats:
        """Return the weight of each bucket, float64[buckets]."""
        parts = (distinct_buckets(target, self._buckets), self._pool)
        sizes = np.concatenate([np.diff(ends) for ends, _ in parts])
        held = np.concatenate([buckets for _, buckets in parts])
        indptr = np.concatenate([[0], np.cumsum(sizes)])
        n, wanted = len(sizes), len(target.n_tokens)
        sides = np.where(np.arange(n) < wanted, 1.0, -1.0)
        bounds = np.where(sides > 0, _C * n / (2 * wanted), _C * n / (2 * max(1, n - wanted)))
        scales = 1 / np.sqrt(np.maximum(sizes, 1))
        weights, shares, intercept = np.zeros(self._buckets), np.zeros(n), np.zeros(1)
        step = float(np.clip(3 / n, *_STEPS))
        rng = np.random.default_rng(0)
        for _ in range(_ROUNDS):
            order = rng.permutation(n)
            moved = _visit(
                indptr, held, scales, sides, bounds, order, shares, weights, intercept, step
            )
            rest = step * float(shares @ sides)
            intercept += rest
            if max(moved, abs(rest)) <= _TOLERANCE:
                break
        return weights


def distinct_buckets(grams: NGrams, buckets: int) -> Ragged:
    """Return the different buckets of each document, in the order of their first occurrence."""
    last = np.full(buckets, -1, dtype=np.int32)
    ends = np.empty(len(grams.indptr), dtype=np.int64)
    out = np.empty(len(grams.buckets), dtype=np.uint32)
    distinct_rows(grams.indptr, grams.buckets, last, ends, out)
    return ends, out[: ends[-1]]


@njit(cache=True, nogil=True)
def _sigmoid(x: Any) -> Any:
    """Return 1 / (1 + exp(-x))."""
    small = math.exp(-abs(x))
    return 1.0 / (1.0 + small) if x >= 0 else small / (1.0 + small)


@njit(cache=True, nogil=True)
def _own_margin(margin, share, bound, square):  # type: ignore[no-untyped-def]
    """Return the z with z = margin + square * (bound * sigmoid(-z) - share)."""
    low, high = margin - square * share, margin + square * (bound - share)
    z = margin
    for _ in range(50):
        sigma = _sigmoid(-z)
        excess = z - margin - square * (bound * sigma - share)
        if excess > 0:
            high = z
        else:
            low = z
        following = z - excess / (1.0 + square * bound * sigma * (1.0 - sigma))
        if not low < following < high:
            following = 0.5 * (low + high)
        step, z = abs(following - z), following
        if step <= 1e-7 * (1.0 + abs(z)):
            break
    return z


@njit(cache=True, nogil=True)
def _visit(indptr, held, scales, sides, bounds, order, shares, weights, intercept, step):  # type: ignore[no-untyped-def]
    """Solve for the share of each document in `order`; return by how much a margin moved at most.

    `weights` stay the sum of ``shares[i] * sides[i] * scales[i]`` over the documents with a bucket.
    """
    largest = 0.0
    for i in order:
        start, end = indptr[i], indptr[i + 1]
        # four sums, because one would wait for each addition
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        for j in range(start, end - 3, 4):
            a += weights[held[j]]
            b += weights[held[j + 1]]
            c += weights[held[j + 2]]
            d += weights[held[j + 3]]
        for j in range(end - (end - start) % 4, end):
            a += weights[held[j]]
        margin = sides[i] * (((a + b) + (c + d)) * scales[i] + intercept[0])
        square = step + (1.0 if end > start else 0.0)
        z = _own_margin(margin, shares[i], bounds[i], square)
        share = bounds[i] * _sigmoid(-z)
        change = sides[i] * (share - shares[i])
        largest = max(largest, abs(z - margin))
        shares[i] = share
        intercept[0] += step * change
        change *= scales[i]
        for j in range(start, end):
            weights[held[j]] += change
    return largest
