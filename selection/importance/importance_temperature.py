"""Draws from the log weights of one target, and the temperature they are drawn at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.density_ratio import Moments, totals
from assay.selection.algorithms.top_k import top_k
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.importance.draws import draw_with_replacement, tempered_keys
from assay.storage.errors import ConfigError

# temperatures tried, as multiples of the standard deviation of the log weights
_MULTIPLES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# a choice of fewer rows says too little about a temperature
_LEAST_ROWS = 50
# weights are added in multiples of this, so that sums do not depend on the order
_UNIT = 2.0**-31


class Evidence(Protocol):
    """What says how much likelier each row is under each of some targets."""

    log_weights: Floats
    log_ratio: Floats
    sample: Rows

    @property
    def usable(self) -> NDArray[np.bool_]: ...
    def masses(self) -> list[int]: ...
    def trials(self, target: int) -> list[tuple[Floats, Callable[[Rows, Rows], float]]]: ...
    def divergences(self, target: int, subsets: list[tuple[Rows, Rows]]) -> list[float]: ...
    def told(self) -> dict[str, Any]: ...
    def told_of(self, target: int) -> dict[str, Any]: ...


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
    evidence: Evidence, target: int, budget: int, noise: Floats, *, replace: bool
) -> float:
    """Return the temperature whose draw comes nearest to a held-out half of the target.

    Each half of the target in turn gives the log weights of a sample of the pool; at every
    temperature the sample's share of the budget is drawn with the final noise, and KL(other half
    || drawn) is measured. The temperature with the least mean over both wins. Temperatures are
    multiples of the spread of the log weights, so the multiple is carried over. A target of one
    document can't be halved: 0, or the smallest above where rows are drawn with replacement.
    """
    multiples = _MULTIPLES[1:] if replace else _MULTIPLES
    total = np.zeros(len(multiples))
    rows = evidence.sample
    usable = int(np.count_nonzero(evidence.usable))
    share = min(1.0, budget / usable)
    k = min(len(rows), max(round(share * len(rows)), min(_LEAST_ROWS, budget)))
    if replace:
        k = max(1, round(budget * len(rows) / usable))
    for weights, divergence in evidence.trials(target):
        spread = Moments.of(weights).spread
        for place, multiple in enumerate(multiples):
            if replace and not spread:
                continue
            found = draw(
                weights, multiple * spread, noise[rows], k, replace=replace, in_order=np.sort
            )
            total[place] += divergence(found.rows, found.times)
    spread = Moments.of(evidence.log_weights[target]).spread
    if replace and not spread:
        return 1.0
    return float(multiples[int(total.argmin())] * spread)


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
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 <= temperature < np.inf:
        raise ConfigError(f"temperature is {temperature!r}; pass a number >= 0, or 'auto'.")
    if replace and temperature == 0:
        raise ConfigError(
            "temperature is 0 and replace is True, which draws one row over and over; pass a "
            "temperature above 0, or 'auto'."
        )
