"""Entropic optimal transport between two weighted sets of points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.limits import Number, check_parameters

# fits between two in the log domain, which is exact but takes the exponential of every cost
_RUN = 50


class Transport(NamedTuple):
    """The cost of the plan, the potentials of rows and columns, and how far it converged."""

    cost: float
    rows: Floats
    columns: Floats
    error: float
    iterations: int


def sinkhorn(
    cost: ArrayLike,
    a: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    epsilon: float = 0.01,
    tolerance: float = 1e-6,
    max_iterations: int = 2_000,
) -> Transport:
    r"""Sinkhorn's iteration, stabilized in the log domain, with epsilon scaling.

    .. math:: \min_{P \ge 0} \langle P, C \rangle + \varepsilon \, \mathrm{KL}(P \,|\, a b^T)
        \quad \text{with } P 1 = a, \; P^T 1 = b

    The plan is :math:`P_{ij} = a_i b_j \exp((f_i + g_j - C_{ij}) / \varepsilon)` for potentials f
    and g that are fitted in turn. They are the gradients of the optimum by the masses: where f is
    low, more mass would lower the cost most.

    Parameters
    ----------
    cost : float array of shape (m, n)
    a, b : float arrays of shape (m,) and (n,), optional
        Masses > 0 that sum to 1 (default: equal).
    epsilon : float, default 0.01
        How far the plan is blurred, in units of the cost; small values take more iterations.
        Fitting starts at the largest cost and halves down to it.
    tolerance : float, default 1e-6
        Stops when the columns' masses are met to this total error.
    max_iterations : int, default 2000
        At the final epsilon, where the tolerance is looked at every 51 iterations.

    Returns
    -------
    Transport
        `cost` is <P, C> without the entropy, `rows` and `columns` are f and g.

    Raises
    ------
    InputError
        `cost` is no matrix with rows and columns, or the masses don't fit it.
    NonFiniteError
        `cost` holds NaN or infinite values.
    ConfigError
        `epsilon` is not above 0.

    Notes
    -----
    Time O(m n) per iteration, memory two arrays of m x n.

    References
    ----------
    Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", 2013. Peyré, Cuturi,
    "Computational optimal transport", 2019.

    Examples
    --------
    >>> found = sinkhorn([[0.0, 1.0], [1.0, 0.0]], epsilon=0.1)
    >>> bool(np.isclose(found.cost, 1 / (1 + np.exp(10))))
    True
    """
    matrix = np.asarray(cost, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise InputError(f"cost has shape {matrix.shape}; pass a matrix with rows and columns.")
    if not np.isfinite(matrix).all():
        raise NonFiniteError("cost holds NaN or infinite values.")
    check_parameters(epsilon=(epsilon, Number("(0, inf)")))
    mass_a, mass_b = _masses("a", a, matrix.shape[0]), _masses("b", b, matrix.shape[1])
    log_a, log_b = np.log(mass_a), np.log(mass_b)
    f, g = np.zeros(len(mass_a)), np.zeros(len(mass_b))
    blur = max(float(np.abs(matrix).max()), epsilon)
    while blur > epsilon:
        f = _potential(matrix, g, log_b, blur)
        g = _potential(matrix.T, f, log_a, blur)
        blur = max(blur / 2, epsilon)
    iterations = 0
    # one BLAS thread, so that threads change no bit
    with one_thread("blas"):
        while True:
            f = _potential(matrix, g, log_b, epsilon)
            fitted = _potential(matrix.T, f, log_a, epsilon)
            # the columns' masses before g is fitted to them
            error = float(np.abs(mass_b * np.expm1((g - fitted) / epsilon)).sum())
            iterations += 1
            if error < tolerance or iterations >= max_iterations:
                break
            g = fitted
            run = min(_RUN, max_iterations - iterations - 1)
            if run:
                f, g = _scaled(matrix, f, g, mass_a, mass_b, epsilon, run)
                iterations += run
    plan = np.exp((f[:, None] + g - matrix) / epsilon + log_a[:, None] + log_b)
    return Transport(float((plan * matrix).sum()), f, g, error, iterations)


def _scaled(
    cost: Floats, f: Floats, g: Floats, a: Floats, b: Floats, epsilon: float, run: int
) -> tuple[Floats, Floats]:
    """Fit f and g `run` times by scaling the plan's kernel, which costs two products each time."""
    kernel = np.exp((f[:, None] + g - cost) / epsilon)
    v = np.ones(len(g))
    with np.errstate(all="ignore"):
        for _ in range(run):
            u = 1 / (kernel @ (b * v))
            v = 1 / ((a * u) @ kernel)
        moved = epsilon * np.log(u), epsilon * np.log(v)
    # a kernel that underflows tells nothing
    if all(np.isfinite(part).all() for part in moved):
        return f + moved[0], g + moved[1]
    return f, g


def extended_potential(cost: Floats, columns: Floats, epsilon: float) -> Floats:
    """Return the potential of other rows, from their costs and those of the columns.

    Parameters
    ----------
    cost : float64[r, n]
    columns : float64[n]
        As `sinkhorn` returns them, for columns of equal masses.
    epsilon : float
        As given to `sinkhorn`.
    """
    return _potential(cost, columns, np.full(len(columns), -np.log(len(columns))), epsilon)


def _potential(cost: Floats, other: Floats, log_mass: Floats, epsilon: float) -> Floats:
    """Return -epsilon log sum_j mass_j exp((other_j - cost_ij) / epsilon)."""
    exponents = (other + epsilon * log_mass - cost) / epsilon
    highest = exponents.max(axis=1)
    exponents -= highest[:, None]
    np.exp(exponents, out=exponents)
    potential: Floats = -epsilon * (highest + np.log(exponents.sum(axis=1)))
    return potential


def _masses(name: str, masses: ArrayLike | None, count: int) -> Floats:
    if masses is None:
        return np.full(count, 1 / count)
    array = np.asarray(masses, dtype=np.float64)
    positive = array.shape == (count,) and bool(np.isfinite(array).all() and (array > 0).all())
    if not positive or abs(array.sum() - 1) > 1e-6:
        raise InputError(f"{name} must be {count} masses above 0 that sum to 1.")
    return np.asarray(array / array.sum())
