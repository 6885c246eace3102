from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from assay.index import SimilarityGraph
from assay.selection.algorithms.class_features import tf_idf
from assay.selection.algorithms.cross_fitting import commonest, softmax_regression
from assay.selection.contract.inputs import Inputs
from assay.selection.scorers.self_confidence import PVI, Margin, SelfConfidence, margins
from assay.storage.errors import ConfigError, InputError, MissingInputError, NonFiniteError
from tests.data import shared
from tests.selection.small_graphs import knn

SCORERS = [SelfConfidence, Margin, PVI]


def blobs(n=300, classes=3, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = np.eye(classes, 6)[y] * 4 + rng.normal(scale=spread, size=(n, 6))
    return X.astype(np.float32), y


def flipped(y, share, seed=1):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(y)) < share
    classes = int(y.max()) + 1
    return np.where(wrong, (y + rng.integers(1, classes, len(y))) % classes, y), wrong


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_softmax_regression_is_that_of_scikit_learn(classes):
    X, y = blobs(400, classes, spread=3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    found = softmax_regression(X, y, classes)
    logits = X @ found[:-1] + found[-1]
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    # two classes: scikit-learn penalizes one vector, which is twice either of two opposite ones
    C = 1 / (0.01 * 400) * (2 if classes == 2 else 1)
    oracle = LogisticRegression(C=C, tol=1e-8, max_iter=1000).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(P, oracle, atol=0.01)


def test_tf_idf_is_that_of_scikit_learn():
    texts = ["a b b c", "a c", "b d d d", "", "a z"]
    words = "abcd"
    counts = np.array([[text.split().count(word) for word in words] for text in texts])
    kept = (counts > 0).sum(axis=0) >= 2
    oracle = TfidfTransformer(sublinear_tf=True).fit_transform(counts[:, kept].astype(float))
    found = tf_idf(pl.Series(texts)).toarray()
    assert found.shape == (5, 3)
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(oracle.toarray(), axis=1), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 10**6))
def test_scores_follow_from_the_probabilities_given(n, classes, seed):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(classes), n)
    y = np.arange(n) % classes
    own = P[np.arange(n), y]
    given = {"y": y}
    np.testing.assert_array_equal(SelfConfidence(probabilities=P).fit(**given).scores_, own)
    others = np.array([max(np.delete(P[i], y[i]), default=0) for i in range(n)])
    np.testing.assert_allclose(Margin(probabilities=P).fit(**given).scores_, own - others)
    share = np.bincount(y)[y] / n
    scorer = PVI(probabilities=P).fit(**given)
    expected = np.log2(np.maximum(own, share / (n + 1))) - np.log2(share)
    np.testing.assert_allclose(scorer.scores_, expected, atol=1e-12)
    assert scorer.report_["v_information"] == pytest.approx(expected.mean(), abs=1e-12)
    assert not scorer.report_["fitted"]


def test_v_information_has_its_closed_forms():
    y = np.repeat([0, 1, 2, 2], 25)
    certain = PVI(probabilities=np.eye(3)[y]).fit(y=y)
    assert certain.report_["label_entropy"] == pytest.approx(1.5)
    assert certain.report_["v_information"] == pytest.approx(1.5)
    blind = PVI(probabilities=np.tile([0.25, 0.25, 0.5], (100, 1))).fit(y=y)
    assert blind.scores_ == pytest.approx(np.zeros(100))


def test_columns_are_matched_to_classes_by_name():
    P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    score = SelfConfidence(probabilities=pl.DataFrame(P, schema=["b", "a", "c"])).fit(y=["a", "c"])
    assert score.scores_.tolist() == [0.2, 0.6]
    assert SelfConfidence(probabilities=P[:, :2] / P[:, :2].sum(axis=1, keepdims=True)).fit(
        y=["b", "a"]
    ).scores_ == pytest.approx([2 / 9, 1 / 4])
    # whole numbers are columns by their value, not by their text
    wide = np.full((12, 12), 0.5 / 11)
    wide[np.arange(12), np.arange(12)] = 0.5
    assert SelfConfidence(probabilities=wide).fit(y=np.arange(12)).scores_.tolist() == [0.5] * 12
    named = SelfConfidence(probabilities=P).fit(y=[0, 2], ids=["z", "a"])
    assert named.scores_.tolist() == [0.7, 0.6]


