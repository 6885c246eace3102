"""What is common to mixtures that are learned: a table of runs or models, caps, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.storage.errors import BudgetError, ColumnError, ConfigError, InputError

# shares are compared with their caps to this
_SLACK = 1e-12


@dataclass(frozen=True, eq=False)
class LearnedMixture:
    """The share that each source should have, as learned from runs or models.

    Attributes
    ----------
    frame : pl.DataFrame
        By source: `source`, `share`, `low`, `high` (a 95 % interval, by bootstrap), `cap` (the most
        that its size allows), `effect` (the coefficient, or the rank correlation).
    report_ : dict
        How many runs or models there were, and how well they tell mixtures apart.
    """

    frame: pl.DataFrame
    report_: dict[str, Any]

    @property
    def shares(self) -> dict[str, float]:
        """The shares by source, as the `mixture` of a plan takes them."""
        return dict(self.frame.select("source", "share").iter_rows())

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Hand the table on: ``pl.DataFrame(mixture)``."""
        return self.frame.__arrow_c_stream__(requested_schema)


@dataclass(frozen=True, eq=False)
class Trials:
    """Runs or models in canonical order: what was seen of each source, and how good each was.

    Attributes
    ----------
    names : list of str
        The sources, by name.
    values : float64[trials, sources]
    metric : float64[trials]
        Lower is better.
    """

    names: list[str]
    values: Floats
    metric: Floats

    @classmethod
    def of(
        cls, table: Any, metric: str | ArrayLike, *, higher_is_better: bool, least: int, what: str
    ) -> Trials:
        """Read a table with one row for each run or model.

        Columns that hold no numbers (names of runs) are left out. Neither the order of the rows nor
        that of the columns matters.

        Raises
        ------
        ColumnError, InputError
            The metric is no column of numbers; a number is missing; there are fewer than `least`
            rows, or no two sources.
        """
        frame = pl.DataFrame(table)
        if isinstance(metric, str):
            if metric not in frame.columns:
                raise ColumnError.missing(metric, frame.columns, what=f"metric of the {what}")
            if not frame[metric].dtype.is_numeric():
                raise InputError(
                    f"The metric {metric!r} of the {what} holds {frame[metric].dtype}; name a column "
                    "of numbers."
                )
            losses = _numbers(frame.select(metric), what)[:, 0]
            frame = frame.drop(metric)
        else:
            losses = np.asarray(metric, dtype=np.float64)
            if losses.shape != (frame.height,) or not np.isfinite(losses).all():
                raise InputError(
                    f"The metric has shape {losses.shape} for {frame.height} {what}; pass one finite "
                    "number for each."
                )
        names = sorted(name for name, dtype in frame.schema.items() if dtype.is_numeric())
        if frame.height < least:
            raise InputError(
                f"A mixture can't be learned from {frame.height} {what}; pass at least {least}."
            )
        if len(names) < 2:
            raise InputError(
                f"The table of {what} has {len(names)} columns of numbers beside the metric; it needs "
                "one for each of two or more sources."
            )
        values = _numbers(frame.select(names), what)
        losses = -losses if higher_is_better else losses
        order = np.lexsort([*values.T[::-1], losses])
        return cls(names, values[order], losses[order])


def _numbers(frame: pl.DataFrame, what: str) -> Floats:
    values = frame.cast(pl.Float64).to_numpy().astype(np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InputError(
            f"The column {frame.columns[column]!r} of the {what} holds no finite number in row {row}; "
            "leave that row out, or write 0 where it had none of the source."
        )
    return values


def caps_of(
    names: list[str],
    sizes: Mapping[str, float] | None,
    budget: float | None,
    repeat: float,
) -> Floats:
    r"""Return the largest share of each source, :math:`\min(1, r s_d / B)`; 1 without sizes.

    Raises
    ------
    ConfigError
        Sizes without a budget or a budget without sizes; a source without a size, or a size that is
        no number >= 0.
    BudgetError
        All sources together are less than the budget.

    Examples
    --------
    >>> caps_of(["law", "web"], {"law": 10, "web": 500}, 100, 4).tolist()
    [0.4, 1.0]
    """
    if (sizes is None) != (budget is None):
        raise ConfigError(
            "sizes and budget go together, in the same unit: pass both, or neither for no caps."
        )
    if sizes is None or budget is None:
        return np.ones(len(names))
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ConfigError(
            f"sizes has no entry for the source {missing[0]!r}; pass how much there is of each."
        )
    own = np.array([float(sizes[name]) for name in names])
    if not (np.isfinite(own) & (own >= 0)).all():
        at = int(np.argmin(np.isfinite(own) & (own >= 0)))
        raise ConfigError(f"sizes[{names[at]!r}] is {sizes[names[at]]!r}; pass a number >= 0.")
    caps = np.minimum(1.0, repeat * own / float(budget))
    if caps.sum() < 1 - _SLACK:
        raise BudgetError(
            f"The sources hold {repeat * own.sum():g} with repeat={repeat:g}, which is less than the "
            f"budget of {float(budget):g}; lower the budget, or raise repeat."
        )
    return np.asarray(caps)


def within_caps(shares: NDArray[np.float64], caps: Floats) -> Floats:
    """Return shares of which none exceeds its cap; what is cut off goes to the others by share.

    Examples
    --------
    >>> within_caps(np.array([[0.5, 0.3, 0.2]]), np.array([0.2, 1.0, 1.0])).round(3).tolist()
    [[0.2, 0.48, 0.32]]
    """
    out = np.minimum(shares, caps)
    for _ in caps:
        missing = 1 - out.sum(axis=1)
        room = caps - out
        if (missing <= _SLACK).all():
            break
        weight = np.where(room > _SLACK, np.maximum(out, _SLACK), 0.0)
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), _SLACK * _SLACK)
        out = np.minimum(out + missing[:, None] * weight, caps)
    return np.asarray(out)


def table_of(
    names: list[str], share: Floats, resampled: Floats, caps: Floats, effect: Floats
) -> pl.DataFrame:
    """Return the table of a learned mixture, intervals from its resamples."""
    low, high = np.full((2, len(names)), np.nan)
    if len(resampled):
        low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    return pl.DataFrame(
        {
            "source": names,
            "share": share / share.sum(),
            "low": low,
            "high": high,
            "cap": caps,
            "effect": effect,
        }
    )
