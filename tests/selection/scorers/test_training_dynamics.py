from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.scorers.training_cartography import DUAL, Confidence, Variability
from assay.selection.scorers.training_dynamics import AUM, EL2N, Entropy, Forgetting
from assay.selection.scorers.training_trajectory import CLD, TDDS
from assay.storage.errors import (
    ColumnError,
    ConfigError,
    IdError,
    InputError,
    MissingInputError,
    NonFiniteError,
)

IDS = ["z", "a", "m"]


def long(P, ids, names=None):
    """A log with one row per sample and epoch, shuffled."""
    n, epochs, classes = P.shape
    names = names or [str(c) for c in range(classes)]
    frame = pl.DataFrame(
        {"sample_id": np.repeat(ids, epochs), "epoch": np.tile(np.arange(epochs) + 1, n)}
    ).with_columns(pl.Series(name, P[:, :, c].ravel()) for c, name in enumerate(names))
    return frame.sample(fraction=1, shuffle=True, seed=0)


def wide(P, ids):
    epochs = {f"epoch {t}": P[:, t].tolist() for t in range(P.shape[1])}
    return pl.DataFrame({"sample_id": ids} | epochs)


def random_log(n, epochs, classes, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), (n, epochs))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(2, 5), st.integers(0, 10**6))
def test_scores_are_their_formulas(n, epochs, classes, seed):
    P = random_log(n, epochs, classes, seed)
    y = np.arange(n) % classes
    ids = [f"id {i}" for i in range(n)]
    margin, distance, forgotten = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        was_right, ever = False, False
        for t in range(epochs):
            p = P[i, t]
            margin[i] += p[y[i]] - max(np.delete(p, y[i]))
            if t < 10:
                distance[i] += np.linalg.norm(p - np.eye(classes)[y[i]])
            right = p.argmax() == y[i]
            forgotten[i] += was_right and not right
            was_right, ever = right, ever or right
        if not ever:
            forgotten[i] = epochs
    entropy = -(P[:, -1] * np.log(P[:, -1])).sum(axis=1)
    for log in (long(P, ids), wide(P, ids)):
        fit = {"ids": ids, "y": y}
        np.testing.assert_allclose(AUM(log=log).fit(**fit).scores_, margin, atol=1e-12)
        np.testing.assert_allclose(EL2N(log=log).fit(**fit).scores_, distance, atol=1e-12)
        np.testing.assert_array_equal(Forgetting(log=log).fit(**fit).scores_, forgotten)
        np.testing.assert_allclose(Entropy(log=log).fit(**fit).scores_, entropy, atol=1e-12)


@pytest.mark.parametrize("epochs", [1, 2, 7, 14])
def test_data_maps_and_windows_are_their_formulas(epochs):
    n, classes = 12, 3
    P = random_log(n, epochs, classes, epochs)
    y = np.arange(n) % classes
    ids = [f"id {i}" for i in range(n)]
    own = P[np.arange(n), :, y]
    runs = [own[:, k : k + 10] for k in range(max(1, epochs - 9))]
    windows, dual = np.zeros(n), np.zeros(n)
    if epochs > 1:
        windows = np.mean([run.std(axis=1, ddof=1) for run in runs], axis=0)
        dual = np.mean([(1 - r.mean(axis=1)) * r.std(axis=1, ddof=1) for r in runs], axis=0)
    fit = {"ids": ids, "y": y}
    for log in (long(P, ids), wide(P, ids)):
        found = [
            made(log=log, **options).fit(**fit).scores_
            for made, options in (
                (Confidence, {}), (Variability, {}), (Variability, {"window": 10}), (DUAL, {}),
            )
        ]  # fmt: skip
        expected = [own.mean(axis=1), own.std(axis=1), windows, dual]
        np.testing.assert_allclose(found, expected, atol=1e-12)
    with pytest.raises(ConfigError, match="window"):
        DUAL(log=long(P, ids), window=1).fit(**fit)
    with pytest.raises(MissingInputError, match="labels"):
        Confidence(log=long(P, ids)).fit(ids=ids)


