"""How few random cuts set a row apart from the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs, derived_seed
from assay.storage.limits import MOST_ROUNDS, SEED, Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class Isolation(Scorer):
    r"""Isolation forest: rows that random cuts along single columns soon leave alone.

    .. math:: s_i = 2^{-\bar h_i / c(256)}

    with :math:`\bar h_i` the mean depth of the row in trees that are grown on 256 rows each by random
    cuts, and c the mean depth of a random tree. Unlike distances it is not drowned by columns that
    say nothing. Copies of a row count as rows: on columns of few values they are what is ordinary.

    Parameters
    ----------
    n_trees : int, default 300
        More change ranks little; with 100 the mean AUROC on sets of anomalies is a point lower.
    random_state : int, default 0

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        Higher = further out; about 0.5 for ordinary rows.
    report_ : dict
        `mean`.

    Notes
    -----
    scikit-learn's forest. Time O(n n_trees log 256), memory O(n d).

    Claims
    ------
    paper
        Outliers are isolated by few random cuts; linear time.
    here
        scikit-learn's forest, made independent of the rows' order.
    deviates
        Nothing.
    measured
        AUROC .842 on 14 sets, scikit-learn .846: the best label-free score here (`judging.md`).

    References
    ----------
    Liu, Ting, Zhou, "Isolation forest", 2008.

    Examples
    --------
    >>> X = [[0.0, 0.0], [1.0, 0.1], [0.2, -0.1], [0.3, 0.1], [9.5, 2.0]]
    >>> int(Isolation().fit(X).scores_.argmax())
    4
    """

    limits: ClassVar[Limits] = {
        "n_trees": (Whole(1, MOST_ROUNDS),),
        "random_state": SEED,
    }

    n_trees: int = 300
    random_state: int = 0

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        from sklearn.ensemble import IsolationForest

        X, _ = inputs.moved_vectors()
        seed = derived_seed(self.random_state, "isolation") % 2**32
        forest = IsolationForest(n_estimators=int(self.n_trees), random_state=seed)
        scores = -forest.fit(X).score_samples(X)
        return scores, {"mean": float(scores.mean())}
