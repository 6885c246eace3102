"""Epochs are in the order of their numbers, whatever they are written as, or refused."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.scorers.epoch_order import epoch_places, natural_order
from assay.selection.scorers.training_dynamics import AUM, EL2N, Entropy, Forgetting
from assay.storage.errors import InputError

FORMS = ["{}", "epoch {}", "ckpt-{}.pt", " {} ", "Epoche №{}", "run 7, epoch {}"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True),
    st.sampled_from(FORMS),
    st.sampled_from([pl.String, pl.Categorical]),
)
def test_text_is_in_the_order_of_its_numbers(numbers, form, dtype):
    texts = pl.Series([form.format(n) for n in numbers], dtype=pl.String).cast(dtype)
    assert epoch_places(texts).to_list() == np.argsort(np.argsort(numbers)).tolist()


def test_numbers_and_times_are_in_their_own_order():
    assert epoch_places(pl.Series([10, 9, 10])).to_list() == [1, 0, 1]
    assert epoch_places(pl.Series([0.5, -1.0])).to_list() == [1, 0]
    days = [dt.date(2024, 2, 1), dt.date(2024, 1, 15)]
    assert epoch_places(pl.Series(days)).to_list() == [1, 0]
    assert natural_order(["0.5", "10.0", "2.5"]) == [0, 2, 1]
    assert natural_order(["epoch 1 step 10", "epoch 1 step 9", "epoch 0 step 11"]) == [2, 1, 0]


@pytest.mark.parametrize(
    "epochs",
    [
        ["first", "second"],
        ["1", "01"],
        ["1.9", "1.10"],
        ["warmup", "1"],
        ["epoch 1", "step 2"],
        ["1", None],
        [1.0, float("nan")],
        [True, False],
        [[1], [2]],
    ],
)
def test_epochs_without_an_order_are_refused(epochs):
    with pytest.raises(InputError, match="epoch"):
        epoch_places(pl.Series(epochs))


def test_scores_do_not_depend_on_how_epochs_are_written():
    P = np.random.default_rng(0).dirichlet(np.ones(3), (5, 12))
    ids = [f"id {i}" for i in range(5)]
    y = ["correct", "margin", "place", "place", "margin"]
    names = ["correct", "margin", "place"]
    frame = pl.DataFrame(
        {"sample_id": np.repeat(ids, 12), "epoch": np.tile(np.arange(1, 13), 5)}
    ).with_columns(pl.Series(name, P[:, :, c].ravel()) for c, name in enumerate(names))
    mixed = frame.sample(fraction=1, shuffle=True, seed=1)
    text = mixed.with_columns(pl.col("epoch").cast(pl.String))
    named = mixed.with_columns(pl.format("epoch {}", "epoch").cast(pl.Categorical).alias("epoch"))
    listed = text.select("sample_id", "epoch", pl.concat_list(sorted(names)).alias("p"))
    wide = listed.pivot("epoch", index="sample_id", values="p", sort_columns=True)
    for make in (AUM, EL2N, Forgetting, Entropy):
        expected = make(log=mixed).fit(ids=ids, y=y).scores_
        for log in (text, named, listed, wide):
            scorer = make(log=log).fit(ids=ids, y=y)
            np.testing.assert_array_equal(scorer.scores_, expected)
            assert "probabilities of 3 classes in 12 epochs" in scorer.report_["log"]


def test_the_kind_of_a_log_is_its_shape():
    base = {"sample_id": ["a", "a", "b", "b"], "epoch": [1, 2, 1, 2]}

    def taken_for(**columns):
        return Forgetting(log=pl.DataFrame(base | columns)).fit().report_["log"]

    assert taken_for(gap=[0.5, -0.2, 0.1, 0.3]) == "long, margin in 2 epochs"
    assert taken_for(hit=[True, False, True, True]) == "long, correct in 2 epochs"
    assert taken_for(correct=[1.0, 0.0, 1.0, 1.0]) == "long, correct in 2 epochs"
    assert taken_for(margin=[1, 0, 1, 1]) == "long, correct in 2 epochs"
    with pytest.raises(InputError, match="other numbers than 0 and 1"):
        taken_for(correct=[0.5, 0.25, 0.5, 1.0])
    with pytest.raises(InputError, match="'margin', 'loss' were read as probabilities"):
        AUM(log=pl.DataFrame(base | {"margin": [0.5] * 4, "loss": [0.1] * 4})).fit()
