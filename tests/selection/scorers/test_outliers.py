from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor as Oracle
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from assay.index import SimilarityGraph
from assay.selection.algorithms.cells import cluster
from assay.selection.contract.inputs import Inputs
from assay.selection.scorers.local_outlier_factor import LocalOutlierFactor
from assay.selection.scorers.mahalanobis import Mahalanobis, shrunk_covariance
from assay.selection.scorers.outlierness import Outlierness
from assay.selection.scorers.prototypicality import Prototypicality
from assay.selection.scorers.weighting import Weighting
from assay.storage.errors import ConfigError
from tests.data import shared

SCORERS = [Outlierness, LocalOutlierFactor, Mahalanobis, Prototypicality, Weighting]


def cloud(n=200, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def with_outliers(n=300, seed=0):
    rng = np.random.default_rng(seed)
    X = cloud(n, 4, seed)
    odd = np.zeros(n, dtype=bool)
    odd[rng.choice(n, 12, replace=False)] = True
    X[odd] = rng.uniform(-9, 9, size=(12, 4))
    return X, odd


def graph_of(X, k=15):
    return SimilarityGraph.from_vectors(X, k=k, metric="l2")


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_outlierness_is_the_kth_distance_of_scikit_learn(k):
    X = cloud()
    for graph, rows in ((graph_of(X), X), (None, X)):
        expected = NearestNeighbors(n_neighbors=k).fit(rows).kneighbors()[0][:, -1]
        scorer = Outlierness(k=k).fit(X, graph=graph)
        np.testing.assert_allclose(scorer.scores_, expected, atol=1e-5)
        assert scorer.report_["searched"] == (graph is None)


@pytest.mark.parametrize("k", [2, 5, 10])
def test_lof_is_that_of_scikit_learn(k):
    X, odd = with_outliers()
    expected = -Oracle(n_neighbors=k).fit(X).negative_outlier_factor_
    scores = LocalOutlierFactor(k=k).fit(X, graph=graph_of(X)).scores_
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert roc_auc_score(odd, scores) > (0.95 if k > 2 else 0.8)


def test_mahalanobis_is_that_of_scikit_learn():
    X = cloud(60, 8) @ np.diag(np.arange(1, 9)).astype(np.float32)
    centered = X - X.mean(axis=0, dtype=np.float64)
    covariance, shrinkage = shrunk_covariance(centered)
    expected, share = ledoit_wolf(centered, assume_centered=True)
    assert 0 < shrinkage < 1
    assert shrinkage == pytest.approx(share)
    np.testing.assert_allclose(covariance, expected)
    scorer = Mahalanobis().fit(X)
    squares = np.einsum("ij,jk,ik->i", centered, np.linalg.inv(expected), centered)
    np.testing.assert_allclose(scorer.scores_, np.sqrt(squares), rtol=1e-6)
    assert scorer.report_["shrinkage"] == pytest.approx(share)


def test_mahalanobis_of_one_direction_and_of_one_point():
    line = np.outer(np.arange(5.0), [1.0, 2.0]).astype(np.float32)
    scores = Mahalanobis().fit(line).scores_
    assert scores.tolist() == scores[::-1].tolist()
    assert scores.argmin() == 2
    assert Mahalanobis().fit(np.ones((4, 3))).scores_.tolist() == [0] * 4


def test_prototypicality_is_the_distance_to_the_nearest_center():
    X = np.vstack([cloud(50, 3, seed) + shift for seed, shift in enumerate((0, 20, 40))])
    scorer = Prototypicality(clusters=3).fit(X, graph=graph_of(X))
    inputs = Inputs(X=X)
    cells = cluster(X, 3, "l2", inputs.noise(0, "prototypicality"))
    apart = np.linalg.norm(X[:, None] - cells.centroids[None], axis=2).min(axis=1)
    np.testing.assert_allclose(scorer.scores_, -apart, rtol=1e-4)
    means = np.repeat([X[i : i + 50].mean(axis=0) for i in (0, 50, 100)], 50, axis=0)
    np.testing.assert_allclose(scorer.scores_, -np.linalg.norm(X - means, axis=1), atol=0.5)
    assert scorer.report_["clusters"] == 3


def test_weights_over_all_rows_are_the_weighting_vector():
    X = cloud(12, 3)
    apart = np.linalg.norm(X[:, None] - X[None], axis=2)
    for t in (0.3, 1.0, 4.0):
        expected = np.linalg.solve(np.exp(-t * apart), np.ones(12))
        scorer = Weighting(k=11, t=t).fit(X, graph=graph_of(X, 11))
        np.testing.assert_allclose(scorer.scores_, expected, atol=1e-4)
        assert scorer.report_["magnitude"] == pytest.approx(expected.sum(), abs=1e-3)
    far = Weighting(t=1e6).fit(X, graph=graph_of(X, 11)).scores_
    assert far == pytest.approx(np.ones(12))


def test_weights_on_a_line_have_their_closed_form():
    # inner points at distance h: tanh(t h / 2); ends: (1 + tanh(t h / 2)) / 2
    X = np.arange(40, dtype=np.float32)[:, None] * 0.5
    scores = Weighting(k=6, t=2.0).fit(X, graph=graph_of(X, 6)).scores_
    inner = np.tanh(0.5)
    assert scores[3:-3] == pytest.approx(np.full(34, inner), abs=1e-6)
    assert scores[[0, -1]] == pytest.approx(np.full(2, (1 + inner) / 2), abs=1e-6)


@pytest.mark.parametrize("make", SCORERS)
@pytest.mark.parametrize("copies", [2, 30])
def test_copies_change_nothing(make, copies):
    X, odd = with_outliers()
    plain = make().fit(X, graph=graph_of(X)).scores_
    # every outlier, and every fourth of the others, has copies
    repeats = np.where(odd | (np.arange(300) % 4 == 0), copies, 1)
    many = np.repeat(X, repeats, axis=0)
    scorer = make().fit(many, graph=graph_of(many))
    if make is Prototypicality:  # whose seeds depend on the ids
        assert roc_auc_score(np.repeat(odd, repeats), -scorer.scores_) > 0.9
    else:
        np.testing.assert_allclose(scorer.scores_, np.repeat(plain, repeats), rtol=1e-4)
    assert scorer.report_["duplicates"] == len(many) - 300


def test_a_few_copies_need_no_new_search():
    X = cloud()
    few = np.vstack([X, X[:2]])
    for make in (Outlierness, LocalOutlierFactor, Weighting):
        scorer = make(k=8).fit(few, graph=graph_of(few))
        assert not scorer.report_["searched"]
        np.testing.assert_allclose(
            scorer.scores_[:200], make(k=8).fit(X, graph=graph_of(X)).scores_, rtol=1e-5
        )


def test_a_pool_half_of_which_are_copies():
    rng = np.random.default_rng(4)
    X, odd = with_outliers(400, 4)
    rows = np.concatenate([np.arange(400), rng.choice(np.flatnonzero(odd), 400)])
    many, truth = X[rows], odd[rows]
    plain = NearestNeighbors(n_neighbors=10).fit(many).kneighbors()[0][:, -1]
    assert roc_auc_score(truth, plain) < 0.5
    for make in (Outlierness, LocalOutlierFactor, Mahalanobis):
        assert roc_auc_score(truth, make().fit(many, graph=graph_of(many)).scores_) > 0.95


@pytest.mark.parametrize("make", SCORERS)
def test_outliers_of_real_data(make):
    frame = pl.read_parquet(shared("adbench/satimage-2.parquet"))
    X = StandardScaler().fit_transform(frame.drop("y").to_numpy()).astype(np.float32)
    scorer = make().fit(X, graph=graph_of(X))
    scores = scorer.scores_ if make.points == "harder" else -scorer.scores_
    least = {Outlierness: 0.95, Mahalanobis: 0.95, Weighting: 0.85}.get(make, 0.5)
    assert roc_auc_score(frame["y"], scores) > least


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Outlierness, {"k": 0}),
        (LocalOutlierFactor, {"k": 1.5}),
        (Weighting, {"k": True}),
        (Weighting, {"t": 0}),
        (Weighting, {"t": np.inf}),
        (Prototypicality, {"clusters": 0}),
    ],
)
def test_parameters_are_checked(make, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        make(**wrong).fit(cloud(20))


def test_isolation_is_scikit_learns_forest() -> None:
    from sklearn.ensemble import IsolationForest

    from assay.selection.contract.inputs import derived_seed
    from assay.selection.scorers.isolation import Isolation

    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    X[:8] += 6
    seed = derived_seed(0, "isolation") % 2**32
    forest = IsolationForest(n_estimators=50, random_state=seed).fit(X)
    found = Isolation(n_trees=50).fit(X)
    np.testing.assert_allclose(found.scores_, -forest.score_samples(X))
    assert set(np.argsort(-found.scores_)[:8]) == set(range(8))
    # a pool that holds every row twice is the same pool
    copied = Isolation(n_trees=50).fit(np.concatenate([X, X]))
    assert set(np.argsort(-copied.scores_[:400])[:8]) == set(range(8))
    with pytest.raises(ConfigError, match="n_trees"):
        Isolation(n_trees=0).fit(X)


@pytest.mark.parametrize("scorer", [Outlierness, LocalOutlierFactor, Prototypicality, Weighting])
def test_the_metric_is_the_graphs_or_l2_or_as_asked(scorer):
    X = cloud(150)
    by_l2, by_cosine = (scorer(metric=metric).fit(X).scores_ for metric in ("l2", "cosine"))
    assert not np.allclose(by_l2, by_cosine)
    cosine = SimilarityGraph.from_vectors(X, k=15)
    np.testing.assert_allclose(scorer().fit(X).scores_, by_l2)
    np.testing.assert_allclose(scorer().fit(X, graph=cosine).scores_, by_cosine, rtol=1e-6)
    np.testing.assert_allclose(scorer().fit(X, graph=graph_of(X)).scores_, by_l2, rtol=1e-6)
    # a metric that is not the graph's is searched
    np.testing.assert_allclose(scorer(metric="l2").fit(X, graph=cosine).scores_, by_l2)
    with pytest.raises(ConfigError, match="'auto', 'cosine' or 'l2'"):
        scorer(metric="ip").fit(X)


@pytest.mark.parametrize("name", ["thyroid", "cardio", "annthyroid", "Ionosphere", "pendigits"])
def test_plain_tables_are_scored_as_well_as_by_distances(name):
    frame = pl.read_parquet(shared(f"adbench/{name}.parquet"))
    X = StandardScaler().fit_transform(frame.drop("y").to_numpy())
    odd = frame["y"].to_numpy()
    distances = NearestNeighbors(n_neighbors=11).fit(X).kneighbors(X)[0][:, -1]
    reached = roc_auc_score(odd, Outlierness().fit(X).scores_)
    assert reached > roc_auc_score(odd, distances) - 0.02


@pytest.mark.parametrize("scorer", [LocalOutlierFactor, Outlierness])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_outliers_planted_in_a_standardised_table_are_found_by_default(scorer, dtype):
    # two kinds of rows along one direction; the odd ones lie between and beyond them on the same ray,
    # so that an angle tells nothing of them and a distance all
    rng = np.random.default_rng(7)
    ray = np.array([3.0, 1.0, -2.0, 0.5, 1.0])
    rows = np.outer(np.repeat([4.0, 8.0], 200), ray) + 0.3 * rng.normal(size=(400, 5))
    planted = np.outer(rng.choice([2.0, 6.0, 10.0], 12) + rng.normal(0, 0.1, 12), ray)
    X = np.concatenate([rows, planted]) * [1, 1e3, 1e-3, 1, 50] + [0, 1e3, 0, 7, -5]
    X = StandardScaler().fit_transform(X).astype(dtype)
    odd = np.arange(412) >= 400
    by_distance = -Oracle(n_neighbors=10).fit(X).negative_outlier_factor_
    reached = roc_auc_score(odd, scorer().fit(X).scores_)
    assert reached > 0.98
    assert reached > roc_auc_score(odd, by_distance) - 0.02
    assert roc_auc_score(odd, scorer(metric="cosine").fit(X).scores_) < 0.9


@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-25])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_outlier_scores_follow_scale_and_offset(scale, offset):
    X = np.random.default_rng(2).normal(size=(150, 3))
    moved = (X + offset) * scale
    pairs = (
        (Outlierness, scale),
        (LocalOutlierFactor, 1.0),
        (Mahalanobis, 1.0),
        (Prototypicality, scale),
        (Weighting, 1.0),
    )
    for scorer, unit in pairs:
        expected = scorer().fit(X).scores_ * unit
        np.testing.assert_allclose(scorer().fit(moved).scores_, expected, rtol=1e-3)


@pytest.mark.parametrize("copies", [3, 12, 40])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_copies_but_for_rounding_do_not_make_their_surroundings_outliers(copies, offset):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(300, 4))
    near = X[:1] + 1e-7 * rng.normal(size=(copies, 4))
    alone = LocalOutlierFactor().fit(X).scores_
    found = LocalOutlierFactor().fit(np.concatenate([X, near]) + offset).scores_
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:300], alone[1:], rtol=0.15)
    np.testing.assert_allclose(found[300:], alone[0], rtol=0.15)
