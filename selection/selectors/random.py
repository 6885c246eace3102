"""A uniform random subset: the baseline of everything else."""

from __future__ import annotations

import numpy as np

from assay.selection.base import Selector
from assay.selection.contract.inputs import Inputs
from assay.selection.contract.outcomes import Choice, Outcome, rank_of


class RandomSelector(Selector):
    """Uniform random subset without replacement.

    Every row gets a number u in (0, 1) that depends on (`random_state`, id) alone, and the rows
    with the largest ones are taken. So the subset is nested over budgets, is the same for any
    order of the rows, and when the pool grows an old row is only ever pushed out by a new one.

    Attributes
    ----------
    scores_ : float64[n]
        u: higher = earlier.

    Notes
    -----
    Time O(n log n), memory O(n).

    Claims
    ------
    paper
        One pass over a stream draws a weighted sample without replacement.
    here
        The same keys at equal weights, by a hash of id and seed.
    deviates
        No stream: a row's key depends on its id alone, so that a larger budget or pool only adds
        rows.
    measured
        The baseline of every table of `quality.md`, `default_selector.md` and of each run's
        ledger.

    References
    ----------
    Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006 (equal weights).

    Examples
    --------
    >>> selector = RandomSelector(budget=2, random_state=0).fit(ids=["a", "b", "c", "d"])
    >>> len(selector.indices_), bool((selector.ranking_[:2] == selector.indices_).all())
    (2, True)
    """

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        noise = inputs.noise(self.random_state, "random")
        ranking = np.argsort(-noise, kind="stable")
        ranking = ranking[~inputs.covered[ranking]]
        rest = np.sort(ranking[budget:])
        threshold = np.full(len(rest), noise[ranking[budget - 1]])
        detail = {"score": noise[rest], "rank": rank_of(noise)[rest], "threshold": threshold}
        return Choice(
            chosen=ranking[:budget],
            ranking=ranking,
            scores=noise,
            outcomes=[Outcome(rest, "select", "not_drawn", detail)],
        )
