"""The rows that importance resampling draws from: their ids, their noise, their groups."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import polars as pl

from assay.selection.contract.inputs import Floats, Inputs, Labels, Rows, derived_seed
from assay.storage import Pool
from assay.storage.hashing.rows import uniform

# positions turned into noise at a time
_PART = 1 << 16


class Population(Protocol):
    """Rows in the order in which they were given."""

    n: int

    def noise(self, random_state: int, stream: str) -> Floats:
        """Return numbers in (0, 1) that depend on (random_state, stream, id) alone."""

    def in_order(self, rows: Rows) -> Rows:
        """Return `rows` by their ids, bytewise; by position where there are none."""

    def groups(self) -> Labels | None:
        """Return the groups of the rows, where they are known."""


class Given:
    """Rows that came with inputs in memory."""

    def __init__(self, inputs: Inputs) -> None:
        self.n = inputs.n
        self._inputs = inputs
        self._place = inputs.as_given(np.arange(inputs.n))

    def noise(self, random_state: int, stream: str) -> Floats:
        return np.asarray(self._inputs.as_given(self._inputs.noise(random_state, stream)))

    def in_order(self, rows: Rows) -> Rows:
        return np.asarray(rows[np.argsort(self._place[rows], kind="stable")])

    def groups(self) -> Labels | None:
        labels = self._inputs.groups
        if labels is None:
            return None
        return labels._replace(codes=self._inputs.as_given(labels.codes))


class Positions:
    """Rows known by their position, of which nothing is held in memory."""

    def __init__(self, n: int) -> None:
        self.n = n

    def noise(self, random_state: int, stream: str) -> Floats:
        seed, out = derived_seed(random_state, stream), np.empty(self.n)
        for start in range(0, self.n, _PART):
            stop = min(self.n, start + _PART)
            ids = pl.Series(np.arange(start, stop)).cast(pl.String)
            out[start:stop] = uniform(ids, seed)
        return out

    def in_order(self, rows: Rows) -> Rows:
        return np.sort(rows)

    def groups(self) -> Labels | None:
        return None


def population(X: Any, n: int, ids: Any, **others: Any) -> Population:
    """Return the rows of `X`, which are `n`, with the ids and groups given, else the pool's own.

    Raises
    ------
    InputError
        Lengths differ.
    IdError
        Ids are null or repeated, or not those of the graph.
    """
    if isinstance(X, Pool):
        roles, rows = X.roles, np.arange(n)
        if ids is None and roles.id is not None:
            ids = X.take(rows, [roles.id])[roles.id]
        if others.get("groups") is None and roles.group is not None:
            others["groups"] = X.take(rows, [roles.group])[roles.group]
    given = {name: value for name, value in others.items() if value is not None}
    if ids is None and not given:
        return Positions(n)
    return Given(Inputs(X=_Length(n), ids=ids, **given))


class _Length:
    """Stands for `n` rows whose content is elsewhere."""

    def __init__(self, n: int) -> None:
        self.shape = (n,)

    def __len__(self) -> int:
        return self.shape[0]
