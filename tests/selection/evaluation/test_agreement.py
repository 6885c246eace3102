"""Agreement of two embedders: brute force, and what can't change it."""

from __future__ import annotations

import numpy as np
import pytest

from assay.selection.evaluation.agreement import embedder_agreement
from assay.storage.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
Z = np.hstack([X[:, :3] + 0.3 * RNG.normal(size=(120, 3)), RNG.normal(size=(120, 4))])


def by_loops(X, Z, k):
    X, Z = (V / np.linalg.norm(V, axis=1, keepdims=True) for V in (X, Z))
    shares = []
    for i in range(len(X)):
        lists = []
        for V in (X, Z):
            similar = V @ V[i]
            similar[i] = -2
            lists.append(set(np.argsort(-similar)[:k]))
        shares.append(len(lists[0] & lists[1]) / len(lists[0] | lists[1]))
    H = np.eye(len(X)) - 1 / len(X)
    K, L = H @ X @ X.T @ H, H @ Z @ Z.T @ H
    return np.mean(shares), (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())


def test_it_is_the_mean_jaccard_index_and_cka() -> None:
    found = embedder_agreement(X, Z, k=7)
    np.testing.assert_allclose((found.neighbors, found.cka), by_loops(X, Z, 7), rtol=1e-6)
    assert (found.rows, found.k) == (120, 7)


def test_turned_vectors_agree_and_the_order_of_rows_is_without_effect() -> None:
    turn = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
    same = embedder_agreement(X, X @ turn * 4)
    np.testing.assert_allclose(same[:2], 1)
    ids = np.array([f"r{i}" for i in range(120)])
    order = RNG.permutation(120)
    some = embedder_agreement(X, Z, ids=ids, sample=60)
    moved = embedder_agreement(X[order], Z[order], ids=ids[order], sample=60)
    np.testing.assert_allclose(some[:2], moved[:2], rtol=1e-12)
    assert some.rows == 60


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="120 rows and Z has 100"):
        embedder_agreement(X, Z[:100])
    with pytest.raises(InputError, match="more than 15 rows"):
        embedder_agreement(X[:10], Z[:10])
