from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import StandardScaler

from assay.index import SimilarityGraph
from assay.selection.algorithms.contamination import estimate_contamination
from assay.selection.scorers.local_outlier_factor import LocalOutlierFactor
from assay.selection.scorers.mahalanobis import Mahalanobis
from assay.selection.scorers.outlierness import Outlierness
from assay.storage.errors import ConfigError, InputError, NonFiniteError
from tests.data import shared


def detectors(share, n=1_500, apart=8.0, seed=0):
    rng = np.random.default_rng(seed)
    odd = np.zeros(n, dtype=bool)
    odd[: round(share * n)] = True
    level = 5 + apart * odd
    return [level + rng.normal(scale=0.6, size=n) for _ in range(2)], odd


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_clear_outliers_are_counted(share):
    scores, odd = detectors(share)
    found = estimate_contamination(*scores, draws=2_000)
    assert found.mean == pytest.approx(share, abs=0.015)
    low, high = found.interval(0.98)
    assert low - 0.01 <= share <= high + 0.01
    assert found.samples.shape == (2_000,)
    assert (np.diff(found.samples) >= 0).all()
    cut = found.cut(scores[0])
    assert cut.sum() == round(found.mean * 1_500)
    assert (cut == odd).mean() > 0.98


def test_the_beliefs_are_kept():
    scores, _ = detectors(0.3)  # more than is considered
    found = estimate_contamination(*scores, draws=2_000, most=0.2)
    assert found.samples.max() <= 0.2
    # outliers of 5% for certain: none with the probability that was said
    scores, _ = detectors(0.05)
    doubtful = estimate_contamination(*scores, draws=4_000, none=0.4)
    assert (doubtful.samples == 0).mean() == pytest.approx(0.4, abs=0.05)


def test_one_cluster_has_few_outliers():
    rng = np.random.default_rng(2)
    scores = rng.normal(10, 1, size=(2, 1_000))
    assert estimate_contamination(*scores, draws=1_000).mean < 0.1


def test_units_order_and_seed():
    scores, _ = detectors(0.05)
    plain = estimate_contamination(*scores, draws=500)
    order = np.random.default_rng(3).permutation(1_500)
    np.testing.assert_array_equal(
        plain.samples, estimate_contamination(*(s[order] for s in scores), draws=500).samples
    )
    scaled = estimate_contamination(*(1000 * s for s in scores), draws=500)
    assert scaled.mean == pytest.approx(plain.mean, abs=0.01)
    other = estimate_contamination(*scores, draws=500, random_state=1)
    assert other.mean == pytest.approx(plain.mean, abs=0.02)
    fewer = estimate_contamination(*scores, draws=500, max_rows=700)
    assert fewer.mean == pytest.approx(plain.mean, abs=0.02)


def test_constant_scores_and_tiny_pools():
    assert estimate_contamination(np.ones(50)).mean == 0
    assert estimate_contamination([1.0]).mean == 0
    assert not estimate_contamination(np.ones(50)).cut(np.arange(50)).any()
    assert 0 <= estimate_contamination([1.0, 2.0, 9.0], draws=100).mean <= 0.25


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="No scores"):
        estimate_contamination()
    with pytest.raises(InputError, match="differ in length"):
        estimate_contamination([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="shape"):
        estimate_contamination([[1, 2]])
    with pytest.raises(NonFiniteError):
        estimate_contamination([1, np.nan])
    for wrong in ({"none": 0}, {"high": 1.0}, {"most": "x"}, {"components": 1}, {"draws": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            estimate_contamination([1, 2], **wrong)


def test_real_data_against_a_fixed_tenth():
    errors, fixed = [], []
    for name in ("20news_3_bert", "cardio", "mammography", "thyroid"):
        frame = pl.read_parquet(shared(f"adbench/{name}.parquet"))
        frame = frame.sample(min(1_500, frame.height), seed=0)
        X = StandardScaler().fit_transform(frame.drop("y").to_numpy()).astype(np.float32)
        graph = SimilarityGraph.from_vectors(X, k=15, metric="l2")
        made = (Outlierness, LocalOutlierFactor, Mahalanobis)
        scores = [make().fit(X, graph=graph).scores_ for make in made]
        truth = frame["y"].mean()
        errors.append(abs(estimate_contamination(*scores, draws=1_000).mean - truth))
        fixed.append(abs(0.1 - truth))
    assert np.mean(errors) < np.mean(fixed)
