"""Draws for one target or several, in either mode, each within an exact budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from assay.selection.algorithms.allocation import allocate
from assay.selection.algorithms.composition import Composition
from assay.selection.algorithms.gumbel import gumbel
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.importance.composed import by_group
from assay.selection.importance.draws import Drawn, choose_temperature, claim, draw, quotas
from assay.selection.importance.fit import ONLY, Fitted
from assay.storage.errors import ConfigError

Temperature = float | Literal["auto"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows chosen, in order of preference, how often each, and the draw of each target."""

    rows: Rows
    times: Rows
    by_target: dict[str, Drawn]
    quota: dict[str, int]


def checked_proportions(proportions: Any, names: tuple[str, ...]) -> dict[str, float] | None:
    """Return the share of each target, or None where none are given.

    Raises
    ------
    ConfigError
        They are not numbers >= 0 for the targets' names, or all 0.
    """
    if proportions is None:
        return None
    if not isinstance(proportions, Mapping) or set(proportions) != set(names):
        raise ConfigError(
            f"proportions is {proportions!r}; pass a mapping with a number for each of the targets "
            f"{names}, or None."
        )
    for name, value in proportions.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < np.inf:
            raise ConfigError(f"proportions[{name!r}] is {value!r}; pass a number >= 0.")
    if not sum(proportions.values()):
        raise ConfigError("proportions are all 0; pass at least one above 0.")
    return {name: float(proportions[name]) for name in names}


def choose(
    fitted: Fitted,
    budget: int,
    *,
    proportions: dict[str, float] | None,
    temperature: Temperature,
    replace: bool,
    random_state: int,
    composition: Composition | None = None,
) -> Chosen:
    """Draw the budget in mode "calibrated"; the order of the targets does not matter.

    With a composition (of the only target) each group gives its share of the budget.
    """
    evidence, rows = fitted.evidence, fitted.rows
    usable = int(np.count_nonzero(fitted.open))
    budget = budget if replace else min(budget, usable)
    shares = proportions or dict(zip(fitted.names, map(float, evidence.masses()), strict=True))
    quota = _quotas(shares, budget, dict(zip(fitted.names, fitted.had, strict=True)))
    drawn: dict[str, Drawn] = {}
    trial = rows.noise(0, "temperature") if temperature == "auto" else np.zeros(0)
    for target, name in enumerate(fitted.names):
        tau: float
        noise = np.zeros(0)
        if temperature != 0:
            noise = gumbel(rows.noise(random_state, _stream(name)))
        if temperature == "auto":
            tau = choose_temperature(evidence, target, max(1, quota[name]), trial, replace=replace)
        else:
            tau = float(temperature)
        drawn[name] = draw(
            _drawable(fitted, target),
            tau,
            noise,
            # without replacement any of the first `budget` may be left by the other targets
            quota[name] if replace else budget,
            replace=replace,
            in_order=rows.in_order,
        )
    if len(drawn) == 1:
        only = next(iter(drawn.values()))
        if composition is not None:
            ((name, only),) = drawn.items()
            rows_of_groups = by_group(only.keys, composition, budget, rows.in_order, fitted.covered)
            once = np.ones(len(rows_of_groups), dtype=np.int64)
            drawn[name] = Drawn(rows_of_groups, once, only.keys, only.temperature)
            return Chosen(rows_of_groups, once, drawn, quota)
        return Chosen(only.rows, only.times, drawn, quota)
    if replace:
        return _together(drawn, quota)
    chosen, claimed = claim({name: each.rows for name, each in drawn.items()}, quota)
    for name, own in claimed.items():
        each = drawn[name]
        drawn[name] = Drawn(own, np.ones(len(own), dtype=np.int64), each.keys, each.temperature)
    return Chosen(chosen, np.ones(len(chosen), dtype=np.int64), drawn, quota)


def choose_as_published(
    fitted: Fitted, budget: int, *, proportions: dict[str, float] | None, random_state: int
) -> Chosen:
    """Draw as the package does: target by target, with NumPy's noise in the order of the rows."""
    if random_state >= 2**32:
        raise ConfigError(f"random_state is {random_state}; mode 'dsir' takes one below 2**32.")
    evidence, names = fitted.evidence, fitted.names
    budget = min(budget, int(np.count_nonzero(fitted.open)))
    shares = np.array([proportions[name] for name in names] if proportions else evidence.masses())
    shares = shares / shares.sum()
    parts = [int(budget * share) for share in shares]
    parts[-1] += budget - sum(parts)
    random = np.random.RandomState(random_state)
    free = evidence.drawn_from & ~fitted.covered
    drawn, chosen = {}, []
    for target, name in enumerate(names):
        keys = np.full(len(free), np.nan)
        if parts[target]:
            keys[free] = evidence.log_weights[target][free] + random.gumbel(size=int(free.sum()))
        own = np.flatnonzero(~np.isnan(keys))
        own = own[np.argsort(-keys[own], kind="stable")][: parts[target]]
        free[own] = False
        drawn[name] = Drawn(own, np.ones(len(own), dtype=np.int64), keys, 1.0)
        chosen.append(own)
    rows = np.concatenate(chosen)
    once = np.ones(len(rows), dtype=np.int64)
    return Chosen(rows, once, drawn, dict(zip(names, parts, strict=True)))


def _drawable(fitted: Fitted, target: int) -> Floats:
    """Return the log weights of the rows that can be drawn, NaN for the others."""
    log_weights = fitted.evidence.log_weights[target]
    return np.where(fitted.covered, np.nan, log_weights) if fitted.covered.any() else log_weights


def _quotas(shares: dict[str, float], budget: int, had: dict[str, int]) -> dict[str, int]:
    """Share a budget out over the targets, so that covered rows are part of their shares."""
    if len(had) == 1 or not any(had.values()):
        return quotas(shares, budget)
    names = sorted(shares)
    full = np.array([had[name] for name in names])
    in_all = budget + int(full.sum())
    whole = allocate(
        np.full(len(names), in_all),
        in_all,
        rule="largest_remainder",
        weights=[shares[name] for name in names],
        minima=full,
    )
    return dict(zip(names, (whole - full).tolist(), strict=True))


def _together(drawn: dict[str, Drawn], quota: dict[str, int]) -> Chosen:
    """Return the rows that any target drew, with all their copies, in the order of their turns."""
    names = [name for name in sorted(drawn) if len(drawn[name].rows)]
    rows = np.concatenate([drawn[name].rows for name in names])
    times = np.concatenate([drawn[name].times for name in names])
    turn = [(np.arange(len(drawn[name].rows)) + 0.5) / quota[name] for name in names]
    unique, first, place = np.unique(rows, return_index=True, return_inverse=True)
    earliest = np.full(len(unique), np.inf)
    np.minimum.at(earliest, place, np.concatenate(turn))
    order = np.lexsort((first, earliest))
    copies = np.bincount(place, weights=times).astype(np.int64)
    return Chosen(unique[order], copies[order], drawn, quota)


def _stream(name: str) -> str:
    """Return the name of a target's own noise."""
    return "importance" if name == ONLY else f"importance/{name}"


def best(log_weights: Floats) -> Floats:
    """Return each row's largest log weight under any target; NaN for a row without content."""
    return log_weights[0] if len(log_weights) == 1 else np.asarray(log_weights.max(axis=0))
