"""Shift of a numeric label between a pool and a target whose labels are not known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.storage.hashing.rows import first_rows, uniform

Vectors = NDArray[np.float32]
# rows of the pool that the operators are made of, and of the target that densities are made of
_ROWS, _TARGET_ROWS = 2_000, 2_000
# Tikhonov's alpha, and the ridge of the smoothers as a share of the rows
_ALPHA, _RIDGE = 0.01, 1e-3
# kernels of the density ratio, and what their widths and penalties are chosen among
_KERNELS = 100
_WIDTHS, _PENALTIES = (0.25, 0.5, 1.0, 2.0), (1e-3, 1e-2, 1e-1, 1.0)
_FOLDS = 5


@dataclass(frozen=True, eq=False)
class TargetShift:
    """A ratio of label densities, target over pool, known at the labels of some rows."""

    at: Floats
    coefficients: Floats
    width: float
    rows: int

    def weights(self, y: Floats) -> Floats:
        """Return the ratio at labels y, at least 0."""
        ratios = np.empty(len(y))
        for start in range(0, len(y), 1 << 12):
            part = slice(start, start + (1 << 12))
            kernel = _gaussian(y[part, None], self.at[:, None], self.width)
            ratios[part] = 1 + kernel @ self.coefficients
        return np.maximum(ratios, 0.0)


def fit_target_shift(X: Vectors, y: Floats, target: Vectors, noise: Floats) -> TargetShift:
    r"""Fit w(y) = p_target(y) / p_pool(y), the pool's x given y being that of the target.

    With eta(x) = p_target(x) / p_pool(x), the excess h = w - 1 solves E[h(y) | x] = eta(x) - 1.
    That is an integral equation of the first kind; it is solved under Tikhonov's penalty,

    .. math:: h = (\alpha I + C_y C_x)^{-1} C_y (\eta - 1)

    where C_x and C_y are the smoothers of kernel ridge regression on x and on y: conditional
    expectations given x and given y. eta is fitted by least squares (uLSIF).

    Parameters
    ----------
    X, y : float32[n, d] and float64[n]
        The pool, in canonical order.
    target : float32[m, d]
    noise : float64[n]
        Decides the rows that are used where there are more than 2,000.

    Notes
    -----
    O(2000^3) time and 2000^2 memory, whatever n is; then O(2000) for each label.

    References
    ----------
    Kim, Zhou, Tian, Zhang, Li, "ReTaSA: a nonparametric functional estimation approach for
    addressing continuous target shift", 2024. Kanamori, Hido, Sugiyama, "A least-squares approach
    to direct importance estimation", 2009.
    """
    rows = np.sort(first_rows(noise, _ROWS))
    own, labels = X[rows].astype(np.float64), y[rows]
    wanted = target[np.argsort(uniform(target, 0), kind="stable")[:_TARGET_ROWS]].astype(np.float64)
    n = len(rows)
    with one_thread():
        eta = density_ratio(own, wanted)
        width_y = _median_distance(labels[:, None])
        K_x = _gaussian(own, own, _median_distance(own))
        K_y = _gaussian(labels[:, None], labels[:, None], width_y)
        ridge = _RIDGE * n * np.eye(n)
        C_x = cho_solve(cho_factor(K_x + ridge), K_x).T
        factor_y = cho_factor(K_y + ridge)
        C_y = cho_solve(factor_y, K_y).T
        excess = np.linalg.solve(_ALPHA * np.eye(n) + C_y @ C_x, C_y @ (eta - 1))
        coefficients = cho_solve(factor_y, excess)
    return TargetShift(labels, coefficients, width_y, n)


def density_ratio(X: Floats, target: Floats) -> Floats:
    r"""Return p_target(x) / p_pool(x) at the rows of X, by least squares on Gaussian kernels.

    .. math:: \min_a\ \tfrac12 a^\top H a - h^\top a + \tfrac{\lambda}{2} \lVert a \rVert^2

    with H the mean of k k' over the pool and h the mean of k over the target, k the kernels at 100
    rows of the target. Width and lambda are chosen by five folds; the mean is scaled to 1.
    """
    centers = target[:_KERNELS]
    unit = _median_distance(np.concatenate([X[:1_000], target[:1_000]]))
    fold_x, fold_t = np.arange(len(X)) % _FOLDS, np.arange(len(target)) % _FOLDS
    best, chosen = np.inf, (1.0, 1.0)
    for multiple in _WIDTHS:
        k_x, k_t = (_gaussian(rows, centers, multiple * unit) for rows in (X, target))
        H = [k_x[fold_x == f].T @ k_x[fold_x == f] for f in range(_FOLDS)]
        h = [k_t[fold_t == f].sum(axis=0) for f in range(_FOLDS)]
        for penalty in _PENALTIES:
            loss = 0.0
            for f in range(_FOLDS):
                n_x, n_t = int((fold_x == f).sum()), int((fold_t == f).sum())
                if n_x in (0, len(X)) or n_t in (0, len(target)):
                    continue
                G = (sum(H) - H[f]) / (len(X) - n_x)
                a = _solved(G, (sum(h) - h[f]) / (len(target) - n_t), penalty)
                loss += 0.5 * a @ (H[f] / n_x) @ a - (h[f] / n_t) @ a
            if loss < best:
                best, chosen = loss, (multiple, penalty)
    k_x, k_t = (_gaussian(rows, centers, chosen[0] * unit) for rows in (X, target))
    ratio = k_x @ _solved(k_x.T @ k_x / len(X), k_t.mean(axis=0), chosen[1])
    mean = float(ratio.mean())
    return np.asarray(ratio / mean if mean > 0 else np.ones(len(X)))


def _solved(H: Floats, h: Floats, penalty: float) -> Floats:
    return np.asarray(np.maximum(np.linalg.solve(H + penalty * np.eye(len(h)), h), 0.0))


def _gaussian(A: Floats, B: Floats, width: float) -> Floats:
    from scipy.spatial.distance import cdist

    return np.asarray(np.exp(-cdist(A, B, "sqeuclidean") / (2 * width**2)))


def _median_distance(rows: Floats) -> float:
    """Return the median distance between rows, over at most 1,000 of them; 1 where they are equal."""
    from scipy.spatial.distance import cdist

    some = rows[:1_000]
    apart = cdist(some, some)[np.triu_indices(len(some), 1)]
    apart = apart[apart > 0]
    return float(np.median(apart)) if len(apart) else 1.0
