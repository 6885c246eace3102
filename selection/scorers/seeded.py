"""Base of the scorers that look for rows like some that were picked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from assay.selection.algorithms.seed_rows import check_seeds, seed_positions
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Inputs, Rows


@dataclass(kw_only=True, eq=False, repr=False)
class SeededScorer(Scorer):
    """Base of the scorers of "more like these".

    Parameters
    ----------
    seeds : sequence of ids
        The rows that others should be like, by their ids (without ids: positions).

    Attributes
    ----------
    scores_ : float64[n]
    report_ : dict
        `seeds`, `reached` (rows with a score above 0).
    points : {"harder"}
        So that the score taken as difficulty keeps its order, and `top` takes the likest rows.

    Raises
    ------
    IdError
        A seed is not an id of the rows.
    """

    seeds: Sequence[Any] | None = None

    def _inputs(self, **arguments: Any) -> Inputs:
        inputs: Inputs = super()._inputs(**arguments)
        check_seeds(type(self).__name__, self.seeds)
        return inputs

    def _seed_rows(self, inputs: Inputs) -> Rows:
        """Return the rows of the seeds, ascending."""
        assert self.seeds is not None
        return seed_positions(inputs.ids, self.seeds)