@pytest.mark.parametrize("make", SCORERS)
def test_what_cannot_be_used_is_refused(make):
    with pytest.raises(MissingInputError, match="y was not given"):
        make(probabilities=[[1.0]]).fit(ids=["a"])
    with pytest.raises(InputError, match="one row per row"):
        make(probabilities=[[0.5, 0.5]]).fit(y=[0, 1])
    with pytest.raises(InputError, match="sum to 1"):
        make(probabilities=[[0.5, 0.6], [0.5, 0.5]]).fit(y=[0, 1])
    with pytest.raises(NonFiniteError):
        make(probabilities=[[np.nan, 1], [0.5, 0.5]]).fit(y=[0, 1])
    with pytest.raises(MissingInputError, match="3 classes"):
        make(probabilities=[[0.5, 0.5]] * 3).fit(y=["a", "b", "c"])
    X, y = blobs(20)
    for wrong in ({"folds": 1}, {"folds": 2.0}, {"train_rows": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            make(**wrong).fit(X, y)


@pytest.mark.parametrize("make", SCORERS)
def test_wrong_labels_score_low(make):
    X, y = blobs()
    noisy, wrong = flipped(y, 0.1)
    for graph in (None, knn(X, 8)):
        scorer = make().fit(X, noisy, graph=graph)
        assert roc_auc_score(wrong, -scorer.scores_) > 0.97
        assert scorer.report_["accuracy"] > 0.8
    few = make(train_rows=60).fit(X, noisy)
    assert roc_auc_score(wrong, -few.scores_) > 0.9


def test_no_model_has_seen_the_row_that_it_scores():
    # labels that are pure chance can't be foretold, though a model can learn them by heart
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 150)).astype(np.float32)
    y = rng.integers(0, 2, 200)
    assert 0.35 < SelfConfidence().fit(X, y).report_["accuracy"] < 0.65
    near = SelfConfidence().fit(X[:, :2], y, graph=knn(X, 10))
    assert 0.35 < near.report_["accuracy"] < 0.65
    # a row's own label does not touch its probabilities
    other = y.copy()
    other[7] = 1 - other[7]
    first, second = (
        SelfConfidence(folds=200).fit(X[:, :2], labels, graph=knn(X, 10)).scores_[7]
        for labels in (y, other)
    )
    assert first + second == pytest.approx(1, abs=0.02)


def test_rare_classes_one_class_and_rows_without_a_label():
    X, y = blobs(60)
    names = [f"class {code}" for code in y]
    names[0] = "alone"
    scorer = SelfConfidence().fit(X, names)
    assert scorer.scores_[0] == 0
    assert np.isfinite(PVI().fit(X, names).scores_).all()
    assert Margin().fit(X, names).scores_[0] < 0
    one = SelfConfidence().fit(X, np.zeros(60))
    assert one.scores_.tolist() == [1] * 60
    assert PVI().fit(X, np.zeros(60)).scores_.tolist() == [0] * 60
    some = SelfConfidence().fit(X, [None if i < 5 else name for i, name in enumerate(names)])
    assert some.report_["unlabelled"] == 5
    assert (some.scores_[:5] > 1 / 4).all()


