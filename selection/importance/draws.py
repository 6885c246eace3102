"""Draws in proportion to tempered weights: noise belongs to the row, budgets are exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import ordered_map
from assay.selection.algorithms.density_ratio import Moments, totals
from assay.selection.algorithms.gumbel import gumbel
from assay.selection.algorithms.top_k import top_k
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError

InOrder = Callable[[Rows], Rows]


def tempered_keys(log_weights: Floats, temperature: float, noise: Floats) -> Floats:
    """Return log_weights / temperature + noise; the log weights alone at temperature 0.

    The rows of the k largest keys are k draws without replacement in proportion to
    exp(log_weights / temperature).
    """
    return log_weights.copy() if temperature == 0 else log_weights / temperature + noise


def draw_with_replacement(
    keys: Floats, noise: Floats, k: int, in_order: InOrder
) -> tuple[Rows, Rows]:
    r"""Draw k times with replacement, in proportion to the weights in `keys`.

    Every row is given a Poisson process whose rate is its weight w: its arrivals are at
    :math:`(E_1 + \dots + E_j) / w` with exponential E. The k first arrivals of all are k
    independent draws in proportion to w. With :math:`E_1 = e^{-noise}` the key
    :math:`\log w + noise` is that of the first arrival, so that rows come in the order of the draw
    without replacement; the other E are counted from the same noise. So what is drawn depends on
    each row's weight and noise alone.

    Parameters
    ----------
    keys, noise : float64[n]
        log weight + Gumbel noise, and that noise. A row with NaN is never drawn.
    k : int
    in_order : callable
        Puts rows in the order by which ties break.

    Returns
    -------
    rows, times : int64[m]
        The different rows drawn, first drawn first, and how often each was: k in all.

    Notes
    -----
    Time linear in n plus about k log k.
    """
    rows = top_k(keys, k, in_order)
    if not len(rows):
        return rows, np.empty(0, dtype=np.int64)
    # only arrivals before the k-th found so far can count; look at twice as many each time
    log_rate = keys[rows] - noise[rows]
    state = np.ascontiguousarray(noise[rows]).view(np.uint64)
    elapsed, drawn = np.exp(-noise[rows]), np.ones(len(rows), dtype=np.int64)
    owners, arrivals = np.arange(len(rows)), keys[rows]
    active, block = np.arange(len(rows)), 1
    while len(active):
        number = drawn[active, None] + np.arange(block)
        steps = -np.log(_counted(state[active, None], number))
        times = elapsed[active, None] + np.cumsum(steps, axis=1)
        elapsed[active], drawn[active] = times[:, -1], drawn[active] + block
        owners = np.concatenate([owners, np.repeat(active, block)])
        arrivals = np.concatenate([arrivals, (log_rate[active, None] - np.log(times)).ravel()])
        if len(arrivals) > k:
            first = top_k(arrivals, k, np.sort)
            owners, arrivals = owners[first], arrivals[first]
        latest = arrivals.min() if len(arrivals) >= k else -np.inf
        active = active[log_rate[active] - np.log(elapsed[active]) >= latest]
        block = min(2 * block, k)
    times_drawn = np.bincount(owners, minlength=len(rows))
    kept = np.flatnonzero(times_drawn)
    return rows[kept], times_drawn[kept].astype(np.int64)


def quotas(proportions: Mapping[str, float], budget: int) -> dict[str, int]:
    """Share a budget out by largest remainder; equal remainders go to the name that comes first.

    >>> quotas({"b": 1, "a": 1, "c": 2}, 5)
    {'b': 1, 'a': 1, 'c': 3}
    """
    total = sum(proportions.values())
    exact = {name: budget * share / total for name, share in proportions.items()}
    whole = {name: int(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in order[: budget - sum(whole.values())]:
        whole[name] += 1
    return whole


def claim(ranked: Mapping[str, Rows], quota: Mapping[str, int]) -> tuple[Rows, dict[str, Rows]]:
    """Let several targets choose rows in turn, none twice.

    The i-th of a target's rows comes at (i + 1/2) / quota, so that targets run through their lists
    in proportion to their quotas; of two that come at once the name that is first goes first. A
    target passes over rows that are taken, and stops at its quota. So the result does not depend
    on the order of the targets.

    Parameters
    ----------
    ranked : mapping of int64 arrays
        Each target's rows, best first: as many as the sum of the quotas, or all usable ones.
    quota : mapping of int

    Returns
    -------
    rows : int64[m]
        In the order in which they were claimed.
    by_target : dict
        The rows of each target.
    """
    names = [name for name in sorted(ranked) if quota[name]]
    if not names:
        return np.empty(0, dtype=np.int64), {name: np.empty(0, dtype=np.int64) for name in ranked}
    rows = np.concatenate([ranked[name] for name in names])
    owner = np.repeat(np.arange(len(names)), [len(ranked[name]) for name in names])
    turn = np.concatenate([(np.arange(len(ranked[name])) + 0.5) / quota[name] for name in names])
    order = np.lexsort((owner, turn))
    _, compact = np.unique(rows, return_inverse=True)
    left = np.array([quota[name] for name in names])
    taken = np.zeros(int(compact.max()) + 1, dtype=np.bool_) if len(rows) else np.zeros(0, np.bool_)
    won = order[_claimed(compact[order], owner[order], left, taken)]
    claimed = {name: rows[won[owner[won] == place]] for place, name in enumerate(names)}
    return rows[won], {name: claimed.get(name, np.empty(0, dtype=np.int64)) for name in ranked}


@njit(cache=True)
def _claimed(rows, owners, left, taken):  # type: ignore[no-untyped-def]
    """Return whether each proposal wins its row, in their order."""
    won = np.zeros(rows.size, np.bool_)
    for i in range(rows.size):
        if left[owners[i]] > 0 and not taken[rows[i]]:
            won[i] = taken[rows[i]] = True
            left[owners[i]] -= 1
    return won


def _counted(state: NDArray[np.uint64], number: NDArray[np.int64]) -> Floats:
    """Return a number in (0, 1) for each pair (state, number): a counter-based generator."""
    with np.errstate(over="ignore"):
        x = state + number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
    return np.asarray(((x >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)


# temperatures tried, as multiples of the standard deviation of the log weights
_MULTIPLES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# a draw is about as near as the nearest where it misses no more than this share of what that gains
_ABOUT = 0.1
# a choice of fewer rows says too little about a temperature
_LEAST_ROWS = 50
# weights are added in multiples of this, so that sums do not depend on the order
_UNIT = 2.0**-31


Divergence = Callable[[Rows, Rows], float]


class Evidence(Protocol):
    """What says how much likelier each row is under each of some targets."""

    log_weights: Floats
    log_ratio: Floats
    sample: Rows

    @property
    def threads(self) -> int: ...
    @property
    def usable(self) -> NDArray[np.bool_]: ...
    @property
    def drawn_from(self) -> NDArray[np.bool_]: ...
    def masses(self) -> list[int]: ...
    def trials(self, target: int) -> list[tuple[Floats, Divergence]]: ...
    def divergences(self, target: int, subsets: list[tuple[Rows, Rows]]) -> list[float]: ...
    def report(self) -> dict[str, Any]: ...
    def report_of(self, target: int) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows drawn, first drawn first, and how often each was; the keys and what made them."""

    rows: Rows
    times: Rows
    keys: Floats
    temperature: float


