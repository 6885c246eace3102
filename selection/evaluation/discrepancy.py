"""Maximum mean discrepancy: how unlike two samples of vectors are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Rows

Vectors = NDArray[np.float32]

# rows of a block, whose kernel stays in the cache beside as many as 2,048 others
_BLOCK = 128
_MEDIAN_ROWS = 1_000


def median_bandwidth(vectors: Vectors) -> float:
    """Return the median distance between two rows, of the first 1,000 rows.

    Where more than half of the pairs are equal, the root mean square distance of those that are
    not; 1 where all rows are equal.

    Examples
    --------
    >>> import numpy as np
    >>> median_bandwidth(np.array([[0], [1], [5]], dtype=np.float32))
    4.0
    """
    rows = vectors[:_MEDIAN_ROWS].astype(np.float64)
    squares = _squares(rows - rows.mean(axis=0))[np.triu_indices(len(rows), 1)]
    apart = squares[squares > 1e-12 * max(1e-300, squares.max(initial=0.0))]
    if len(apart) == 0:
        return 1.0
    usual = float(np.median(squares)) if 2 * len(apart) > len(squares) else float(apart.mean())
    return float(np.sqrt(usual))


def _squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = (rows**2).sum(axis=1)
    return np.asarray(np.maximum(norms[:, None] + norms - 2 * rows @ rows.T, 0))


class _Scaled(NamedTuple):
    """Rows divided by the bandwidth, and half their squared lengths."""

    rows: Vectors
    halves: Vectors

    def part(self, begin: int, end: int | None = None) -> _Scaled:
        return _Scaled(self.rows[begin:end], self.halves[begin:end])

    def kernel_sum(self, other: _Scaled) -> float:
        exponent = self.rows @ other.rows.T
        exponent -= other.halves
        exponent -= self.halves[:, None]
        np.minimum(exponent, 0, out=exponent)
        np.exp(exponent, out=exponent)
        return float(exponent.sum(dtype=np.float64))


def _scaled(rows: Vectors, bandwidth: float) -> _Scaled:
    rows = rows * np.float32(1 / bandwidth)
    return _Scaled(rows, (rows.astype(np.float64) ** 2).sum(axis=1).astype(np.float32) / 2)


def kernel_sum(a: Vectors, b: Vectors, bandwidth: float) -> float:
    """Return the sum of the Gaussian kernel over all pairs of a row of `a` and one of `b`.

    Notes
    -----
    Time O(len(a) len(b) d), in blocks of 128 rows of `a`; sums are in double precision.
    """
    left, right = _scaled(a, bandwidth), _scaled(b, bandwidth)
    starts = range(0, len(a), _BLOCK)
    return sum(left.part(start, start + _BLOCK).kernel_sum(right) for start in starts)


def mean_within(a: Vectors, bandwidth: float) -> float:
    """Return the mean kernel over pairs of different rows of `a` (NaN of fewer than two)."""
    m = len(a)
    if m < 2:
        return float("nan")
    rows = _scaled(a, bandwidth)
    total = 0.0
    for start in range(0, m, _BLOCK):
        block = rows.part(start, start + _BLOCK)
        # each pair of blocks once
        total += block.kernel_sum(block) + 2 * block.kernel_sum(rows.part(start + _BLOCK))
    return (total - m) / (m * (m - 1))


def mean_between(a: Vectors, b: Vectors, bandwidth: float, shared: int = 0) -> float:
    """Return the mean kernel over pairs of `a` and `b`, without `shared` pairs of one row."""
    pairs = len(a) * len(b) - shared
    return (kernel_sum(a, b, bandwidth) - shared) / pairs if pairs else float("nan")


def squared_discrepancy(
    a: Vectors,
    b: Vectors,
    bandwidth: float,
    *,
    rows_a: Rows | None = None,
    rows_b: Rows | None = None,
) -> float:
    r"""Return the unbiased estimate of the squared maximum mean discrepancy of two samples.

    .. math:: \widehat{MMD}^2 = \frac{1}{m(m-1)} \sum_{i \ne j} k(a_i, a_j)
        + \frac{1}{l(l-1)} \sum_{i \ne j} k(b_i, b_j) - \frac{2}{ml} \sum_{i,j} k(a_i, b_j)

    with :math:`k(x, y) = \exp(-|x - y|^2 / 2 \sigma^2)`. It is 0 on average where both samples
    are of one distribution, and can be below 0.

    Where the samples are of one pool (`rows_a`, `rows_b` given), pairs of a row with itself are
    left out of the last sum too, whose count is then smaller. So a subset drawn uniformly from
    the pool has 0 on average against the pool that holds it.

    Parameters
    ----------
    a, b : float32[m, d], float32[l, d]
    bandwidth : float
        sigma, see `median_bandwidth`.
    rows_a, rows_b : int64[m], int64[l], optional
        Rows of the pool.

    Returns
    -------
    float
        NaN where a sample has fewer than two rows.

    References
    ----------
    Gretton et al., "A kernel two-sample test", 2012. Jayasumana et al., "Rethinking FID: towards
    a better evaluation metric for image generation", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.zeros((2, 1), np.float32), np.full((2, 1), 9, np.float32)
    >>> squared_discrepancy(a, b, 1.0)
    2.0
    """
    own = rows_a is not None and rows_b is not None
    shared = len(np.intersect1d(rows_a, rows_b)) if own else 0  # type: ignore[arg-type]
    return (
        mean_within(a, bandwidth)
        + mean_within(b, bandwidth)
        - 2 * mean_between(a, b, bandwidth, shared)
    )
