from __future__ import annotations

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from assay.index import SimilarityGraph
from assay.selection.scorers.graph import CoreNumber, Hubness, KNNDensity, PageRank
from assay.selection.scorers.label_agreement import LabelAgreement
from assay.storage.errors import ConfigError, InputError
from tests.data import shared
from tests.selection.small_graphs import SmallGraph, from_dense, knn


def random_graph(n, density, seed):
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((n, n)) * (rng.random((n, n)) < density), 1)
    return dense + dense.T


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("damping", [0.0, 0.5, 0.85, 0.99])
def test_pagerank_is_that_of_networkx(seed, damping):
    # 60 rows of which some have no edge
    dense = random_graph(60, 0.03 + 0.03 * seed, seed).astype(np.float32).astype(np.float64)
    scorer = PageRank(alpha=damping, tol=1e-13).fit(graph=from_dense(dense))
    expected = nx.pagerank(
        nx.from_numpy_array(dense), alpha=damping, tol=1e-14, max_iter=10_000, weight="weight"
    )
    np.testing.assert_allclose(scorer.scores_, [expected[i] for i in range(60)], atol=1e-8)
    assert scorer.scores_.sum() == pytest.approx(1)


def test_pagerank_closed_forms():
    complete = np.ones((5, 5)) - np.eye(5)
    assert PageRank().fit(graph=from_dense(complete)).scores_ == pytest.approx([0.2] * 5)
    assert PageRank().fit(graph=from_dense(np.zeros((4, 4)))).scores_ == pytest.approx([0.25] * 4)
    star = np.zeros((4, 4))
    star[0, 1:] = star[1:, 0] = 0.3
    # center: c = d * 3 l + (1 - d) / 4 and c + 3 l = 1
    center = (0.85 + 0.15 / 4) / 1.85
    expected = [center, *[(1 - center) / 3] * 3]
    assert PageRank().fit(graph=from_dense(star)).scores_ == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("wrong", [{"alpha": 1.0}, {"alpha": -0.1}, {"tol": 0.0}])
def test_pagerank_parameters_are_checked(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PageRank(**wrong).fit(graph=from_dense(np.zeros((2, 2))))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 10**6))
def test_core_numbers_are_those_of_networkx(n, density, seed):
    dense = random_graph(n, density, seed)
    expected = nx.core_number(nx.from_numpy_array(dense))
    scores = CoreNumber().fit(graph=from_dense(dense)).scores_
    assert scores.tolist() == [expected[i] for i in range(n)]


def test_core_numbers_of_known_graphs():
    clique_with_tail = np.zeros((6, 6))
    clique_with_tail[:4, :4] = 1 - np.eye(4)
    clique_with_tail[3, 4] = clique_with_tail[4, 3] = 1
    assert CoreNumber().fit(graph=from_dense(clique_with_tail)).scores_.tolist() == [
        3, 3, 3, 3, 1, 0,
    ]  # fmt: skip


def test_hubness_counts_how_often_a_row_is_a_neighbor():
    rng = np.random.default_rng(0)
    graph = knn(rng.normal(size=(50, 3)), 4)
    scorer = Hubness().fit(graph=graph)
    expected = [(graph.neighbors == row).sum() for row in range(50)]
    assert scorer.scores_.tolist() == expected
    assert scorer.scores_.sum() == 200
    assert scorer.report_["antihubs"] == expected.count(0)
    assert Hubness().fit(graph=knn(np.eye(2), 1)).report_["skewness"] == 0


def test_knn_density_is_the_similarity_to_the_kth_neighbor():
    X = np.random.default_rng(1).normal(size=(40, 3))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    expected = -np.sort(-similarity, axis=1)[:, 4]
    scores = KNNDensity().fit(graph=knn(X, 5)).scores_
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_fewer_than_k_copies_only_move_the_kth_neighbor():
    X = np.random.default_rng(2).normal(size=(60, 6))
    graph = knn(X, 5)
    lonely = int(KNNDensity().fit(graph=graph).scores_.argmin())
    copied = np.vstack([X, X[lonely], X[lonely]])
    scores = KNNDensity().fit(graph=knn(copied, 5)).scores_
    # two of its five neighbors are copies now, so its fifth is what was its third
    assert scores[lonely] == graph.similarities[lonely, 2] < 1
    assert scores[lonely] == scores[60] == scores[61]
    many = np.vstack([X, np.repeat(X[:1], 20, axis=0)])
    assert KNNDensity().fit(graph=knn(many, 5)).scores_.max() == pytest.approx(1)