def draw(
    log_weights: Floats,
    temperature: float,
    noise: Floats,
    k: int,
    *,
    replace: bool,
    in_order: Callable[[Rows], Rows],
) -> Drawn:
    """Draw k rows in proportion to exp(log weight / temperature); `noise` is Gumbel noise."""
    keys = tempered_keys(log_weights, temperature, noise)
    if replace:
        rows, times = draw_with_replacement(keys, noise, k, in_order)
    else:
        rows = top_k(keys, k, in_order)
        times = np.ones(len(rows), dtype=np.int64)
    return Drawn(rows, times, keys, temperature)


def choose_temperature(
    evidence: Evidence, target: int, budget: int, uniform: Floats, *, replace: bool
) -> float:
    """Return the least temperature whose draw comes about as near to held-out halves as any.

    The target is halved in several ways, and each half in turn gives the log weights of a sample
    of the pool. At every temperature the sample's share of the budget is drawn with noise made from
    `uniform`, and KL(other half || drawn) is measured. From 0 to a quarter of the spread its mean
    often hardly differs, and which is least is up to the noise; so the least temperature wins whose
    mean lies above the least mean by no more than its standard error, or a tenth of what the
    nearest draw gains on the sample itself. Temperatures are multiples of the spread of the log
    weights, so the multiple is carried over. A target of one document can't be halved: 0, or the
    smallest above where rows are drawn with replacement.

    Parameters
    ----------
    evidence : Evidence
    target, budget : int
    uniform : float64[n]
        Numbers in (0, 1) that depend on the rows' ids alone. The noise of the final draw, which a
        seed changes, has no part in the choice.
    replace : bool
    """
    multiples = _MULTIPLES[1:] if replace else _MULTIPLES
    rows = evidence.sample
    usable = int(np.count_nonzero(evidence.usable))
    share = min(1.0, budget / usable)
    k = min(len(rows), max(round(share * len(rows)), min(_LEAST_ROWS, budget)))
    if replace:
        k = max(1, round(budget * len(rows) / usable))
    state = np.ascontiguousarray(uniform[rows]).view(np.uint64)
    everything = np.arange(len(rows)), np.ones(len(rows), dtype=np.int64)

    def measured(trial: tuple[int, tuple[Floats, Divergence]]) -> tuple[list[float], float] | None:
        number, (weights, divergence) = trial
        spread = Moments.of(weights).spread
        if replace and not spread:
            return None
        noise = gumbel(_counted(state, np.full(len(rows), number)))
        draws = [
            draw(weights, multiple * spread, noise, k, replace=replace, in_order=np.sort)
            for multiple in multiples
        ]
        distances = [divergence(drawn.rows, drawn.times) for drawn in draws]
        return distances, divergence(*everything)

    numbered = enumerate(evidence.trials(target), start=1)
    found = list(filter(None, ordered_map(measured, numbered, evidence.threads)))
    spread = Moments.of(evidence.log_weights[target]).spread
    if replace and not spread:
        return 1.0
    if not found:
        return float(multiples[0] * spread)
    near = np.array([distances for distances, _ in found])
    nearest = near.mean(axis=0).argmin()
    worse = near - near[:, [nearest]]
    error = worse.std(axis=0) / np.sqrt(max(1, len(near) - 1))
    gain = float(np.mean([of_sample for _, of_sample in found])) - float(near[:, nearest].mean())
    near_enough = worse.mean(axis=0) <= np.maximum(error, _ABOUT * gain)
    return float(multiples[int(near_enough.argmax())] * spread)


def effective_sample_size(log_weights: Floats, temperature: float) -> float | None:
    """Return (sum w)^2 / sum w^2 of w = exp(log weight / temperature); None at temperature 0."""
    if temperature == 0:
        return None
    total = squares = 0
    most = np.nanmax(log_weights)
    for start in range(0, len(log_weights), 1 << 18):
        part = log_weights[start : start + (1 << 18)]
        weights = np.exp((part[~np.isnan(part)] - most) / temperature)
        units = np.rint(weights / _UNIT).astype(np.int64)
        more, squared = totals(units)
        total, squares = total + more, squares + squared
    return total * total / squares


def check_temperature(temperature: Any, *, replace: bool) -> None:
    """Raise `ConfigError` where a temperature is not what it may be."""
    if isinstance(temperature, str) and temperature == "auto":
        return
    if replace and temperature == 0:
        raise ConfigError(
            "temperature is 0 and replace is True, which draws one row over and over; pass a "
            "temperature above 0, or 'auto'."
        )
