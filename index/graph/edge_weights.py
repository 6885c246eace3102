"""How much an edge of a similarity graph weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.storage.compiling import njit
from assay.storage.errors import ConfigError
from assay.storage.limits import check_parameters

WEIGHTS = ("similarity", "self_tuning", "fuzzy")
SCALE_NEIGHBOR = 7
# least weight of an edge, so that edges of dissimilar rows stay in the graph
_TINY = float(np.finfo(np.float32).tiny)
_LEAST = {"cosine": 1e-6, "ip": 1e-6, "l2": _TINY}
# as a share of the mean distance: narrower than this, a row's scale says nothing
_NARROWEST = 1e-3


def check_weights(kind: str, metric: str) -> None:
    """Raise unless `kind` is one of `WEIGHTS` that the metric has distances for."""
    check_parameters(weights=(kind, *WEIGHTS))
    if kind != "similarity" and metric == "ip":
        raise ConfigError(
            f"weights={kind!r} needs distances, and metric='ip' has none: use 'cosine' or 'l2'."
        )


def least_weight(kind: str, metric: str) -> np.float32:
    """Return the least weight that an edge can have."""
    return np.float32(_LEAST[metric] if kind == "similarity" else _TINY)


def similarities_of(distances: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Return 1 - d (cosine), 1 / (1 + d) (l2) or -d (ip); infinite distances become -inf."""
    one = np.float32(1.0)
    if metric == "l2":
        return np.where(np.isinf(distances), np.float32(-np.inf), one / (one + distances))
    return one - distances if metric == "cosine" else -distances


def directed_weights(
    neighbors: NDArray[np.int32], distances: NDArray[np.float32], metric: str, kind: str
) -> NDArray[np.float32]:
    r"""Weigh every row's neighbors: float32[n, k], above 0.

    'similarity'
        The similarity.
    'self_tuning'
        :math:`\exp(-d_{ij}^2 / (s_i s_j))`, where s is the distance to a row's 7th neighbor (to
        its last, if it has fewer), so that sparse regions hold together as well as dense ones. Where
        that is 0, among copies, it is the smallest distance above 0; a row that has copies only
        holds to these.
    'fuzzy'
        :math:`\exp(-\max(0, d_{ij} - \rho_i) / \sigma_i)`, where :math:`\rho_i` is the smallest
        distance above 0 and :math:`\sigma_i` makes the weights of a row's k neighbors sum to
        :math:`\log_2 k`, or is a thousandth of the mean distance, if it would be less.

    References
    ----------
    Zelnik-Manor and Perona, "Self-tuning spectral clustering", NeurIPS 2004. McInnes, Healy and
    Melville, "UMAP: uniform manifold approximation and projection", 2018, arXiv:1802.03426.

    Examples
    --------
    >>> neighbors = np.array([[1, 2], [0, 2], [1, 0]], np.int32)
    >>> distances = np.array([[1, 2], [1, 1], [1, 2]], np.float32)
    >>> weights = directed_weights(neighbors, distances, "l2", "self_tuning")
    >>> weights.astype(float).round(3).tolist()
    [[0.607, 0.368], [0.607, 0.607], [0.607, 0.368]]
    """
    if kind == "self_tuning":
        weights = _self_tuning(neighbors, distances)
    elif kind == "fuzzy":
        ends = _ends(neighbors)
        positive = distances[np.isfinite(distances)]
        mean = float(positive.mean(dtype=np.float64)) if len(positive) else 0.0
        weights = np.zeros_like(distances)
        _memberships(distances, ends, _NARROWEST, mean, weights)
    else:
        weights = similarities_of(distances, metric)
    return np.maximum(weights, least_weight(kind, metric))


def _ends(neighbors: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how many neighbors each row has."""
    return np.asarray((neighbors >= 0).sum(axis=1))


def _self_tuning(
    neighbors: NDArray[np.int32], distances: NDArray[np.float32]
) -> NDArray[np.float32]:
    n, k = neighbors.shape
    at = np.minimum(_ends(neighbors), min(SCALE_NEIGHBOR, k)) - 1
    scales = np.where(at < 0, 0.0, distances[np.arange(n), at]).astype(np.float64)
    crowded = np.flatnonzero((scales == 0) & (at >= 0))
    others = distances[crowded]
    nearest = np.where(others > 0, others, np.inf).min(axis=1, initial=np.inf)
    scales[crowded] = np.where(np.isinf(nearest), 0.0, nearest)
    weights = np.empty_like(distances)
    for begin in range(0, n, 65_536):
        part = slice(begin, begin + 65_536)
        squares = distances[part].astype(np.float64) ** 2
        product = scales[part, None] * scales[neighbors[part]]
        ratio = np.where(squares > 0, np.inf, 0.0)
        np.divide(squares, product, out=ratio, where=(product > 0) & np.isfinite(squares))
        weights[part] = np.exp(-ratio)
    return weights


@njit(cache=True, nogil=True)
def _memberships(distances, ends, narrowest, mean, out):  # type: ignore[no-untyped-def]
    for i in range(len(distances)):
        end = ends[i]
        total = 0.0
        rho = 0.0
        for t in range(end):
            d = np.float64(distances[i, t])
            total += d
            if d > 0.0 and (rho == 0.0 or d < rho):
                rho = d
        goal = np.log2(max(end, 1))
        low, high, sigma = 0.0, np.inf, 1.0
        for _ in range(64):
            summed = 0.0
            for t in range(end):
                summed += np.exp(-max(0.0, distances[i, t] - rho) / sigma)
            if abs(summed - goal) < 1e-5:
                break
            if summed > goal:
                high = sigma
                sigma = 0.5 * (low + high)
            else:
                low = sigma
                sigma = 2.0 * sigma if high == np.inf else 0.5 * (low + high)
        least = narrowest * (total / end if rho > 0.0 else mean)
        sigma = max(sigma, least)
        for t in range(end):
            beyond = distances[i, t] - rho
            if beyond <= 0.0 or sigma == 0.0:
                out[i, t] = 1.0
            else:
                out[i, t] = np.exp(-beyond / sigma)
