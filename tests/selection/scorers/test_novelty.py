"""Novelty: neighbors and p-values by brute force, covariance by hand, and known sets of outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import kstest
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from assay.index import SimilarityGraph
from assay.selection import (
    Mahalanobis,
    Novelty,
    NoveltyMahalanobis,
    NoveltyP,
    NoveltyToLabeled,
    Outlierness,
)
from assay.selection.algorithms.distance_to_known import discoveries
from assay.selection.base import Scorer
from assay.storage import read_pool
from assay.storage.errors import ConfigError, InputError, MissingInputError
from tests.data import data_folder


@pytest.mark.parametrize("k", [1, 3, 50])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_distances_and_p_values_are_those_of_brute_force(k: int, metric: str) -> None:
    rng = np.random.default_rng(k)
    X, known = rng.normal(size=(60, 4)), rng.normal(size=(30, 4))
    both = np.concatenate([known, known[:7]])  # copies count once
    scorer = Novelty(k=k, metric=metric).fit(X, reference=both)
    if metric == "cosine":
        X, known = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, known))
    reach = min(k, 30)
    asked = NearestNeighbors(n_neighbors=reach).fit(known).kneighbors(X)[0][:, -1]
    own = np.sort(np.linalg.norm(known[:, None] - known[None], axis=2), axis=1)[:, min(k, 29)]
    p = (1 + (own[None] >= asked[:, None] - 1e-6).sum(axis=1)) / 31
    np.testing.assert_allclose(scorer.scores_, asked, atol=1e-5)
    np.testing.assert_allclose(scorer.p_values_, p, atol=1e-9)
    np.testing.assert_array_equal(
        NoveltyP(k=k, metric=metric).fit(X, target=known).scores_, scorer.p_values_
    )
    outer = Outlierness(k=k, metric=metric).fit(X, reference=both)
    np.testing.assert_allclose(outer.scores_, asked, atol=1e-5)
    assert outer.report_["reference_rows"] == scorer.report_["reference_rows"] == 30


@pytest.mark.parametrize("make", [Novelty, NoveltyP, NoveltyToLabeled])
def test_the_default_metric_is_the_graphs_and_l2_without_one(make: type[Scorer]) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(80, 4)) + 1
    labels = ["a", "b", *[None] * 78]
    given: dict[str, Any] = {"y": labels}
    if make is not NoveltyToLabeled:
        given = {"reference": rng.normal(size=(40, 4)) + 1}
    by_l2, by_cosine = (make(metric=m).fit(X, **given).scores_ for m in ("l2", "cosine"))
    assert not np.allclose(by_l2, by_cosine)
    np.testing.assert_array_equal(make().fit(X, **given).scores_, by_l2)
    for metric, expected in (("l2", by_l2), ("cosine", by_cosine)):
        graph = SimilarityGraph.from_vectors(X, k=5, metric=metric)
        np.testing.assert_array_equal(make().fit(X, graph=graph, **given).scores_, expected)
        other = make(metric="l2").fit(X, graph=graph, **given).scores_
        np.testing.assert_array_equal(other, by_l2)


def test_the_distance_to_labeled_rows_is_euclidean_by_default() -> None:
    X = np.random.default_rng(6).normal(size=(50, 3))
    labels = ["a", *[None] * 48, "b"]
    scores = NoveltyToLabeled().fit(X, labels).scores_
    expected = np.linalg.norm(X[:, None] - X[[0, -1]], axis=2).min(axis=1)
    np.testing.assert_allclose(scores[1:-1], expected[1:-1], rtol=1e-6)


def test_p_values_are_uniform_where_pool_and_reference_are_one_draw() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 6))
    scorer = Novelty().fit(rows[:1500], reference=rows[1500:])
    # reference and pool are both samples: the 99 % bound of the two-sample statistic
    assert kstest(scorer.p_values_, "uniform").statistic < 1.63 * np.sqrt(2 / 1500)
    assert scorer.report_["new"] < 30
    shifted = Novelty().fit(rows[:100] + 9, reference=rows[1500:])
    assert shifted.report_["new"] == 100


def test_benjamini_hochberg_is_scipys() -> None:
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(3)
    p = np.concatenate([rng.random(80), rng.random(30) * 1e-3])
    np.testing.assert_array_equal(discoveries(p, 0.1), false_discovery_control(p) <= 0.1)


def test_mahalanobis_is_fitted_on_the_reference() -> None:
    rng = np.random.default_rng(1)
    known = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    X = rng.normal(size=(20, 5)) * 3
    covariance, _ = ledoit_wolf(known)
    apart = X - known.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart))
    np.testing.assert_allclose(Mahalanobis().fit(X, reference=known).scores_, expected, rtol=1e-3)
    one = NoveltyMahalanobis(cells=1).fit(X, reference=known)
    np.testing.assert_allclose(one.scores_, expected, rtol=1e-3)
    labels = np.repeat(["a", "b"], 100)
    known[100:] += 8
    means = np.stack([known[:100].mean(axis=0), known[100:].mean(axis=0)])
    covariance, _ = ledoit_wolf(known - means[np.repeat([0, 1], 100)], assume_centered=True)
    apart = X[:, None] - means[None]
    squares = np.einsum("nci,ij,ncj->nc", apart, np.linalg.inv(covariance), apart)
    by_class = NoveltyMahalanobis(reference_labels=labels).fit(X, target=known)
    np.testing.assert_allclose(by_class.scores_, np.sqrt(squares.min(axis=1)), rtol=1e-3)


def test_what_is_known_may_be_a_pool_and_must_fit() -> None:
    X = np.eye(3)
    pool = read_pool({"vector": X.tolist()})
    assert Novelty(k=1).fit(X, reference=pool).scores_.tolist() == [0, 0, 0]
    with pytest.raises(MissingInputError, match="target"):
        Novelty().fit(X)
    with pytest.raises(ConfigError, match="mean the same"):
        Novelty().fit(X, reference=X, target=X)
    for bad in (np.ones((2, 4)), np.full((2, 3), np.nan), ["a text"]):
        with pytest.raises(InputError, match="reference"):
            Novelty().fit(X, reference=bad)
    with pytest.raises(InputError, match="one label"):
        NoveltyMahalanobis(reference_labels=["a"]).fit(X, reference=X)


@pytest.mark.slow
def test_outliers_are_found_from_half_of_the_normal_rows() -> None:
    """Half of the normal rows are known; the other half and the anomalies are scored."""
    folder = data_folder()
    if folder is None or not (folder / "adbench").is_dir():
        pytest.skip("shared data not found: adbench")
    found, by_cells, pool_only = [], [], []
    for path in sorted((folder / "adbench").glob("*.parquet")):
        frame = pl.read_parquet(path)
        frame = frame[np.random.default_rng(0).permutation(frame.height)[:4_000]]
        X = frame.drop("y").to_numpy().astype(np.float64)
        odd = frame["y"].to_numpy() == 1
        spread = X[~odd].std(axis=0)
        X = ((X - X[~odd].mean(axis=0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
        normal = np.flatnonzero(~odd)
        known, rest = normal[::2], np.concatenate([normal[1::2], np.flatnonzero(odd)])
        found.append(roc_auc_score(odd[rest], Novelty().fit(X[rest], reference=X[known]).scores_))
        cells = NoveltyMahalanobis().fit(X[rest], reference=X[known]).scores_
        by_cells.append(roc_auc_score(odd[rest], cells))
        pool_only.append(roc_auc_score(odd[rest], Outlierness().fit(X[rest]).scores_))
    assert np.mean(found) >= 0.9
    assert np.mean(by_cells) >= 0.88
    assert np.mean(found) > np.mean(pool_only) + 0.05
