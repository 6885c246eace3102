"""How much a text is like good texts rather than ordinary ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from assay.index.vectors.checks import as_vectors
from assay.selection.algorithms.cross_fitting import predictions
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs, Rows, text_series
from assay.storage.hashing.rows import hash_rows
from assay.storage.limits import SEED, Limits, Whole

_GOOD, _ORDINARY = "good", "ordinary"


@dataclass(kw_only=True, eq=False, repr=False)
class DclmQuality(Scorer):
    r"""Log odds that a row is one of the good texts (the target) rather than of the pool.

    .. math:: s_i = \log \frac{\hat p_{-f(i)}(\text{good} \mid x_i)}{\hat p_{-f(i)}(\text{ordinary} \mid x_i)}

    The classifier is the logistic regression of `SelfConfidence` on the TF-IDF of hashed words (or
    on vectors), with the target as examples of good text and the pool as examples of ordinary
    text. Each row of the pool is scored by a model that was not fitted on it.

    Parameters
    ----------
    folds : int, default 5
        Parts that the rows are dealt to.
    train_rows : int, default 50,000
        Rows that a model is fitted on at most.
    random_state : int, default 0
        Decides, with the ids, which rows these are.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = more like the good texts.
    report_ : dict
        `good` (rows of the target), `auroc` (share of the pairs of a row of the target and one of the
        pool that the scores put in that order; .5 = the classifier can't tell them apart).

    Notes
    -----
    The pool's good rows are examples of ordinary text too, as in DataComp-LM: that lowers all odds
    and hardly changes their order. Scores of a fastText model of your own go into an expression or
    a column instead. Time and memory as `SelfConfidence` with two classes.

    Claims
    ------
    paper
        The top tenth by a fastText classifier of instructions against web text trains the best models of
        its size.
    here
        The same choice by logistic regression on hashed words, out of fold.
    deviates
        No fastText; the pool itself is the ordinary text.
    measured
        A domain as target in 3,000 documents: .81 to .87 of the chosen rows are of it, at random .03
        to .07 (`recipes.md`).

    References
    ----------
    Li et al., "DataComp-LM: in search of the next generation of training sets for language
    models", 2024, section 4.4.

    See Also
    --------
    ImportanceScorer

    Examples
    --------
    >>> fruit = ["apple", "pear", "plum", "fig", "lime", "date"]
    >>> pool = [f"how to bake {name} cake" for name in fruit] + [f"buy {name} now" for name in fruit]
    >>> good = [f"how to bake {name} bread" for name in ("rye", "corn", "oat", "rice")]
    >>> sorted(DclmQuality().fit(pool, target=good).scores_.argsort()[-6:].tolist())
    [0, 1, 2, 3, 4, 5]
    """

    limits: ClassVar[Limits] = {
        "folds": (Whole(2),),
        "train_rows": (Whole(2),),
        "random_state": SEED,
    }

    folds: int = 5
    train_rows: int = 50_000
    random_state: int = 0

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        rows: Any
        good: Any
        if inputs.holds_vectors:
            good = as_vectors(inputs.target, what="targets")
            good = good[_order(good)]
            rows = np.concatenate([inputs.vectors(), good])
        else:
            good = text_series(inputs.target, "target").fill_null("")
            good = good.gather(_order(good))
            rows = pl.concat([inputs.texts().fill_null("").rename(""), good.rename("")])
        # 1 and 0 keep the ids of target and pool apart
        places = pl.Series(np.arange(len(good))).cast(pl.String)
        ids = pl.concat([("0" + inputs.ids).alias("id"), ("1" + places).alias("id")])
        labels = np.repeat([_ORDINARY, _GOOD], [inputs.n, len(good)])
        both = Inputs(X=rows, y=labels, ids=ids, method=type(self).__name__)
        predicted = predictions(both, None, self.folds, self.random_state, self.train_rows)
        smallest = np.finfo(np.float64).tiny
        shares = np.maximum(both.as_given(predicted.probabilities), smallest)
        column = predicted.labels.classes.index(_GOOD)
        odds = np.log(shares[:, column]) - np.log(shares[:, 1 - column])
        pool, target = odds[: inputs.n], odds[inputs.n :]
        place = np.sort(pool)
        below = np.searchsorted(place, target) + np.searchsorted(place, target, side="right")
        auroc = float(below.sum() / (2 * len(pool) * len(target)))
        return pool, {"good": len(good), "auroc": auroc}


def _order(rows: Any) -> Rows:
    """Return the order of rows by their content, so that the order given decides nothing."""
    hashes = hash_rows(rows)
    return np.lexsort((hashes[:, 1], hashes[:, 0]))
