"""What a method decides: the rows chosen, and a reason for every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats, Rows

# reasons of rows that are chosen
_CHOSEN = ("selected", "churn")


class Named:
    """The ids of some rows of a pool, as a field of a detail; they are looked up when they are told.

    Parameters
    ----------
    ids : Series of the pool's ids
    rows : int[m]
    """

    def __init__(self, ids: pl.Series, rows: NDArray[np.integer]) -> None:
        self._ids, self._rows = ids, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: NDArray[Any]) -> Named:
        """Return the ids of some of the rows, by a mask or by places."""
        return Named(self._ids, self._rows[which])

    def names(self) -> pl.Series:
        """Return the ids."""
        return self._ids.gather(self._rows)


# a field of a detail
Field = NDArray[Any] | Named


class Outcome(NamedTuple):
    """Why some rows were decided as they were; `detail` holds one value per row and field."""

    rows: Rows
    stage: str
    reason: str
    detail: Mapping[str, Field]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What a selector decided, in canonical row numbers.

    `chosen` is in order of preference; `outcomes` covers every other row exactly once; `detail`
    has one value per chosen row and field. `weights` are those of the chosen rows; None: all 1.
    """

    chosen: Rows
    scores: Floats
    outcomes: Sequence[Outcome]
    detail: Mapping[str, Field] = field(default_factory=dict)
    ranking: Rows | None = None
    weights: Floats | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """What a selector decided, in the rows as they were given: what `Selector.fit` keeps.

    Attributes
    ----------
    n, budget : int
        Rows of the pool, and rows asked for.
    chosen : int64[m]
        In order of preference.
    times : int64[m] or None
        How often each was chosen; None: once.
    weights : float64[m] or None
        Of the rows chosen; None: how often each was.
    scores : float64[n]
    outcomes : iterable of Outcome
        Of every row once. It may be worked out each time it is gone through.
    ids : callable
        Returns the ids of the rows, None where they are the positions.
    ranking : int64 or None
    report, groups : mapping
        What the method reports, and the shares of the groups (None without groups).
    """

    n: int
    budget: int
    chosen: Rows
    scores: Floats
    outcomes: Iterable[Outcome]
    ids: Callable[[], Any]
    times: Rows | None = None
    weights: Floats | None = None
    ranking: Rows | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Any] | None = None


def rank_of(scores: Floats) -> Rows:
    """Return the rank of each score: 1 = highest, ties by row."""
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks


def explained(outcome: Outcome) -> pl.DataFrame:
    """Return the rows of one outcome with their detail as JSON, numbers finite or null."""
    columns = {
        name: values.names() if isinstance(values, Named) else values
        for name, values in outcome.detail.items()
    }
    fields = pl.DataFrame(columns).with_columns(
        pl.when(pl.selectors.float().is_finite()).then(pl.selectors.float())
    )
    return pl.DataFrame({"row": outcome.rows}).select(
        "row",
        selected=pl.lit(outcome.reason in _CHOSEN),
        stage=pl.lit(outcome.stage),
        reason=pl.lit(outcome.reason),
        detail=fields.select(pl.struct(pl.all()).struct.json_encode()).to_series()
        if fields.width
        else pl.lit("{}"),
    )


class Explained:
    """The outcomes of all rows of a pool, explained a part of the rows at a time.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of every row once.
    n : int
        Rows of the pool.
    """

    def __init__(self, outcomes: Sequence[Outcome], n: int) -> None:
        self._outcomes = outcomes
        self._of = np.full(n, -1, np.int32)
        self._place = np.empty(n, np.int32)
        for number, outcome in enumerate(outcomes):
            self._of[outcome.rows] = number
            self._place[outcome.rows] = np.arange(len(outcome.rows), dtype=np.int32)

    def rows(self, begin: int, end: int) -> pl.DataFrame:
        """Return the rows from `begin` to `end` of what `explained` returns of all, in their order."""
        of, place = self._of[begin:end], self._place[begin:end]
        frames = []
        for number in np.unique(of):
            here = np.flatnonzero(of == number)
            outcome = self._outcomes[number]
            detail = {name: values[place[here]] for name, values in outcome.detail.items()}
            frames.append(explained(outcome._replace(rows=begin + here, detail=detail)))
        return pl.concat(frames).sort("row")