def test_the_rarest_of_many_classes_are_one():
    y = np.concatenate([np.repeat(np.arange(5), 30), np.arange(5, 400)])
    merged = commonest(Inputs(y=[f"{code:03}" for code in y]).labels)
    assert merged.classes[:5] == ["000", "001", "002", "003", "004"]
    assert len(merged.classes) == 200
    assert merged.classes[-1] == "(other)"
    assert np.bincount(merged.codes)[[0, 4, 5, 199]].tolist() == [30, 30, 1, 201]
    X = np.random.default_rng(0).normal(size=(len(y), 3))
    assert np.isfinite(PVI().fit(X, y).scores_).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6))
def test_margins_with_ties(classes, seed):
    P = np.random.default_rng(seed).integers(0, 3, (5, classes)) / 4
    expected = [
        [P[i, c] - max(np.delete(P[i], c), default=0) for c in range(classes)] for i in range(5)
    ]
    np.testing.assert_allclose(margins(P), expected)


def test_the_labels_that_people_got_wrong():
    images = pl.read_parquet(shared("cifar10_vectors.parquet")).filter(pl.col("split") == "train")
    labels = pl.read_parquet(shared("cifar10n_labels.parquet"))
    both = images.join(labels, on="idx").sort("idx").head(8_000)
    X = np.array(both["vec"].to_list(), dtype=np.float32)
    graph = SimilarityGraph.from_vectors(X, ids=both["idx"], k=15, metric="cosine")
    for column, least in (("aggre", 0.845), ("random1", 0.845), ("worse", 0.83)):
        wrong = (both[column] != both["clean"]).to_numpy()
        scorer = SelfConfidence().fit(X, both[column], graph=graph)
        assert roc_auc_score(wrong, -scorer.scores_) > least


@pytest.mark.parametrize(("name", "least"), [("20news", 0.42), ("cifar10", 0.23)])
def test_the_label_errors_that_people_confirmed(name, least):
    frame = pl.read_parquet(shared(f"{name}_test_label_errors.parquet"))
    P = np.array(frame["pyx"].to_list(), dtype=np.float64)
    P /= P.sum(axis=1, keepdims=True)
    wrong = frame["human_label_error"].fill_null(False).cast(pl.Boolean).to_numpy()
    for make in (SelfConfidence, Margin):
        scores = make(probabilities=P).fit(y=frame["label"]).scores_
        assert roc_auc_score(wrong, -scores) > 0.98
    scores = SelfConfidence(probabilities=P).fit(y=frame["label"]).scores_
    assert average_precision_score(wrong, -scores) > least


def test_flipped_labels_of_texts():
    pool = pl.read_parquet(shared("text_pool.parquet")).filter(pl.col("domain") == "movie_snippets")
    pool = pool.drop_nulls("label").sort("id").gather_every(3)
    y = pool["label"].rank("dense").to_numpy().astype(int) - 1
    noisy, wrong = flipped(y, 0.1)
    scorer = SelfConfidence().fit(pool["text"], noisy, ids=pool["id"])
    assert roc_auc_score(wrong, -scorer.scores_) > 0.93


def test_names_of_classes_do_not_count_and_copies_share_a_fold() -> None:
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 3, 240)
    X = (np.eye(3)[codes] + rng.normal(size=(240, 3)) * 0.4).astype(np.float32)
    ids = [f"{i:03}" for i in range(240)]
    one = SelfConfidence().fit(X, np.array(["cat", "dog", "eel"])[codes], ids=ids)
    two = SelfConfidence().fit(X, np.array(["z", "m", "a"])[codes], ids=ids)
    np.testing.assert_allclose(one.scores_, two.scores_, atol=1e-6)
    # fifty rows and their copies with one wrong label: no copy may vouch for its twin
    wrong = codes.copy()
    wrong[:50] = (wrong[:50] + 1) % 3
    doubled = SelfConfidence().fit(
        np.concatenate([X, X[:50]]), np.concatenate([wrong, wrong[:50]]), ids=range(290)
    )
    assert np.median(doubled.scores_[:50]) < 0.5
    np.testing.assert_allclose(doubled.scores_[:50], doubled.scores_[240:], atol=1e-6)
