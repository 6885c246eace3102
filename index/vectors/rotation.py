"""A fixed rotation that spreads what a row holds over all its coordinates, so that few bits keep it."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors._rotation_kernels import rotate_rows
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import frozen


def rotate(X: Vectors, *, back: bool = False) -> Vectors:
    """Return the rows turned by random signs and a Walsh-Hadamard transform, or turned back.

    Lengths and inner products stay. Where d is no power of two, the first and then the last
    coordinates are transformed, as many as the greatest power of two below. Every row is turned on
    its own, by steps in a fixed order.

    Examples
    --------
    >>> X = np.array([[3.0, 4.0, 0.0]], np.float32)
    >>> bool(np.allclose(rotate(rotate(X), back=True), X))
    True
    """
    turned = np.empty(X.shape, np.float32)
    rotate_rows(frozen(X), _signs(X.shape[1]), back, turned)
    return turned


@cache
def _signs(dimension: int) -> NDArray[np.float32]:
    """Return float32[2, d] of -1 and 1."""
    rng = np.random.default_rng(dimension)
    signs = rng.choice(np.array([-1, 1], np.float32), size=(2, dimension))
    signs.flags.writeable = False
    return signs
