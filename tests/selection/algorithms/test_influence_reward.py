"""The influence of rows is what a gradient step does; the bandit follows it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from assay.selection import BanditSelector
from assay.selection.algorithms.influence_reward import gradient_utility
from assay.storage.errors import ConfigError, MissingInputError


def test_the_utility_is_the_fall_of_the_loss_after_a_step() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(7, 4)), rng.integers(0, 3, 7)
    with_bias = np.column_stack([X, np.ones(7)])
    W = rng.normal(size=(5, 3))

    def losses(weights: np.ndarray) -> np.ndarray:
        return np.asarray(-log_softmax(with_bias @ weights, axis=1)[np.arange(7), y])

    residuals = softmax(with_bias @ W, axis=1) - np.eye(3)[y]
    utility = gradient_utility(X, residuals)(np.arange(7), np.arange(7))
    for row in range(7):
        step = 1e-6 * np.outer(with_bias[row], residuals[row])
        np.testing.assert_allclose((losses(W) - losses(W - step)) / 1e-6, utility[row], atol=1e-4)


def pool() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four clusters; the classes of the first two differ, and the target lies between them."""
    rng = np.random.default_rng(1)
    centers = np.array([[2, 2, 0, 0], [2, -2, 0, 0], [-6, 0, 3, 0], [-6, 0, 0, 3]], dtype=float)
    cluster = np.repeat(np.arange(4), 50)
    X = (centers[cluster] + rng.normal(size=(200, 4)) * 0.7).astype(np.float32)
    target = (np.array([2, 0, 0, 0]) + rng.normal(size=(30, 4)) * 0.5).astype(np.float32)
    return X, np.array(list("abab"))[cluster], target


def test_the_bandit_takes_the_influence_as_its_reward() -> None:
    X, y, target = pool()
    ids = [f"r{i}" for i in range(200)]
    selector = BanditSelector(budget=40, reward="influence", n_clusters=4)
    selector.fit(X, y, ids=ids, target=target)
    report = selector.report_
    assert report["reward"] == "influence"
    assert report["reward_selected"] > report["reward_pool"]
    order = np.random.default_rng(2).permutation(200)
    again = BanditSelector(budget=40, reward="influence", n_clusters=4)
    again.fit(X[order], y[order], ids=[ids[i] for i in order], target=target[::-1])
    assert order[again.indices_].tolist() == selector.indices_.tolist()


def test_influence_needs_labels() -> None:
    X, _, _ = pool()
    with pytest.raises(MissingInputError, match="labels"):
        BanditSelector(budget=5, reward="influence").fit(X)
    with pytest.raises(ConfigError, match="'influence'"):
        BanditSelector(budget=5, reward="influences").fit(X)  # type: ignore[arg-type]
