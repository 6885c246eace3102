"""The classifier of documents by their buckets, against scikit-learn's and its own condition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from assay.index.ngrams.hasher import NGramHasher, NGrams
from assay.selection.algorithms.presence_classifier import PresenceClassifier

BUCKETS = 200


def ragged(rows):
    buckets = np.concatenate([np.empty(0, np.uint32), *rows]).astype(np.uint32)
    sizes = np.array([len(row) for row in rows])
    return NGrams(np.concatenate([[0], np.cumsum(sizes)]), buckets, sizes.astype(np.int32))


def matrix(grams):
    rows = np.zeros((len(grams.n_tokens), BUCKETS))
    for i, (start, end) in enumerate(zip(grams.indptr, grams.indptr[1:], strict=False)):
        held = np.unique(grams.buckets[start:end])
        rows[i, held] = 1 / np.sqrt(max(1, len(held)))
    return rows


def documents(n, seed, first=0):
    """Documents of 0 to 40 buckets with repeats; small ones are frequent, those of `first` on too."""
    rng = np.random.default_rng(seed)
    drawn = [
        np.minimum(rng.geometric(0.04, rng.integers(0, 40)) + first, BUCKETS - 1) for _ in range(n)
    ]
    return ragged(drawn)


@pytest.mark.parametrize(("wanted", "n"), [(5, 400), (60, 400), (300, 100), (1, 1)])
def test_the_weights_are_those_of_scikit_learn(wanted, n):
    target, pool = documents(wanted, 0, first=6), documents(n, 1)
    weights = PresenceClassifier(pool, BUCKETS).weights(target)
    X = csr_matrix(np.concatenate([matrix(target), matrix(pool)]))
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=5_000, tol=1e-10)
    model.fit(X, np.arange(wanted + n) < wanted)
    expected = model.coef_[0]
    assert np.linalg.norm(weights - expected) <= 0.02 * np.linalg.norm(expected)
    scores, best = X @ weights, X @ expected
    np.testing.assert_allclose(scores - scores.mean(), best - best.mean(), atol=0.05)


def test_repeats_and_empty_documents_change_nothing():
    texts = [f"a{i % 7} b{i % 5} c{i}" for i in range(60)]
    hasher = NGramHasher(1, BUCKETS)
    pool, target = hasher.transform(texts), hasher.transform(["a1 d", "a2 d e"])
    expected = PresenceClassifier(pool, BUCKETS).weights(target)
    repeated = hasher.transform([f"{text} {text}" for text in texts])
    np.testing.assert_array_equal(PresenceClassifier(repeated, BUCKETS).weights(target), expected)
    unused = np.setdiff1d(np.arange(BUCKETS), [*pool.buckets, *target.buckets])
    assert (expected[unused] == 0).all()


@given(
    st.lists(st.lists(st.integers(0, 11), max_size=6), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(0, 11), max_size=6), min_size=1, max_size=12),
)
def test_weights_meet_the_condition_of_a_minimum(target, pool):
    target, pool = (ragged([np.array(row, np.uint32) for row in rows]) for rows in (target, pool))
    weights = PresenceClassifier(pool, BUCKETS).weights(target)
    X = np.concatenate([matrix(target), matrix(pool)])
    n, wanted = len(X), len(target.n_tokens)
    sides = np.where(np.arange(n) < wanted, 1.0, -1.0)
    costs = np.where(sides > 0, n / (2 * wanted), n / (2 * (n - wanted)))
    # the intercept is where both sides' shares balance
    low, high = -50.0, 50.0
    for _ in range(80):
        middle = (low + high) / 2
        shares = costs / (1 + np.exp(sides * (X @ weights + middle)))
        low, high = (middle, high) if shares @ sides > 0 else (low, middle)
    np.testing.assert_allclose(X.T @ (shares * sides), weights, atol=0.02 * n)
