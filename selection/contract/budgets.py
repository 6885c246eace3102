"""How many rows a budget means."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar

from assay.storage.errors import BudgetError, ConfigError
from assay.storage.limits import Constraint

ALLOWED = (
    "a count (whole number >= 1), a share of the pool (number above 0, at most 1.0) "
    "or text such as '1000' or '10%'"
)
# 0.29 * 100 is 28.999999999999996: a product this close below a whole number means that number
_ROUNDING = 2.0**-50


class Budget(Constraint):
    """A count, a share, or either as text."""

    error: ClassVar[type[ConfigError]] = BudgetError

    def allows(self, value: Any) -> bool:
        try:
            parse_budget(value)
        except BudgetError:
            return False
        return True

    def __str__(self) -> str:
        return ALLOWED


class ShortfallWarning(UserWarning):
    """Fewer rows are usable than the budget asks for."""


def parse_budget(budget: Any) -> int | float:
    """Return `budget` as a count (int) or a share (float), whatever form it was given in.

    Parameters
    ----------
    budget : int, float or str
        A count (1 or more), a share of all rows of the pool (above 0, at most 1.0: a float is
        always a share, so 1.0 is the whole pool and 1 is one row), or either as text: "1000",
        "0.1", "10%".

    Raises
    ------
    BudgetError
        `budget` is none of these.

    Examples
    --------
    >>> parse_budget("5%"), parse_budget("1000"), parse_budget(0.05)
    (0.05, 1000, 0.05)
    """
    value = as_number(budget) if isinstance(budget, str) else budget
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and 0 < float(value) <= 1:
        return float(value)
    raise BudgetError(f"The budget is {budget!r}; it may be {ALLOWED}.")


def resolve_budget(budget: Any, n: int) -> int:
    """Return the number of rows that `budget` means in a pool of `n` rows.

    A share means ``floor(share * n)`` rows, at least one.

    Parameters
    ----------
    budget : int, float or str
        See `parse_budget`.
    n : int
        Rows of the pool, usable or not.

    Raises
    ------
    BudgetError
        `budget` is malformed, or is more than `n`.

    Examples
    --------
    >>> resolve_budget(25, 1_000), resolve_budget(0.1, 1_000), resolve_budget("10%", 1_000)
    (25, 100, 100)
    """
    value = parse_budget(budget)
    count = value if isinstance(value, int) else max(1, math.floor(value * n * (1 + _ROUNDING)))
    if count > n:
        raise BudgetError(
            f"The budget is {count} rows but the pool has {n}; give a count of at most {n}, "
            "or a share such as 0.1."
        )
    return count


def as_number(text: str) -> int | float | None:
    """Return what "1000", "0.1" or "10%" means; None for anything else."""
    stripped = text.strip().replace("_", "")
    try:
        if stripped.endswith("%"):
            return float(stripped[:-1]) / 100
        return int(stripped) if stripped.isdecimal() else float(stripped)
    except ValueError:
        return None
