"""What covered rows leave of a target: the part of it that a draw still has to bring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.ngrams.hasher import NGrams
from assay.selection.contract.inputs import Floats, Rows


def missing_share(wanted: Floats, had: Floats, drawn: float) -> Floats:
    r"""Return how much of each part of a target is missing, beside the mean part, at most 1.

    With shares p of the target, shares c of what is had and its mass H beside the mass B that is
    drawn, both together are like the target where the draw is like

    .. math:: \max\Big(0,\; p - \frac{H}{H + B}\, c\Big)

    up to a factor; this returns that over p, divided by its mean over the target.

    Parameters
    ----------
    wanted : float64[parts]
        Mass of each part in the target.
    had : float64[parts]
        Mass of each part in what is had.
    drawn : float
        B.

    Examples
    --------
    >>> missing_share(np.array([5.0, 5.0]), np.array([10.0, 0.0]), 10.0).tolist()
    [0.0, 1.0]
    >>> missing_share(np.array([5.0, 5.0]), np.array([3.0, 3.0]), 10.0).tolist()
    [1.0, 1.0]
    """
    present = wanted > 0
    shares = wanted / wanted.sum()
    mass = float(had.sum())
    less = np.divide(had, shares, out=np.zeros(len(had)), where=present)
    left = np.where(present, np.maximum(0.0, 1 - less / (mass + drawn)), 0.0)
    mean = float(left @ shares)
    if not mean:
        # nothing is missing, so that the draw is one from the target
        return present.astype(np.float64)
    share: Floats = np.minimum(1.0, left / mean)
    return share


def thinned(grams: NGrams, share: Floats) -> NGrams:
    """Return documents of which each n-gram is kept with the share of its bucket.

    Documents must come in an order that is the content's; those that nothing is left of are gone.
    """
    uniform = np.random.default_rng(0).random(len(grams.buckets))
    kept = uniform < share[grams.buckets]
    sizes = np.bincount(
        np.repeat(np.arange(len(grams.n_tokens)), np.diff(grams.indptr))[kept],
        minlength=len(grams.n_tokens),
    )
    filled = sizes > 0
    indptr = np.concatenate([[0], np.cumsum(sizes[filled])])
    return NGrams(indptr, grams.buckets[kept], grams.n_tokens[filled])


def thinned_rows(share: Floats) -> Rows:
    """Return the rows that are kept, each with its share; the first of the largest at least."""
    kept: NDArray[np.int64] = np.flatnonzero(np.random.default_rng(0).random(len(share)) < share)
    return kept if len(kept) else np.array([int(share.argmax())])
