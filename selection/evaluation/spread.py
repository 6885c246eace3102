"""How evenly rows fill their space: a principal-component and an entropy measure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats


def spread(vectors: NDArray[Any]) -> dict[str, float]:
    """Return `early_enrichment`, `vasicek_ratio_error` and `vendi` of the rows, by their names.

    The principal components are found once for the first two.
    """
    found = _principal(vectors) if len(vectors) >= 2 else None
    return {
        "early_enrichment": _enrichment(found),
        "vasicek_ratio_error": _ratio_error(found, vectors.shape[1]),
        "vendi": vendi(vectors),
    }


def early_enrichment(vectors: NDArray[Any]) -> float:
    r"""Return the eigenvalue early enrichment (EEE) of the rows.

    With the eigenvalues :math:`\lambda_1 \ge ... \ge \lambda_p` of the covariance (p the smaller
    of rows and columns), :math:`c_j = \sum_{i \le j} \lambda_i` and :math:`D_j = c_j - j c_p / p`,

    .. math:: EEE = \frac{2}{p\,c_p} \sum_{j=1}^{p-1} \frac{D_j + D_{j+1}}{2}

    the area between the cumulative eigenvalues and an even rise, over the largest possible one.
    0: variance is even over all directions. Towards 1: all of it lies in one direction.

    Returns
    -------
    float
        NaN where all rows are equal, or there are fewer than two rows.

    Notes
    -----
    Time O(n d^2 + d^3), memory O(n d + d^2).

    References
    ----------
    Marbut, McKinney-Bock, Wheeler, "Reliable measures of spread in high dimensional latent
    spaces", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> round(early_enrichment(np.vstack([np.eye(4), -np.eye(4)])), 6)
    0.0
    """
    return _enrichment(_principal(vectors) if len(vectors) >= 2 else None)


def _enrichment(found: tuple[Floats, Floats] | None) -> float:
    if found is None or found[0][0] <= 0:
        return float("nan")
    values = found[0]
    p = len(values)
    cumulative = np.cumsum(values)
    above = cumulative - np.arange(1, p + 1) * (cumulative[-1] / p)
    area = float((above[1:] + above[:-1]).sum()) / 2
    return float(area / (cumulative[-1] * p / 2))


def vendi(vectors: NDArray[Any]) -> float:
    r"""Return the Vendi score of the rows: how many different ones they are worth.

    With the eigenvalues :math:`\lambda` of :math:`X^\top X / n`, rows of length 1,

    .. math:: V = \exp\Big( -\sum_j \lambda_j \log \lambda_j \Big)

    n for orthogonal rows, 1 for equal ones; with vectors of d numbers at most d. It grows with the
    number of rows, so it says something beside a subset of equal size only.

    Returns
    -------
    float
        NaN where all rows are 0. Rows of 0 are left out.

    Notes
    -----
    Time O(n d^2 + d^3), memory O(n d + d^2).

    References
    ----------
    Friedman, Dieng, "The Vendi score: a diversity evaluation metric for machine learning", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> round(vendi(np.eye(4)), 6), round(vendi(np.eye(4)[[0, 0, 1, 1]]), 6)
    (4.0, 2.0)
    """
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    rows = rows[lengths > 0] / lengths[lengths > 0, None]
    if not len(rows):
        return float("nan")
    product = rows.T @ rows if rows.shape[1] <= len(rows) else rows @ rows.T
    values = np.linalg.eigvalsh(product / len(rows))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))


def vasicek_ratio_error(vectors: NDArray[Any]) -> float:
    r"""Return the Vasicek ratio mean squared error (VRM) of the rows.

    The rows are turned onto their principal components and scaled to a total variance of d, that
    of a standard normal distribution. With H_j the entropy of component j,

    .. math:: VRM = \frac{1}{d} \sum_j \left(1 - e^{H_j} / \sqrt{2 \pi e}\right)^2

    0: every component is standard normal. It grows with components that carry no variance or
    fall into lumps.

    Returns
    -------
    float
        NaN where all rows are equal, or there are fewer than three rows.

    Notes
    -----
    The expected total variance of a standard normal sample, d, is used for the scale rather than
    that of one drawn sample, so nothing is random. Time O(n d^2 + d^3 + d n log n), memory O(n d).

    References
    ----------
    Marbut, McKinney-Bock, Wheeler, "Reliable measures of spread in high dimensional latent
    spaces", 2023. Vasicek, "A test for normality based on sample entropy", 1976.

    Examples
    --------
    >>> import numpy as np
    >>> lumps = np.repeat([[0.0, 1.0], [1.0, 0.0]], 50, axis=0)
    >>> round(vasicek_ratio_error(lumps), 6)
    1.0
    """
    return _ratio_error(_principal(vectors) if len(vectors) >= 3 else None, vectors.shape[1])


def _ratio_error(found: tuple[Floats, Floats] | None, d: int) -> float:
    if found is None or len(found[1]) < 3 or found[0].sum() <= 0:
        return float("nan")
    values, turned = found
    total = float(values.sum())
    with np.errstate(divide="ignore"):
        ratio = np.exp(vasicek_entropy(turned * np.sqrt(d / total))) / np.sqrt(2 * np.pi * math.e)
    missing = d - len(ratio)
    return float((((1 - ratio) ** 2).sum() + missing) / d)


def vasicek_entropy(values: Floats) -> Floats:
    r"""Return Vasicek's estimate of the differential entropy of every column, in nats.

    .. math:: H = \frac{1}{n} \sum_i \log \frac{n}{2m} (x_{(i+m)} - x_{(i-m)})

    with the window :math:`m = \lfloor \sqrt{n} + 1/2 \rfloor` and places beyond the ends held at
    the smallest and largest value.
    """
    n = len(values)
    window = int(np.sqrt(n) + 0.5)
    # columns as lines: a line is sorted several times as fast
    ordered = np.sort(values.T, axis=1)
    places = np.arange(n)
    upper, lower = np.minimum(places + window, n - 1), np.maximum(places - window, 0)
    spacings = ordered[:, upper] - ordered[:, lower]
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(n / (2 * window) * spacings).mean(axis=1), dtype=np.float64)


def _principal(vectors: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return the largest min(n, d) eigenvalues of the covariance, and the rows turned onto them."""
    rows = np.asarray(vectors, dtype=np.float64)
    centered = rows - rows.mean(axis=0)
    values, axes = np.linalg.eigh(centered.T @ centered / (len(rows) - 1))
    most = min(rows.shape)
    values, axes = values[::-1][:most], axes[:, ::-1][:, :most]
    # rounding leaves eigenvalues about 0, of either sign, where there is no variance
    values = np.where(values > 1e-14 * max(values[0], 0), values, 0.0)
    turned = centered @ axes
    turned[:, values == 0] = 0
    return values, turned