def test_rows_with_too_few_neighbors_still_get_a_density():
    graph = SmallGraph(
        np.array([0, 1, 2, 2]),
        np.array([1, 0]),
        np.array([0.4, 0.4], dtype=np.float32),
        np.array([[1, -1], [0, -1], [-1, -1]]),
        np.array([[0.4, -np.inf], [0.4, -np.inf], [-np.inf, -np.inf]], dtype=np.float32),
    )
    scorer = KNNDensity().fit(graph=graph)
    assert scorer.scores_ == pytest.approx([0.4, 0.4, 0.4])
    assert scorer.report_["isolated"] == 1
    bare = KNNDensity().fit(graph=from_dense(np.zeros((3, 3))))
    assert bare.scores_.tolist() == [0, 0, 0]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 15), st.floats(0, 1), st.integers(0, 10**6))
def test_label_agreement_follows_the_definition(n, density, seed):
    dense = random_graph(n, density, seed).astype(np.float32)
    rng = np.random.default_rng(seed)
    y = [None if code == 3 else "abc"[code] for code in rng.integers(0, 4, n)]
    if all(label is None for label in y):
        y[0] = "a"
    labeled = [label for label in y if label is not None]
    share = {label: labeled.count(label) / len(labeled) for label in set(labeled)}
    expected = []
    for row in range(n):
        near = [j for j in range(n) if dense[row, j] > 0 and y[j] is not None]
        if y[row] is None:
            expected.append(sum(value**2 for value in share.values()))
        elif not near:
            expected.append(share[y[row]])
        else:
            same = sum(float(dense[row, j]) for j in near if y[j] == y[row])
            expected.append(same / sum(float(dense[row, j]) for j in near))
    scores = LabelAgreement().fit(graph=from_dense(dense), y=y).scores_
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_label_agreement_finds_wrong_labels():
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1, 2], 60)
    X = np.eye(3)[y] * 4 + rng.normal(size=(180, 3))
    wrong = rng.choice(180, 15, replace=False)
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + 1) % 3
    scores = LabelAgreement().fit(graph=knn(X, 8), y=noisy).scores_
    assert scores[wrong].mean() < 0.3 < 0.7 < np.delete(scores, wrong).mean()


def test_label_agreement_finds_the_labels_that_people_got_wrong():
    images = pl.read_parquet(shared("cifar10_vectors.parquet")).filter(pl.col("split") == "train")
    labels = pl.read_parquet(shared("cifar10n_labels.parquet"))
    both = images.join(labels, on="idx").sort("idx").head(8_000)
    X = np.array(both["vec"].to_list(), dtype=np.float32)
    graph = SimilarityGraph.from_vectors(X, ids=both["idx"], k=15, metric="cosine")
    scorer = LabelAgreement().fit(graph=graph, y=both["aggre"])
    wrong = (both["aggre"] != both["clean"]).to_numpy()
    assert 0.05 < wrong.mean() < 0.15
    assert roc_auc_score(wrong, -scorer.scores_) > 0.8


def test_labels_of_any_kind_are_the_same():
    graph = knn(np.random.default_rng(6).normal(size=(20, 3)), 4)
    y = np.arange(20) % 3
    expected = LabelAgreement().fit(graph=graph, y=y).scores_
    for labels in (y.tolist(), y.astype(float), [f"class {label}" for label in y]):
        scores = LabelAgreement().fit(graph=graph, y=labels).scores_
        np.testing.assert_array_equal(scores, expected)
    some = LabelAgreement().fit(graph=graph, y=np.where(y == 0, np.nan, y))
    assert some.report_["unlabelled"] == 7
    with pytest.raises(InputError, match="y holds no value"):
        LabelAgreement().fit(graph=graph, y=[None] * 20)
