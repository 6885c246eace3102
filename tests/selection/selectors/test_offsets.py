"""Under l2 a choice depends on differences of rows alone, however far from 0 they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.selection import (
    BanditSelector,
    HierarchicalBalancedSelector,
    Isolation,
    KCenterSelector,
    ModerateSelector,
    StratifiedSelector,
)

MADE: dict[str, Any] = {
    "moderate": lambda: ModerateSelector(budget=40, metric="l2"),
    "hierarchical": lambda: HierarchicalBalancedSelector(budget=40, metric="l2"),
    "stratified": lambda: StratifiedSelector(budget=40, metric="l2"),
    "k_center": lambda: KCenterSelector(budget=40, metric="l2"),
}


def blobs() -> np.ndarray:
    rng = np.random.default_rng(3)
    centers = rng.normal(scale=8, size=(12, 3))
    return centers[rng.integers(0, 12, 400)] + rng.normal(size=(400, 3))


@pytest.mark.parametrize("offset", [1e6, -1e9])
@pytest.mark.parametrize("name", MADE)
def test_an_offset_changes_no_choice(name: str, offset: float) -> None:
    X = blobs()
    expected = MADE[name]().fit(X - X.mean(axis=0)).indices_
    found = MADE[name]().fit(X + offset).indices_
    assert len(np.intersect1d(found, expected)) >= 36


def test_clusters_of_moderate_and_bandit_are_those_near_0() -> None:
    X = blobs() + 1e9
    chosen = ModerateSelector(budget=12, clusters=12, metric="l2").fit(X).indices_
    apart = np.linalg.norm((X[chosen, None] - X[chosen]), axis=2)
    assert np.median(apart[~np.eye(12, dtype=bool)]) > 5
    scores = np.arange(400.0)
    bandit = BanditSelector(budget=20, metric="l2").fit(X, scores=scores)
    assert np.isfinite(bandit.scores_).all()


def test_isolation_sees_an_outlier_far_from_0() -> None:
    X = blobs()
    X[7] = 60
    near, far = Isolation().fit(X).scores_, Isolation().fit(X + 1e9).scores_
    assert near.argmax() == far.argmax() == 7
    np.testing.assert_allclose(near, far, atol=0.05)
