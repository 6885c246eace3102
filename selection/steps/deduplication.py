"""What every deduplication step shares: groups of duplicates, and the one row of each that stays."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from assay.selection import registry
from assay.selection.base import PoolMethod
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.storage.errors import ColumnError, InputError

SCHEMA = {
    "group_id": pl.String,
    "sample_id": pl.String,
    "keeper": pl.Boolean,
    "similarity": pl.Float64,
    "kind": pl.String,
}


class Deduplicator(PoolMethod):
    """Base of every deduplication step: groups in the shape of a star, with a keeper each.

    A subclass implements `_keepers`. A row is left out only for a keeper that it is itself a
    duplicate of: likeness is not transitive, so a chain of rows is not one group.

    Attributes
    ----------
    keep_ : bool[n]
        Rows that stay.
    keeper_ : int64[n]
        The row that stands for each row: itself where it stays.
    similarity_ : float64[n]
        Similarity to the keeper, 1 for rows that stay.
    report_ : dict
        `rows`, `duplicates` (rows left out), `groups` (of two and more), and what the step adds.
    """

    duplicate_kind: ClassVar[str]

    @abstractmethod
    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        """Return keeper and similarity of every row, and a report, in canonical row numbers.

        `order` holds the rows in order of the claim to be a keeper.
        """

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        priority: Any = None,
    ) -> Self:
        """Find duplicates. Takes the inputs of `Selector.fit`, uses those that the step needs.

        Parameters
        ----------
        priority : n numbers, optional
            The row with the lowest is the keeper, ties by id; None: by id alone.
        """
        self.check_parameters()
        inputs = self._inputs(
            X=X, y=y, graph=graph, scores=scores, target=target, ids=ids, groups=groups
        )
        order = np.arange(inputs.n)
        if priority is not None:
            claims = np.asarray(priority)
            if claims.shape != (inputs.n,):
                raise InputError(f"priority has shape {claims.shape}; pass one number per row.")
            order = np.argsort(
                claims if inputs.order is None else claims[inputs.order], kind="stable"
            )
        keeper, similarity, report = self._keepers(inputs, order)
        self.keeper_ = inputs.as_given(inputs.given_rows(keeper))
        self.keep_ = self.keeper_ == np.arange(inputs.n)
        self.similarity_ = inputs.as_given(np.asarray(similarity, dtype=np.float64))
        self._ids = inputs.given_ids.alias("sample_id")
        out = ~self.keep_
        self.report_: dict[str, Any] = {
            "rows": inputs.n,
            "duplicates": int(out.sum()),
            "groups": len(np.unique(self.keeper_[out])),
            **report,
        }
        return self

    def duplicates(self) -> pl.DataFrame:
        """Return the groups of two and more rows, the keeper first.

        Returns
        -------
        pl.DataFrame
            group_id (the keeper's sample_id), sample_id, keeper (bool), similarity, kind.
        """
        size = np.bincount(self.keeper_, minlength=len(self.keeper_))
        rows = np.flatnonzero(size[self.keeper_] > 1)
        return pl.DataFrame(
            {
                "group_id": self._ids.gather(self.keeper_[rows]),
                "sample_id": self._ids.gather(rows),
                "keeper": self.keep_[rows],
                "similarity": self.similarity_[rows],
                "kind": [self.duplicate_kind] * len(rows),
            },
            schema=SCHEMA,
        ).sort("group_id", ~pl.col("keeper"), "sample_id")


def deduplicator(name: str) -> type[Deduplicator]:
    """Return the class of a deduplication step.

    Raises
    ------
    ColumnError
        No deduplication step has that name.
    """
    steps: dict[str, Any] = {e.name: registry.get(e.name, "step") for e in registry.entries("step")}
    known: dict[str, type[Deduplicator]] = {
        n: cls for n, cls in steps.items() if issubclass(cls, Deduplicator)
    }
    if name not in known:
        raise ColumnError.missing(name, known, what="deduplication step")
    return known[name]
