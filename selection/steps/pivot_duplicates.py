"""Pivots: rows too similar to one of a few chosen rows are left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.steps.deduplication import Deduplicator
from assay.storage.limits import SEED, Limits, Number, Whole

_BLOCK = 4_096


@dataclass(kw_only=True, eq=False, repr=False)
class PivotDeduplicator(Deduplicator):
    r"""Leave out the rows that are most similar to any of a few pivots.

    Row i is left out where :math:`\max_p \cos(x_i, x_p) \ge` `threshold`, over the pivots p, which
    stay. Rows near no pivot stay, whatever they have near: a coarse, one-pass way to thin the
    regions that the pivots stand in.

    Parameters
    ----------
    n_pivots : int, default 100
        Drawn at random by id, whatever order keepers have. A row within `threshold` of an earlier
        pivot is passed over.
    threshold : float in (-1, 1], default 0.9
        Cosine from which a row counts as a duplicate of a pivot.
    random_state : int, default 0

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`; the keeper is the most similar pivot. `report_` adds `pivots`.

    Raises
    ------
    MissingInputError
        No vectors were given.

    Notes
    -----
    O(n d pivots) time, in blocks; O(n) memory beside the vectors. Zero vectors stay.

    Claims
    ------
    paper
        DART: tokens that duplicate pivots go, 89 % of them, nearly without loss.
    here
        The rule, on rows of a pool.
    deviates
        Rows instead of the tokens of one input.
    measured
        Equal to its definition (test); no gain measured on rows.

    References
    ----------
    After Wen et al., "Stop looking for important tokens in multimodal language models: duplication
    matters more", 2025 (DART), where the rows are the tokens of one input.

    Examples
    --------
    >>> X = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    >>> int(PivotDeduplicator(n_pivots=2).fit(X).keep_.sum())
    2
    """

    duplicate_kind: ClassVar[str] = "pivot"

    limits: ClassVar[Limits] = {
        "random_state": SEED,
        "n_pivots": (Whole(1),),
        "threshold": (Number("(-1, 1]"),),
    }

    n_pivots: int = 100
    threshold: float = 0.9
    random_state: int = 0

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        n_pivots, threshold = self.n_pivots, self.threshold
        X = inputs.vectors()
        length = np.linalg.norm(X.astype(np.float64), axis=1)
        claim = np.argsort(-inputs.noise(self.random_state, "pivots"), kind="stable")
        claim = claim[length[claim] > 0]
        keeper, similarity = np.arange(inputs.n), np.ones(inputs.n)
        with one_thread("blas"):
            unit = X / np.where(length > 0, length, 1)[:, None].astype(np.float32)
            pivots = _pivots(unit, claim, n_pivots, threshold)
            chosen = unit[pivots]
            for start in range(0, inputs.n if len(pivots) else 0, _BLOCK):
                cosine = unit[start : start + _BLOCK] @ chosen.T
                best = cosine.argmax(axis=1)
                value = cosine[np.arange(len(best)), best]
                rows = np.flatnonzero(value >= threshold - 1e-6)
                keeper[start + rows] = pivots[best[rows]]
                similarity[start + rows] = value[rows]
        keeper[pivots], similarity[pivots] = pivots, 1.0
        return keeper, similarity, {"pivots": len(pivots)}


def _pivots(unit: Any, claim: Rows, count: int, threshold: float) -> Rows:
    """Return the first rows with a claim that are not within `threshold` of an earlier one."""
    pivots: list[int] = []
    count = min(count, len(unit))
    vectors = np.empty((count, unit.shape[1]), dtype=np.float32)
    # one step per pivot passed, of which there are few
    for row in claim.tolist():
        if len(pivots) == count:
            break
        if not pivots or (vectors[: len(pivots)] @ unit[row]).max() < threshold - 1e-6:
            vectors[len(pivots)] = unit[row]
            pivots.append(row)
    return np.array(pivots, dtype=np.int64)
