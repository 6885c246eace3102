"""Weights of terms from labeled pairs, against scikit-learn on every step."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from assay.selection import pair_weights
from assay.selection.algorithms.labeled_pairs import held_out_similarity
from assay.storage.errors import ConfigError, InputError


def records(seed, n=60):
    """Products twice, with noise words that say nothing and a code that says all."""
    rng = np.random.default_rng(seed)
    noise = [f"{rng.integers(10**6)} {word}" for word in ("great", "offer", "sale", "shipping") * 5]
    texts, pairs, same = [], [], []
    for product in range(n):
        code = f"{rng.choice(list('XYZ'))}{rng.integers(100, 999)}"
        for _ in range(2):
            texts.append(f"{' '.join(rng.choice(noise, 3))} {code}")
        pairs.append((2 * product, 2 * product + 1))
        same.append(True)
        for other in rng.integers(0, 2 * product + 1, 3):
            pairs.append((2 * product, int(other)))
            same.append(bool(other // 2 == product))
    return texts, np.array(pairs), np.array(same)


def plain_weights(texts, pairs, same, C=3.0):
    Z = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True).fit_transform(
        texts
    )
    P = Z[pairs[:, 0]].multiply(Z[pairs[:, 1]]).toarray()
    scale = 1 / np.sqrt((P**2).sum() / len(P))
    features = np.column_stack([P * scale, P.sum(axis=1)])
    w = LogisticRegression(C=C, max_iter=1_000, tol=1e-8).fit(features, same).coef_[0]
    weighted = Z.toarray() * np.sqrt(np.maximum(0, w[:-1] * scale + w[-1]))
    weighted /= np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-300)
    return (weighted[pairs[:, 0]] * weighted[pairs[:, 1]]).sum(axis=1), P.sum(axis=1)


@pytest.mark.parametrize("seed", range(2))
def test_it_is_logistic_regression_on_products(seed):
    texts, pairs, same = records(seed)
    learned = pair_weights(texts, pairs, same)
    weighted, plain = plain_weights(texts, pairs, same)
    np.testing.assert_allclose(learned.plain().similarity(texts, pairs), plain, atol=1e-12)
    np.testing.assert_allclose(learned.similarity(texts, pairs), weighted, atol=2e-3)
    before, after = (average_precision_score(same, value) for value in (plain, weighted))
    assert after > before
    assert learned.report_["pairs"] == len(same)
    held, same_plain = held_out_similarity(texts, pairs, same)
    np.testing.assert_allclose(same_plain, plain, atol=1e-12)
    assert average_precision_score(same, held) > before


def test_the_order_of_the_pairs_is_of_no_account():
    texts, pairs, same = records(3, n=20)
    order = np.random.default_rng(0).permutation(len(pairs))
    first, other = (
        pair_weights(texts, pairs[rows], same[rows]).similarity(texts, pairs)
        for rows in (np.arange(len(pairs)), order)
    )
    np.testing.assert_allclose(first, other, atol=1e-9)


def test_a_record_is_like_itself_and_nothing_is_like_nothing():
    texts, pairs, same = records(1, n=10)
    texts = [*texts, "", None, "unseen words"]
    learned = pair_weights(texts, pairs, same)
    n = len(texts)
    values = learned.similarity(texts, [(n - 1, n - 1), (n - 2, n - 3), (0, n - 1)])
    np.testing.assert_allclose(values, [1.0, 0.0, 0.0], atol=1e-9)
    assert len(learned.similarity(texts, [])) == 0


def test_what_can_not_be_learned_from_is_refused():
    texts = ["a b", "b c", "c d"]
    for pairs, labels, words in (
        ([[0, 1]], [True], "All 1 pairs are the same"),
        ([[0, 1]], [False], "All 1 pairs are different"),
        ([[0, 3], [0, 1]], [1, 0], "position 3, and there are 3 texts"),
        ([[-1, 0], [0, 1]], [1, 0], "position -1"),
        ([[0, 1], [1, 2]], [1, 2], "labels has shape"),
        ([[0, 1], [1, 2]], [1], "labels has shape"),
        ([0, 1], [1], "pairs has shape"),
        ([[0.5, 1]], [1], "type float64"),
    ):
        with pytest.raises(InputError, match=words):
            pair_weights(texts, pairs, labels)
    with pytest.raises(ConfigError, match="C is 0"):
        pair_weights(texts, [[0, 1], [1, 2]], [1, 0], C=0)
