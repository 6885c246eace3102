"""A mixture: the share that each source has in a selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.allocation import allocate
from assay.selection.algorithms.learned_mixture import LearnedMixture
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.errors import ColumnError, ConfigError, InputError

# what a plan knows by itself
_FROM_THE_POOL = ("runs", "losses", "errors", "sizes", "budget", "repeat", "random_state")
RULES = ("even", "proportional", "sqrt", "target")


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """The shares of sources, and what of them the pool can give.

    Attributes
    ----------
    names : list of str
        The sources.
    shares : float64[sources]
        They sum to 1.
    wanted : float64[sources]
        Their parts of the budget: whole rows, or cost.
    there : float64[sources]
        What the pool has of each, in rows or cost.
    repeat : int
        How often a row may be counted where a source has too little.
    learned : LearnedMixture, optional
        What the shares were learned from.
    """

    names: Sequence[str]
    shares: Floats
    wanted: Floats
    there: Floats
    repeat: int
    learned: LearnedMixture | None = None

    @classmethod
    def of(
        cls,
        mixture: Any,
        names: Sequence[str],
        available: Floats,
        budget: float,
        *,
        counted: bool,
        repeat: int,
        rounding: Literal["largest_remainder", "dhondt"] = "largest_remainder",
    ) -> Mixture:
        """Share a budget out.

        Parameters
        ----------
        mixture : mapping of source to weight, or {"even", "proportional", "sqrt"}
            Weights are brought to the sum 1. "proportional" is by what the pool has, "sqrt" by its
            square root, as for languages of unequal size.
        names, available : the sources of the pool, and what it has of each
        budget : float
        counted : bool
            Whether the budget is in rows, which are shared out by `rounding`.
        repeat : int
        rounding : {"largest_remainder", "dhondt"}, default "largest_remainder"
            Largest remainder keeps every source within a row of its exact part; by D'Hondt, which favors
            large sources a little, no source's part falls when the budget grows.

        Raises
        ------
        ConfigError
            A source is not in the pool, a weight is no number >= 0, or all are 0.

        Examples
        --------
        >>> mixture = Mixture.of(
        ...     {"web": 3, "law": 1}, ["code", "law", "web"], np.array([9.0, 2.0, 50.0]), 20.0,
        ...     counted=True, repeat=2,
        ... )
        >>> mixture.wanted.tolist(), mixture.given_by_pool().tolist(), mixture.shortfall()
        ([0.0, 5.0, 15.0], [0.0, 4.0, 15.0], 1.0)
        """
        weights = _weights(mixture, names, available)
        shares = weights / weights.sum()
        wanted = shares * budget
        if counted:
            count = int(budget)
            room = np.full(len(names), count)
            whole = allocate(room, count, rule=rounding, weights=shares)
            wanted = whole.astype(np.float64)
        return cls(names=names, shares=shares, wanted=wanted, there=available, repeat=repeat)

    def distinct(self) -> Floats:
        """Return how much of each source is taken once."""
        return np.minimum(self.wanted, self.there)

    def given_by_pool(self) -> Floats:
        """Return how much of each source there will be, with what is repeated."""
        return np.minimum(self.wanted, self.there * self.repeat)

    def shortfall(self) -> float:
        """Return what is missing of the budget, as no source stands in for another."""
        return float((self.wanted - self.given_by_pool()).sum())

    def times(self, groups: NDArray[np.int64]) -> Rows:
        """Return how often each chosen row counts; `groups` are theirs, in order of preference.

        A source that is short is gone through again and again, and the last time in part.
        """
        times = np.ones(len(groups), dtype=np.int64)
        for source in np.flatnonzero(self.given_by_pool() > self.there):
            mine = np.flatnonzero(groups == source)
            if len(mine):
                wanted = min(int(self.given_by_pool()[source]), self.repeat * len(mine))
                whole, more = divmod(wanted, len(mine))
                times[mine] = whole
                times[mine[:more]] += 1
        return times

    def report(self, got: Floats) -> dict[str, dict[str, float]]:
        """Return, by source, its share, its part of the budget, and what of that there is."""
        total = max(float(got.sum()), 1e-300)
        return {
            name: {
                "share": float(self.shares[at]),
                "wanted": float(self.wanted[at]),
                "selected": float(got[at]),
                "selected_share": float(got[at]) / total,
                "shortfall": max(0.0, float(self.wanted[at] - got[at])),
            }
            for at, name in enumerate(self.names)
            if self.shares[at] > 0
        }


def check_mixture(mixture: Any, repeat: Any) -> None:
    """Raise `ConfigError` where a mixture is none, whatever the pool holds."""
    if isinstance(mixture, str):
        if mixture not in RULES:
            raise ConfigError(
                f"mixture is {mixture!r}; it may be {', '.join(RULES)}, or a share for each source."
            )
    elif not isinstance(mixture, Mapping) or not mixture:
        raise ConfigError(f"mixture is {mixture!r}; pass a share for each source, or {RULES}.")
    else:
        for name, value in mixture.items():
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
            if not number or not 0 <= value < np.inf:
                raise ConfigError(f"mixture[{name!r}] is {value!r}; pass a number >= 0.")
        if not sum(mixture.values()):
            raise ConfigError("The shares of the mixture are all 0; pass at least one above 0.")
    if isinstance(repeat, bool) or not isinstance(repeat, int) or repeat < 1:
        raise ConfigError(f"repeat is {repeat!r}; pass a whole number >= 1.")


def learner(what: Literal["runs", "models"]) -> Callable[..., LearnedMixture]:
    """Return the function that learns a mixture from runs or from models."""
    # they import scikit-learn, which a command line that only looks does without
    if what == "runs":
        from assay.selection.algorithms.mixture_of_runs import mixture_from_runs

        return mixture_from_runs
    from assay.selection.algorithms.mixture_of_models import mixture_from_models

    return mixture_from_models


def check_learned(
    mixture: Any, from_runs: Any, from_models: Any, options: Mapping[str, Any] | None
) -> None:
    """Raise `ConfigError` where what a mixture is learned from is not clear.

    Examples
    --------
    >>> check_learned(None, "runs.csv", None, {"metric": "loss", "best": 50})
    >>> check_learned("even", "runs.csv", None, {"metric": "loss"})
    Traceback (most recent call last):
    ...
    assay.storage.errors.ConfigError: A plan has one of mixture, mixture_from_runs and mixture_from_models; leave out the others.
    """
    sources = [each for each in (mixture, from_runs, from_models) if each is not None]
    if len(sources) > 1:
        raise ConfigError(
            "A plan has one of mixture, mixture_from_runs and mixture_from_models; leave out the "
            "others."
        )
    if from_runs is None and from_models is None:
        if options:
            raise ConfigError(
                "mixture_options are for mixture_from_runs and mixture_from_models, and the plan has "
                "neither; leave them out."
            )
        return
    function = learner("models" if from_runs is None else "runs")
    known = [name for name in signature(function).parameters if name not in _FROM_THE_POOL]
    known = sorted({*known, "metric"})
    unknown = [name for name in options or {} if name not in known]
    if unknown:
        raise ColumnError.missing(unknown[0], known, what="option of the mixture")
    if not isinstance((options or {}).get("metric"), str):
        raise ConfigError(
            "A mixture is learned for a metric: name its column, mixture_options = { metric = "
            '"loss" }.'
        )


def _weights(mixture: Any, names: Sequence[str], available: Floats) -> Floats:
    if not len(names):
        raise InputError("No row has a source, so that nothing can be mixed; name `by`.")
    if mixture == "even":
        return (available > 0).astype(np.float64)
    if mixture == "proportional":
        return available.copy()
    if mixture == "sqrt":
        return np.sqrt(available)
    place = {name: at for at, name in enumerate(names)}
    unknown = [name for name in mixture if name not in place]
    if unknown:
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise ConfigError(
            f"mixture names the source {unknown[0]!r}, which no row has; there are: {shown}."
        )
    weights = np.zeros(len(names))
    for name, value in mixture.items():
        weights[place[name]] = float(value)
    return weights
