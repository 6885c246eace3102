"""The hard cutoff: drop the hardest rows before anything is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.algorithms.contamination import find_outliers
from assay.selection.algorithms.difficulty import (
    cut_outcome,
    cut_rows,
    cutoff_share,
    difficulty_of,
    share_of,
)
from assay.selection.base import PoolMethod
from assay.selection.contract.budgets import resolve_budget
from assay.selection.contract.inputs import Inputs
from assay.selection.contract.outcomes import Outcome, explained, rank_of
from assay.selection.contract.parameters import check_is_fitted
from assay.storage.errors import ConfigError
from assay.storage.limits import Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class HardCutoff(PoolMethod):
    """Drop the hardest ``floor(cutoff * n)`` rows, which are mostly mislabeled or noise.

    A step of its own, to be followed by any selector on the rows kept. Much of what
    coverage-centric selection gains over a random subset is the cutoff, so "random after the same
    cutoff" is the control of every selector that has one.

    Parameters
    ----------
    cutoff : float in [0, 1), "auto" or "contamination", default "auto"
        Share of the pool to drop as too hard. "contamination": the mean of the posterior of the
        share of outliers, with the difficulty as outlier score; see `estimate_contamination`.
        "auto" goes by the share kept: for `scores` a third
        of what is pruned, at most 0.3, which was best in the worst case of a sweep over two pools,
        two models and two shares of noise; for label agreement the settings published for
        coverage-centric selection (0 from a half upwards, 0.1 above a tenth, 0.3 at a tenth or
        less); for density 0, as outliers are no label errors.

    Attributes
    ----------
    keep_ : bool[n]
    threshold_ : float or None
        Least difficulty that was cut; None where nothing was. Of equal difficulties those with
        the lesser ids are cut.
    scores_ : float64[n]
        The difficulty, higher = harder: `scores` as given to `fit`, else 1 - label agreement
        (with a graph and labels), else negated kNN density (with a graph).
    report_ : dict
        `rows`, `difficulty` (where it came from), `cutoff` (share asked for), `cut` (rows),
        `kept`, `threshold`, `cutoff_shrunk` (whether fewer rows were cut than asked for, so that
        the budget is left).

    Raises
    ------
    ConfigError
        `cutoff` is out of range, or "auto" without a budget.
    MissingInputError
        Neither `scores` nor `graph` was given.

    Notes
    -----
    Time O(n log n), memory O(n).

    Claims
    ------
    paper
        CCS: the hardest rows are mostly mislabeled; dropping them first pays at high pruning
        rates.
    here
        The cutoff alone, before any selector.
    deviates
        Its share follows the budget unless given.
    measured
        Random after it reaches 58.6, CCS 58.8, random 57.0 at 90 % of CIFAR-10 vectors
        (`quality.md`).

    References
    ----------
    Zheng, Liu, Lai, Prakash, "Coverage-centric coreset selection for high pruning rates", 2023.

    Examples
    --------
    >>> step = HardCutoff(cutoff=0.5).fit(scores=[0.1, 0.9, 0.2, 0.8])
    >>> step.keep_.tolist(), step.threshold_
    ([True, False, True, False], 0.8)
    """

    limits: ClassVar[Limits] = {
        "cutoff": (Number("[0, 1)"), "auto", "contamination"),
    }

    cutoff: float | Literal["auto", "contamination"] = "auto"

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
        budget: int | float | str | None = None,
    ) -> Self:
        """Decide which rows stay. Takes the inputs of `Selector.fit`, and the budget to follow.

        Parameters
        ----------
        budget : int, float or str, optional
            What will be chosen of the rows kept: at least as many are left, and "auto" goes by it.
        """
        self.check_parameters()
        inputs = Inputs(X=X, y=y, graph=graph, scores=scores, target=target, ids=ids, groups=groups)
        if budget is None and isinstance(self.cutoff, str) and self.cutoff == "auto":
            raise ConfigError(
                "cutoff='auto' goes by the share of the pool that is kept; pass budget= to fit, "
                "or a share as cutoff."
            )
        rows = 1 if budget is None else resolve_budget(budget, inputs.n)
        difficulty, source = difficulty_of(inputs, type(self).__name__)
        if isinstance(self.cutoff, str) and self.cutoff == "contamination":
            cutoff = share_of(find_outliers(difficulty)[1], inputs.n)
        else:
            cutoff = cutoff_share(self.cutoff, rows / inputs.n, source)
        cut = cut_rows(difficulty, cutoff, rows)
        ranks = rank_of(difficulty)
        outcome, threshold = cut_outcome(difficulty, ranks, cut)
        self.keep_: NDArray[np.bool_] = np.ones(inputs.n, dtype=bool)
        self.keep_[inputs.given_rows(cut)] = False
        stays = np.ones(inputs.n, dtype=bool)
        stays[cut] = False
        kept = np.flatnonzero(stays)
        self.threshold_ = threshold
        self.scores_ = inputs.as_given(difficulty)
        self.report_ = {
            "rows": inputs.n,
            "difficulty": source,
            "cutoff": cutoff,
            "cut": len(cut),
            "kept": len(kept),
            "threshold": threshold,
            "cutoff_shrunk": len(cut) < int(inputs.n * cutoff),
        }
        detail = {"value": difficulty[kept], "rank": ranks[kept]}
        self._outcomes = [
            outcome._replace(rows=inputs.given_rows(cut)),
            Outcome(inputs.given_rows(kept), "cutoff", "kept", detail),
        ]
        return self

    def decisions(self) -> pl.DataFrame:
        """Return one row per row of the pool, in its order: whether it stays, and why.

        Returns
        -------
        pl.DataFrame
            `kept` (bool), `stage` ("cutoff"), `reason` ("kept" or "hard_cutoff"), `detail` (text:
            a JSON object with value and rank, and threshold where it is cut).
        """
        check_is_fitted(self)
        decided = pl.concat([explained(outcome) for outcome in self._outcomes]).sort("row")
        return decided.select(
            (pl.col("reason") == "kept").alias("kept"), "stage", "reason", "detail"
        )
