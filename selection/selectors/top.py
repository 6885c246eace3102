"""The rows with the highest scores."""

from __future__ import annotations

import numpy as np

from assay.selection.base import Selector
from assay.selection.contract.inputs import Inputs
from assay.selection.contract.outcomes import Choice, Outcome, rank_of


class TopSelector(Selector):
    r"""The rows with the highest scores, ties by id.

    .. math:: \max_{|S| = b} \sum_{i \in S} s_i

    For a score, or a blend of scores, that already says what is wanted. Nothing keeps such a choice
    from being one-sided: hardest-first, for one, is far worse than random at high pruning rates.

    Parameters
    ----------
    random_state : int, default 0
        No effect: nothing is random.

    Attributes
    ----------
    scores_ : float64[n], as given
    report_ : dict
        `threshold`: the least score chosen.

    Notes
    -----
    Time O(n log n), memory O(n).

    Claims
    ------
    paper
        None: it is the plain choice by a score.
    here
        The rows of the highest scores.
    deviates
        Nothing.
    measured
        By difficulty 38 to 42 points below random at 90 % of CIFAR-10 vectors (`quality.md`): a
        baseline of what not to do.

    Examples
    --------
    >>> TopSelector(budget=2).fit(scores=[0.1, 3.0, 2.0]).indices_.tolist()
    [1, 2]
    """

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        assert inputs.scores is not None
        scores = inputs.scores
        ranks = rank_of(scores)
        ranking = np.argsort(ranks, kind="stable")
        ranking = ranking[~inputs.covered[ranking]]
        rest = np.sort(ranking[budget:])
        threshold = float(scores[ranking[budget - 1]])
        detail = {
            "score": scores[rest],
            "rank": ranks[rest],
            "threshold": np.full(len(rest), threshold),
        }
        return Choice(
            chosen=ranking[:budget],
            ranking=ranking,
            scores=scores,
            outcomes=[Outcome(rest, "select", "lower_score", detail)],
            report={"threshold": threshold},
        )
