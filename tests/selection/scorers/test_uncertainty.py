"""Scores of rows to label: against closed forms, brute force and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from assay.index import SimilarityGraph
from assay.selection import (
    NeighborDisagreement,
    NoveltyToLabeled,
    PredictedEntropy,
    Typicality,
    Uncertainty,
)
from assay.selection.algorithms.class_uncertainty import closeness, relative_entropy

RNG = np.random.default_rng(11)
KINDS = RNG.integers(0, 3, 300)
X = (np.eye(3, 6)[KINDS] * 2 + RNG.normal(size=(300, 6))).astype(np.float32)
KNOWN = RNG.random(300) < 0.4
Y = [f"class {kind}" if known else None for kind, known in zip(KINDS, KNOWN, strict=True)]


def test_margin_and_entropy_are_their_closed_forms():
    P = RNG.dirichlet(np.ones(4), 50)
    ordered = np.sort(P, axis=1)
    np.testing.assert_allclose(closeness(P), 1 - (ordered[:, -1] - ordered[:, -2]))
    np.testing.assert_allclose(relative_entropy(P), entropy(P, axis=1, base=4))


def test_unlabeled_rows_get_the_predictions_of_a_model_of_all_labels():
    rows = StandardScaler().fit_transform(X)
    model = LogisticRegression(C=1 / (0.01 * KNOWN.sum())).fit(rows[KNOWN], KINDS[KNOWN])
    P = model.predict_proba(rows[~KNOWN])
    for scorer, expected in (
        (Uncertainty(), closeness(P)),
        (PredictedEntropy(), relative_entropy(P)),
    ):
        scores = scorer.fit(X, Y).scores_
        np.testing.assert_allclose(scores[~KNOWN], expected, atol=0.02)
        assert scores.min() >= 0
        assert scores.max() <= 1


def test_a_labeled_row_does_not_vouch_for_itself():
    y = list(Y)
    row = int(np.flatnonzero(KNOWN)[0])
    before = Uncertainty(random_state=2).fit(X, Y).scores_[row]
    y[row] = "class 0" if KINDS[row] else "class 1"
    after = Uncertainty(random_state=2).fit(X, y).scores_[row]
    # its own model saw the others alone, dealt to other folds at most
    assert after == pytest.approx(before, abs=0.15)


def test_while_nothing_is_known_every_row_is_as_uncertain():
    for y in (None, [None] * 300, ["a", *[None] * 299]):
        assert (Uncertainty().fit(X, y).scores_ == 1).all()
        assert (PredictedEntropy().fit(X, y).scores_ == 1).all()
        graph = SimilarityGraph.from_vectors(X, k=5)
        assert (NeighborDisagreement().fit(X, y, graph=graph).scores_ == 0).all()
    assert (NoveltyToLabeled().fit(X).scores_ == 0).all()


def test_neighbors_disagree_by_their_labels_and_predictions():
    graph = SimilarityGraph.from_vectors(X, k=7)
    scores = NeighborDisagreement().fit(X, Y, graph=graph).scores_
    from assay.selection.algorithms.class_uncertainty import known_probabilities
    from assay.selection.contract.inputs import Inputs

    P = known_probabilities(Inputs(X=X, y=Y, graph=graph), 5, 0, 50_000)
    Q = np.where(KNOWN[:, None], np.eye(3)[KINDS], P)
    W = graph.to_scipy().toarray().clip(0)
    expected = 1 - np.einsum("ij,ij->i", P, W @ Q) / W.sum(axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_wrong_label_stands_out_among_its_neighbors():
    centers = np.repeat([[0.0, 9.0], [9.0, 0.0]], 40, axis=0)
    rows = centers + np.random.default_rng(2).normal(size=(80, 2))
    y = ["a"] * 40 + ["b"] * 40
    y[79] = "a"
    graph = SimilarityGraph.from_vectors(rows, k=6)
    scores = NeighborDisagreement().fit(rows, y, graph=graph).scores_
    beside = graph.neighbors[79]
    assert scores[beside].mean() > np.median(scores)


def test_typicality_is_the_inverse_mean_distance():
    for metric in ("l2", "cosine"):
        graph = SimilarityGraph.from_vectors(X, k=6, metric=metric)
        rows = X if metric == "l2" else X / np.linalg.norm(X, axis=1, keepdims=True)
        distances = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)[:, 1:7]
        np.testing.assert_allclose(
            Typicality().fit(graph=graph).scores_, 1 / distances.mean(axis=1), rtol=1e-3
        )


@pytest.mark.parametrize("k", [1, 3])
def test_novelty_is_the_distance_to_the_labeled_rows(k):
    distances = np.linalg.norm(X[:, None] - X[KNOWN][None], axis=2)
    own = np.flatnonzero(KNOWN)
    distances[own, np.arange(len(own))] = np.inf
    expected = np.sort(distances, axis=1)[:, k - 1]
    scores = NoveltyToLabeled(k=k, metric="l2").fit(X, Y).scores_
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_uncertain_rows_are_those_that_a_model_gets_wrong():
    scores = Uncertainty().fit(X, Y).scores_
    rows = StandardScaler().fit_transform(X)
    model = LogisticRegression().fit(rows[KNOWN], KINDS[KNOWN])
    wrong = model.predict(rows[~KNOWN]) != KINDS[~KNOWN]
    assert spearmanr(scores[~KNOWN], wrong).statistic > 0.25
