"""Agreement with the community: brute force, and label errors among copies."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from assay.index import SimilarityGraph
from assay.selection import CommunityAgreement, LabelAgreement
from assay.storage.errors import ConfigError


def clusters(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = rng.integers(0, 4, n)
    return 6 * rng.normal(size=(4, 5))[of] + rng.normal(size=(n, 5)), of


@pytest.mark.parametrize("seed", range(4))
def test_brute_force(seed: int) -> None:
    X, of = clusters(80, seed)
    rng = np.random.default_rng(seed)
    y = [None if rng.random() < 0.2 else f"c{k}" for k in of]
    graph = SimilarityGraph.from_vectors(X, k=4, metric="l2")
    scorer = CommunityAgreement().fit(graph=graph, y=y)
    communities = graph.label_propagation(random_state=0)
    known = [label for label in y if label is not None]
    for i, label in enumerate(y):
        others = [y[j] for j in range(80) if j != i and communities[j] == communities[i] and y[j]]
        if label is None:
            expected = sum((known.count(c) / len(known)) ** 2 for c in set(known))
        elif not others:
            expected = known.count(label) / len(known)
        else:
            expected = others.count(label) / len(others)
        assert scorer.scores_[i] == pytest.approx(expected)
    assert scorer.report_["unlabelled"] == y.count(None)
    assert scorer.report_["communities"] == communities.max() + 1


def test_wrong_labels_are_found_where_neighbors_are_few_and_many_labels_wrong() -> None:
    X, of = clusters(400, 7)
    rng = np.random.default_rng(7)
    wrong = rng.random(400) < 0.35
    y = [f"c{(k + w * rng.integers(1, 4)) % 4}" for k, w in zip(of, wrong, strict=True)]
    graph = SimilarityGraph.from_vectors(X, k=3, metric="l2")
    near = roc_auc_score(wrong, -LabelAgreement().fit(graph=graph, y=y).scores_)
    whole = roc_auc_score(wrong, -CommunityAgreement().fit(graph=graph, y=y).scores_)
    assert whole > 0.9
    assert whole > near


def test_the_seed_is_checked() -> None:
    graph = SimilarityGraph.from_vectors([[0.0], [1.0]], k=1, metric="l2")
    with pytest.raises(ConfigError, match="random_state"):
        CommunityAgreement(random_state=-1).fit(graph=graph, y=["a", "b"])