def tdds_by_loops(P, window=10, decay=0.9):
    """The sums as the authors' code makes them: |p' log(p'/p)|, windows, a moving average."""
    n, epochs, _ = P.shape
    window = min(window, epochs)
    scores = np.zeros(n)
    for k in range(epochs - window + 1):
        steps = []
        for j in range(window - 1):
            p, after = P[:, k + j], P[:, k + j + 1]
            steps.append(np.abs(after * (np.log(after + 1e-8) - np.log(p + 1e-8))).sum(axis=1))
        average = sum(steps) / (window - 1)
        apart = np.linalg.norm([step - average for step in steps], axis=0)
        scores += apart * decay * (1 - decay) ** (epochs - window - k)
    return scores


@pytest.mark.parametrize("epochs", [2, 3, 7, 10, 14])
def test_tdds_is_the_authors_loops(epochs):
    P = random_log(9, epochs, 4, epochs)
    ids = [f"id {i}" for i in range(9)]
    for log in (long(P, ids), wide(P, ids)):
        found = TDDS(log=log).fit(ids=ids).scores_
        np.testing.assert_allclose(found, tdds_by_loops(P), atol=1e-12)
    found = TDDS(log=log, window=5, decay=0.5).fit(ids=ids).scores_
    np.testing.assert_allclose(found, tdds_by_loops(P, 5, 0.5), atol=1e-12)
    with pytest.raises(ConfigError, match="window"):
        TDDS(log=log, window=1).fit(ids=ids)


def test_tdds_of_one_epoch_is_0():
    assert TDDS(log=wide(random_log(3, 1, 2, 0), IDS)).fit(ids=IDS).scores_.tolist() == [0, 0, 0]


@pytest.mark.parametrize("epochs", [2, 3, 9])
def test_cld_is_the_correlation_of_loss_steps(epochs):
    n = 10
    P = random_log(n, epochs, 3, epochs)
    P[4] = P[4, :1]
    y = np.arange(n) % 3
    ids = [f"id {i}" for i in range(n)]
    losses = -np.log(P[np.arange(n), :, y])
    validation = np.random.default_rng(epochs).random(epochs).tolist()
    for losses_given, whole in (
        (None, np.median(losses, axis=0)),
        (validation, np.array(validation)),
    ):
        found = CLD(log=long(P, ids), validation=losses_given).fit(ids=ids, y=y).scores_
        expected = np.zeros(n)
        for i in range(n):
            if epochs > 2 and i != 4:
                expected[i] = np.corrcoef(np.diff(losses[i]), np.diff(whole))[0, 1]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_cld_says_what_validation_must_be():
    log = long(random_log(3, 4, 2, 0), IDS)
    with pytest.raises(InputError, match="3 numbers for 4 epochs"):
        CLD(log=log, validation=[1.0, 2.0, 3.0]).fit(ids=IDS, y=[0, 1, 0])
    with pytest.raises(ConfigError, match="list of numbers"):
        CLD(log=log, validation="loss.csv").fit(ids=IDS, y=[0, 1, 0])


def test_a_log_made_by_hand():
    P = np.array(
        [
            [[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]],  # of class 0: forgotten twice
            [[0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.1, 0.9]],  # of class 0: never learnt
            [[0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.0, 1.0]],  # of class 1: learnt for good
        ]
    )
    log = long(P, IDS, ["cat", "dog"])
    y = ["cat", "cat", "dog"]
    forgetting = Forgetting(log=log).fit(ids=IDS, y=y)
    assert forgetting.scores_.tolist() == [2, 4, 0]
    assert forgetting.report_["never_learnt"] == 1
    assert forgetting.report_["unforgettable"] == 1
    assert AUM(log=log).fit(ids=IDS, y=y).scores_ == pytest.approx([0, -2, 1.8])
    root = np.sqrt(2)
    early = EL2N(log=log, epochs=2).fit(ids=IDS, y=y)
    assert early.scores_ == pytest.approx([1.1 * root, 1.3 * root, 0.9 * root])
    assert early.report_ == early.report_ | {"epochs": 4, "epochs_used": 2}
    assert Entropy(log=log).fit(ids=IDS).scores_[2] == 0


