"""Semantic duplicates against brute force, in clusters of any size and shares of copies."""

from __future__ import annotations

import numpy as np
import pytest

from assay.index import SimilarityGraph, embed
from assay.selection import SemanticDuplicates
from assay.selection.evaluation.ledger import evaluate_selection
from tests.selection.steps.test_near_duplicates import stars

Vectors = np.ndarray


def with_copies(size: int, share: float, *, seed: int, n: int = 3_000, d: int = 32) -> tuple:
    """Return vectors of which `share` are in clusters of `size` near copies, and the clusters."""
    rng = np.random.default_rng(seed)
    clusters = max(1, round(share * n / size))
    centers = rng.normal(size=(clusters + max(0, n - clusters * size), d))
    group = np.concatenate(
        [np.repeat(np.arange(clusters), size), np.arange(clusters, len(centers))]
    )
    X = centers[group] + rng.normal(size=(len(group), d)) * 1e-2
    order = rng.permutation(len(group))
    return X[order].astype(np.float32), group[order]


CASES = [
    (2, 0.1),
    (2, 0.95),
    (15, 0.5),
    (16, 0.5),
    (40, 0.95),
    (300, 0.3),
    (1_500, 0.95),
    (3_000, 1.0),
]


@pytest.mark.parametrize("threshold", ["auto", 0.95])
@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize(("size", "share"), CASES)
def test_clusters_are_found_whole(
    size: int, share: float, metric: str, threshold: float | str
) -> None:
    X, group = with_copies(size, share, seed=size)
    graph = SimilarityGraph.from_vectors(X, k=15, metric=metric)
    if metric == "l2" and threshold != "auto":
        threshold = 1 / (1 + 0.3)
    if threshold == "auto" and share == 1.0:
        pytest.skip("one cluster: nothing tells copies from the rest")
    step = SemanticDuplicates(threshold=threshold).fit(X, graph=graph)
    # one row of each cluster stays: the first
    first = np.unique(group, return_index=True)[1]
    expected = len(X) - len(first)
    assert (~step.keep_).sum() >= 0.99 * expected
    assert (group[step.keeper_] == group).all()
    assert np.isin(np.flatnonzero(step.keep_), first).mean() > 0.99


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_rows_with_more_copies_than_neighbors_equal_brute_force(metric: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(12, 5))
    X = (centers[rng.integers(0, 12, 400)] + rng.normal(size=(400, 5)) * 0.15).astype(np.float32)
    graph = SimilarityGraph.from_vectors(X, k=4, metric=metric)
    Y = X.astype(np.float64)
    if metric == "cosine":
        Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    likeness = Y @ Y.T
    if metric == "l2":
        likeness = 1 / (1 + np.linalg.norm(Y[:, None] - Y[None], axis=2))
    threshold = float(np.quantile(likeness, 0.95))
    priority = rng.permutation(400)
    step = SemanticDuplicates(threshold=threshold).fit(X, graph=graph, priority=priority)
    expected = stars(np.round(likeness, 9), np.argsort(priority), threshold)
    np.testing.assert_array_equal(step.keep_, expected == np.arange(400))
    # an equal similarity may be told from the next only in float64
    np.testing.assert_allclose(
        likeness[np.arange(400), step.keeper_], likeness[np.arange(400), expected], atol=1e-5
    )


def test_order_of_rows_does_not_matter_among_crowded_rows() -> None:
    X, _ = with_copies(60, 0.8, seed=0, n=900)
    ids = np.array([f"r{i:04}" for i in range(len(X))])
    order = np.random.default_rng(1).permutation(len(X))
    found = [
        SemanticDuplicates().fit(V, graph=SimilarityGraph.from_vectors(V, ids=names), ids=names)
        for V, names in ((X, ids), (X[order], ids[order]))
    ]
    assert found[0].duplicates().equals(found[1].duplicates())


def test_texts_with_one_word_changed() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(500)]
    texts = []
    for _ in range(20):
        base = [words[j] for j in rng.integers(0, 500, 60)]
        for copy in range(40):
            changed = base.copy()
            changed[rng.integers(60)] = f"n{copy}"
            texts.append(" ".join(changed))
    X = embed(texts)
    graph = SimilarityGraph.from_vectors(X)
    step = SemanticDuplicates().fit(X, graph=graph)
    assert step.keep_.sum() == 20


def test_separate_clusters_of_different_rows_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    centers = rng.uniform(-100, 100, size=(5, 2))
    X = np.repeat(centers, 400, axis=0) + rng.normal(size=(2_000, 2))
    graph = SimilarityGraph.from_vectors(X, metric="l2")
    usual = np.median(1 / graph.similarities[:, -1].astype(np.float64) - 1)
    step = SemanticDuplicates().fit(X, graph=graph)
    assert step.report_["threshold"] == pytest.approx(1 / (1 + 0.25 * usual), rel=1e-6)


def test_the_ledger_sees_near_copies_that_are_left() -> None:
    X, group = with_copies(40, 0.5, seed=3)
    graph = SimilarityGraph.from_vectors(X)
    content = np.arange(len(X))
    rows = np.arange(0, len(X), 3)
    ledger = evaluate_selection(rows, X=X, graph=graph, duplicates=content)
    left = ledger.filter(name="duplicates_left")["value"].item()
    times = np.bincount(group[rows])
    assert left == pytest.approx((times[group[rows]] > 1).mean(), abs=0.01)
    single = np.unique(group, return_index=True)[1]
    ledger = evaluate_selection(single, X=X, graph=graph, duplicates=content)
    line = ledger.filter(name="duplicates_left").row(0, named=True)
    assert line["value"] == 0
    assert line["verdict"] == "better than random"


def test_they_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    X[150:] = X[:150] + rng.normal(size=(150, 6)) * rng.choice([0.02, 0.3], (150, 1))
    graph = SimilarityGraph.from_vectors(X, k=20)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    priority = rng.permutation(300)
    found = SemanticDuplicates(threshold=0.99).fit(graph=graph, priority=priority)
    expected = stars(np.round(cosine, 9), np.argsort(priority), 0.99)
    np.testing.assert_array_equal(found.keeper_, expected)
    assert 60 < (~found.keep_).sum() < 200
    auto = SemanticDuplicates().fit(graph=graph)
    usual = np.median(graph.similarities[:, -1])
    np.testing.assert_allclose(auto.report_["threshold"], 1 - 0.25 * (1 - usual), rtol=1e-6)
    assert (auto.similarity_ >= auto.report_["threshold"] - 1e-6).all()
