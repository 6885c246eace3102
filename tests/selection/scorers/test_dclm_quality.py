"""Good against ordinary text: out-of-fold odds by the cross-fitted classifier, and a planted pool."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from assay.selection import DclmQuality, SelfConfidence
from assay.storage.errors import ConfigError


def texts(rng, topic, n):
    topics = {
        "law": "court judge appeal statute contract party claim evidence",
        "sport": "goal match team league coach season player score",
    }
    common = "the a of in and for with on"
    words = f"{topics[topic]} {common} {common}".split()
    return [" ".join(rng.choice(words, 12)) for _ in range(n)]


def test_planted_good_texts_come_first_and_the_order_changes_nothing():
    rng = np.random.default_rng(0)
    pool = texts(rng, "law", 60) + texts(rng, "sport", 240)
    good = texts(rng, "law", 80)
    ids = np.array([f"{i:03}" for i in range(300)])
    scorer = DclmQuality().fit(pool, target=good, ids=ids)
    assert roc_auc_score(np.arange(300) < 60, scorer.scores_) > 0.99
    order = rng.permutation(300)
    other = DclmQuality().fit([pool[i] for i in order], target=good[::-1], ids=ids[order])
    np.testing.assert_array_equal(scorer.scores_[order], other.scores_)
    assert 0.85 < scorer.report_["auroc"] < 1


def test_nothing_is_told_apart_where_pool_and_target_are_one_draw():
    rng = np.random.default_rng(1)
    drawn = texts(rng, "law", 600)
    assert abs(DclmQuality().fit(drawn[:400], target=drawn[400:]).report_["auroc"] - 0.5) < 0.08


def test_odds_are_those_of_out_of_fold_probabilities():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(900, 4)).astype(np.float32)
    good = rng.normal(loc=0.7, size=(400, 4)).astype(np.float32)
    scorer = DclmQuality(folds=3).fit(X, target=good)
    # the same model: pool and target as two classes, with other folds
    labels = np.repeat(["ordinary", "good"], [900, 400])
    own = SelfConfidence(folds=3).fit(np.concatenate([X, good]), labels).scores_[:900]
    assert np.corrcoef(np.log(1 - own) - np.log(own), scorer.scores_)[0, 1] > 0.98
    with pytest.raises(ConfigError, match="folds is 1"):
        DclmQuality(folds=1).fit(X, target=good)
