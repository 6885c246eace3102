"""Constraints of parameters, declared on the class and checked once, before anything is computed.

A class lists for each parameter what it may be: constraints, or the values themselves::

    limits = {"probe": (Whole(1),), "n_clusters": (Whole(1), "auto"), "arms": ("kmeans", "groups")}

A function checks its own with `check_parameters`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar

from assay.storage.errors import ConfigError


class Constraint(ABC):
    """What a parameter may be; as text, how an error message describes it."""

    error: ClassVar[type[ConfigError]] = ConfigError

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Return whether `value` is one."""


@dataclass(frozen=True)
class Whole(Constraint):
    """A whole number from `least` to `most`.

    Examples
    --------
    >>> Whole(1).allows(3), Whole(1).allows(True), Whole(1).allows(2.0), str(Whole(1))
    (True, False, False, 'a whole number >= 1')
    """

    least: int = 0
    most: float = inf

    def allows(self, value: Any) -> bool:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        return whole and self.least <= value <= self.most

    def __str__(self) -> str:
        upto = f" and <= {self.most}" if self.most < inf else ""
        return f"a whole number >= {self.least}{upto}"


# work that grows with a parameter alone, whatever the data: trees, epochs, rounds
MOST_ROUNDS = 10_000
# likewise: more than any machine has
MOST_THREADS = 1_024
# answers are as wide as was asked, also where there are fewer rows
NEIGHBORS = Whole(1, 1_000_000)


@dataclass(frozen=True)
class Pair(Constraint):
    """Two whole numbers from `least` to `most`, the lesser first.

    Examples
    --------
    >>> Pair(1, 9).allows((2, 3)), Pair(1, 9).allows([3, 2]), str(Pair(1, 9))
    (True, False, 'a pair of whole numbers from 1 to 9, the lesser first')
    """

    least: int
    most: int

    def allows(self, value: Any) -> bool:
        if not isinstance(value, tuple | list) or len(value) != 2:
            return False
        each = Whole(self.least, self.most)
        return all(each.allows(number) for number in value) and value[0] <= value[1]

    def __str__(self) -> str:
        return f"a pair of whole numbers from {self.least} to {self.most}, the lesser first"


@dataclass(frozen=True)
class Number(Constraint):
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
        if not isinstance(value, Real) or isinstance(value, bool):
            return False
        low, high = self._bounds
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond all floats
            return False
        above = number >= low if self.interval[0] == "[" else number > low
        below = number <= high if self.interval[-1] == "]" else number < high
        return above and below

    def __str__(self) -> str:
        low, high = self._bounds
        if high == inf and low > -inf:
            return f"a finite number {'>=' if self.interval[0] == '[' else '>'} {low:g}"
        return f"a number in {self.interval}"


@dataclass(frozen=True)
class Function(Constraint):
    """Anything that can be called; `of` says what with."""

    of: str

    def allows(self, value: Any) -> bool:
        return callable(value)

    def __str__(self) -> str:
        return f"a function of {self.of}"


@dataclass(frozen=True)
class Instance(Constraint):
    """An object of the classes in `kinds`; `words` says what that is."""

    kinds: tuple[type, ...]
    words: str

    def allows(self, value: Any) -> bool:
        return isinstance(value, self.kinds)

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True)
class Flag(Constraint):
    """True or False."""

    def allows(self, value: Any) -> bool:
        # looking through the registry imports no NumPy
        import numpy as np

        return isinstance(value, bool | np.bool_)

    def __str__(self) -> str:
        return "True or False"


Limits = Mapping[str, tuple[Any, ...]]
SEED = (Whole(0),)


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
            constraints = [each for each in alternatives if isinstance(each, Constraint)]
            words = [str(each) if each in constraints else repr(each) for each in alternatives]
            listed = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
            error = constraints[0].error if constraints else ConfigError
            raise error(f"{name} is {value!r}; pass {listed}.")


def check_parameters(**parameters: tuple[Any, ...]) -> None:
    """Refuse parameters of a function: each is given as its value, then what it may be.

    Raises
    ------
    ConfigError
        As `check_limits`.

    Examples
    --------
    >>> check_parameters(alpha=(0.85, Number("[0, 1)")), tol=(1e-8, Number("(0, inf)")))
    """
    limits = {name: tuple(allowed) for name, (_, *allowed) in parameters.items()}
    check_limits(limits, {name: value for name, (value, *_) in parameters.items()})


def _allows(alternative: Any, value: Any) -> bool:
    if isinstance(alternative, Constraint):
        return alternative.allows(value)
    # 1 is not True, and an array equals nothing here
    return type(alternative) is type(value) and bool(alternative == value)
