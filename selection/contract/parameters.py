"""Constraints of parameters, declared on the class and checked once, before anything is computed.

A class lists for each parameter what it may be: constraints, or the values themselves::

    limits = {"probe": (Whole(1),), "n_clusters": (Whole(1), "auto"), "arms": ("kmeans", "groups")}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from typing import Any

from assay.storage.errors import ConfigError


@dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`.

    Examples
    --------
    >>> Whole(1).allows(3), Whole(1).allows(True), Whole(1).allows(2.0), str(Whole(1))
    (True, False, False, 'a whole number >= 1')
    """

    least: int = 0
    most: float = inf

    def allows(self, value: Any) -> bool:
        """Return whether `value` is one."""
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and self.least <= value <= self.most

    def __str__(self) -> str:
        upto = f" and <= {self.most}" if self.most < inf else ""
        return f"a whole number >= {self.least}{upto}"


@dataclass(frozen=True)
class Number:
    """A finite number in an interval, in its usual notation: ``Number("(0, 1]")``.

    Examples
    --------
    >>> Number("(0, 1]").allows(1), Number("(0, 1]").allows(0), Number("[0, inf)").allows(float("nan"))
    (True, False, False)
    >>> str(Number("[0, inf)")), str(Number("(0, 1]"))
    ('a finite number >= 0', 'a number in (0, 1]')
    """

    interval: str

    @property
    def _bounds(self) -> tuple[float, float]:
        low, high = self.interval[1:-1].split(",")
        return float(low), float(high)

    def allows(self, value: Any) -> bool:
        """Return whether `value` is one."""
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        low, high = self._bounds
        number = float(value)
        above = number >= low if self.interval[0] == "[" else number > low
        below = number <= high if self.interval[-1] == "]" else number < high
        return above and below

    def __str__(self) -> str:
        low, high = self._bounds
        if high == inf and low > -inf:
            return f"a finite number {'>=' if self.interval[0] == '[' else '>'} {low:g}"
        return f"a number in {self.interval}"


@dataclass(frozen=True)
class Function:
    """Anything that can be called; `of` says what with."""

    of: str

    def allows(self, value: Any) -> bool:
        """Return whether `value` is one."""
        return callable(value)

    def __str__(self) -> str:
        return f"a function of {self.of}"


Limits = Mapping[str, tuple[Any, ...]]
_CONSTRAINTS = (Whole, Number, Function)


def check_limits(limits: Limits, values: Mapping[str, Any]) -> None:
    """Refuse parameters that are none of what they may be.

    Raises
    ------
    ConfigError
        The first such parameter is named, with its value and what is allowed.

    Examples
    --------
    >>> check_limits({"k": (Whole(1), "auto")}, {"k": 0})
    Traceback (most recent call last):
    ...
    assay.storage.errors.ConfigError: k is 0; pass a whole number >= 1 or 'auto'.
    """
    for name, alternatives in limits.items():
        value = values[name]
        if not any(_allows(alternative, value) for alternative in alternatives):
            words = [
                str(each) if isinstance(each, _CONSTRAINTS) else repr(each) for each in alternatives
            ]
            listed = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
            raise ConfigError(f"{name} is {value!r}; pass {listed}.")


def _allows(alternative: Any, value: Any) -> bool:
    if isinstance(alternative, _CONSTRAINTS):
        return alternative.allows(value)
    # 1 is not True, and an array equals nothing here
    return type(alternative) is type(value) and bool(alternative == value)