def test_logs_of_margins_and_of_correctness():
    margins = {"1": [0.5, -0.5, 0.1], "2": [-0.2, -0.1, 0.3]}
    log = pl.DataFrame({"sample_id": IDS, **margins})
    assert AUM(log=log).fit(ids=IDS).scores_ == pytest.approx([0.3, -0.6, 0.4])
    assert Forgetting(log=log).fit(ids=IDS).scores_.tolist() == [1, 2, 0]
    right = pl.DataFrame({"sample_id": IDS, "1": [True, False, True], "2": [False, False, True]})
    assert Forgetting(log=right).fit(ids=IDS).scores_.tolist() == [1, 2, 0]
    tall = log.unpivot(index="sample_id", variable_name="epoch", value_name="margin")
    assert AUM(log=tall).fit(ids=IDS).scores_ == pytest.approx([0.3, -0.6, 0.4])
    told = right.unpivot(index="sample_id", variable_name="epoch", value_name="correct")
    assert Forgetting(log=told).fit(ids=IDS).scores_.tolist() == [1, 2, 0]


def test_samples_are_matched_by_id_and_the_log_may_hold_more():
    P = random_log(5, 3, 4, 0)
    ids = ["e", "b", "d", "a", "c"]
    whole = AUM(log=wide(P, ids)).fit(ids=ids, y=[0, 1, 2, 3, 0])
    part = AUM(log=wide(P, ids)).fit(ids=["a", "b"], y=[3, 1])
    np.testing.assert_array_equal(part.scores_, whole.scores_[[3, 1]])
    alone = Entropy(log=wide(P, ids)).fit()
    np.testing.assert_array_equal(alone.scores_, Entropy(log=wide(P, ids)).fit(ids=ids).scores_)


def test_rows_without_a_label():
    P = random_log(3, 4, 3, 1)
    log = wide(P, IDS)
    scores = AUM(log=log).fit(ids=IDS, y=[None, "1", "2"]).scores_
    first, second = np.sort(P[0], axis=1)[:, -1], np.sort(P[0], axis=1)[:, -2]
    assert scores[0] == pytest.approx((first - second).sum())
    assert np.isfinite(EL2N(log=log).fit(ids=IDS, y=[None, "1", "2"]).scores_).all()
    assert Forgetting(log=log).fit(ids=IDS, y=[None, "1", "2"]).scores_[0] == 0


def test_what_cannot_be_read_is_refused():
    P = random_log(3, 2, 2, 2)
    log = long(P, IDS)
    fit = {"ids": IDS, "y": [0, 1, 1]}
    with pytest.raises(MissingInputError, match="AUM needs log"):
        AUM().fit(**fit)
    with pytest.raises(MissingInputError, match="y was not given"):
        AUM(log=log).fit(ids=IDS)
    with pytest.raises(MissingInputError, match="needs probabilities"):
        EL2N(log=pl.DataFrame({"sample_id": IDS, "1": [0.1, 0.2, 0.3]})).fit(**fit)
    with pytest.raises(MissingInputError, match="classes"):
        AUM(log=log).fit(ids=IDS, y=["cat", "dog", "horse"])
    with pytest.raises(IdError, match="no row of 1 samples"):
        AUM(log=log).fit(ids=[*IDS[:2], "other"], y=[0, 1, 1])
    with pytest.raises(IdError, match="same sample and epoch"):
        AUM(log=pl.concat([log, log])).fit(**fit)
    with pytest.raises(IdError, match="same sample"):
        Entropy(log=pl.concat([wide(P, IDS)] * 2)).fit(ids=IDS)
    with pytest.raises(InputError, match="every sample in every epoch"):
        AUM(log=log.head(5)).fit(**fit)
    with pytest.raises(InputError, match="sum to 1"):
        AUM(log=log.with_columns(pl.col("0") * 2)).fit(**fit)
    with pytest.raises(NonFiniteError):
        AUM(log=log.with_columns(pl.lit(None, dtype=pl.Float64).alias("0"))).fit(**fit)
    with pytest.raises(InputError, match="not numbers"):
        AUM(log=log.with_columns(pl.lit("x").alias("0"))).fit(**fit)
    with pytest.raises(ColumnError, match="sample_id"):
        AUM(log=log.rename({"sample_id": "id"})).fit(**fit)
    with pytest.raises(ConfigError, match="epochs"):
        EL2N(log=log, epochs=0).fit(**fit)
    uneven = pl.DataFrame({"sample_id": IDS, "1": [[0.5, 0.5], [1.0], [1.0]]})
    with pytest.raises(InputError, match="differ in length"):
        Entropy(log=uneven).fit(ids=IDS)
