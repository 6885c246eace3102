"""The sparse auto-encoder against a dense one with a mask; evolution; what it recovers."""

from __future__ import annotations

import tracemalloc

import numpy as np
import polars as pl
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import QuickSelection
from assay.selection.rankers.quick_selection import _Layer, _standardized
from assay.storage.errors import ConfigError, NonFiniteError
from tests.data import shared
from tests.selection.feature_sets import load

SMALL = {"hidden": 40, "density": 4, "epochs": 8}


def _sample(n=150, d=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d))


@parametrize_with_checks([QuickSelection(**SMALL)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def _dense(layer):
    weight = np.zeros(layer.shape)
    weight[layer.source, layer._sink] = layer.weight
    return weight


def test_steps_are_those_of_a_dense_network_with_a_mask():
    ranker = QuickSelection(noise=0.0, dropout=0.0, learning_rate=0.05, weight_decay=0.01)
    rng = np.random.default_rng(0)
    encoder, decoder = _Layer(7, 5, 1.5, rng), _Layer(5, 7, 1.5, rng)
    rows = _standardized(_sample(30, 7))
    W, V = _dense(encoder), _dense(decoder)
    masks = W != 0, V != 0
    assert masks[0].sum() == 18
    b, c = np.zeros((5, 1)), np.zeros((7, 1))
    speed = [np.zeros_like(part) for part in (W, V, b, c)]
    for _ in range(20):
        error = ranker._step(rows, encoder, decoder, rng)
        H = 1 / (1 + np.exp(-(W.T @ rows + b)))
        E = V.T @ H + c - rows
        assert error == pytest.approx(np.square(E).sum(), rel=1e-4)
        E = E / rows.shape[1]
        G = (V @ E) * H * (1 - H)
        slopes = (
            (rows @ G.T + 0.01 * W) * masks[0],
            (H @ E.T + 0.01 * V) * masks[1],
            G.sum(axis=1, keepdims=True),
            E.sum(axis=1, keepdims=True),
        )
        for value, pace, slope in zip((W, V, b, c), speed, slopes, strict=True):
            pace *= 0.9
            pace -= 0.05 * slope
            value += pace
    np.testing.assert_allclose(_dense(encoder), W, atol=1e-5)
    np.testing.assert_allclose(_dense(decoder), V, atol=1e-5)


def test_evolution_cuts_the_weakest_of_each_sign_and_keeps_the_count():
    rng = np.random.default_rng(0)
    layer = _Layer(30, 40, 4.0, rng)
    layer._speed[:] = 1.0
    before = dict(zip(layer._cells.tolist(), layer.weight.tolist(), strict=True))
    layer.evolve(0.2, rng)
    after = dict(zip(layer._cells.tolist(), layer.weight.tolist(), strict=True))
    assert len(after) == len(before) == 280
    assert (np.diff(layer._cells) > 0).all()
    assert layer.source.tolist() == (layer._cells // 40).tolist()
    cut = before.keys() - after.keys()
    for sign in (1, -1):
        side = sorted((abs(w), cell) for cell, w in before.items() if w * sign > 0)
        weakest = {cell for _, cell in side[: int(0.2 * len(side))]}
        assert weakest <= cut | {cell for cell in after if after[cell] != before.get(cell)}
        assert not {cell for _, cell in side[len(weakest) :]} & cut
    stayed = [after[cell] == before.get(cell) for cell in layer._cells.tolist()]
    np.testing.assert_array_equal(layer._speed, np.array(stayed, dtype=np.float32))
    assert layer._indptr[-1] == 280


@pytest.mark.parametrize(("n_in", "n_out", "links"), [(1, 50, 50), (3, 5, 15), (200, 9, 900)])
def test_full_and_nearly_full_layers(n_in, n_out, links):
    rng = np.random.default_rng(0)
    layer = _Layer(n_in, n_out, links / (n_in + n_out), rng)
    for _ in range(5):
        layer.evolve(0.5, rng)
    assert len(np.unique(layer._cells)) == len(layer.weight) == links


def test_scores_add_up_the_links_and_the_loss_falls():
    X = _sample()
    ranker = QuickSelection(hidden=60, density=4, epochs=40, learning_rate=0.1).fit(X)
    assert (ranker.scores_ > 0).all()
    assert ranker.losses_.shape == (40,)
    assert ranker.losses_[-1] < 0.8 * ranker.losses_[0]
    assert ranker.losses_[-1] < 0.8  # better than the column means


def test_the_seed_decides_and_the_order_of_rows_does_not():
    X = _sample()
    first = QuickSelection(**SMALL).fit(X)
    order = np.random.default_rng(1).permutation(len(X))
    moved = QuickSelection(**SMALL).fit(X[order])
    assert moved.ranking_.tolist() == first.ranking_.tolist()
    np.testing.assert_allclose(moved.scores_, first.scores_, rtol=1e-4)
    np.testing.assert_array_equal(QuickSelection(**SMALL).fit(X).scores_, first.scores_)
    other = QuickSelection(random_state=1, **SMALL).fit(X)
    assert np.abs(other.scores_ - first.scores_).max() > 0.1
    np.testing.assert_array_equal(
        QuickSelection(**SMALL).fit(X, ["labels"] * len(X)).scores_, first.scores_
    )


@pytest.mark.parametrize(
    "options",
    [
        {"rewire": 0.0},
        {"noise": 0.0},
        {"dropout": 0.0},
        {"momentum": 0.0},
        {"weight_decay": 0.1},
        {"learning_rate": 0.1},
        {"batch_size": 30},
        {"hidden": 30},
        {"density": 3},
        {"epochs": 3},
    ],
)
def test_the_parameters_take_part(options):
    X = _sample(d=30)
    base = {"hidden": 40, "density": 4, "epochs": 8}
    scores = QuickSelection(**base).fit(X).scores_
    assert np.abs(QuickSelection(**(base | options)).fit(X).scores_ - scores).max() > 1e-3


def test_units_do_not_matter_and_constant_columns_come_last():
    X = _sample()
    X[:, [0, 5]] = 0.1
    ranker = QuickSelection(**SMALL).fit(X)
    assert ranker.ranking_[[0, 5]].tolist() == [9, 10]
    assert QuickSelection(**SMALL).fit([[1.0], [2], [4]]).ranking_.tolist() == [1]
    rows = np.sort(X, axis=0)
    np.testing.assert_allclose(_standardized(rows * 1e140 - 3e140), _standardized(rows), atol=1e-5)
    with pytest.raises(NonFiniteError):
        QuickSelection(**SMALL, missing="raise").fit(np.where(X > 1, np.nan, X))


def test_no_layer_is_dense():
    X = np.random.default_rng(0).random((20, 50_000), dtype=np.float32)
    QuickSelection(**SMALL).fit(X[:, :9])  # compiled outside
    tracemalloc.start()
    QuickSelection(hidden=2_000, density=2, epochs=2).fit(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # one dense layer would take 400 MB


def test_informative_columns_of_madelon_without_labels():
    X, _ = load("madelon")
    truth = pl.read_parquet(shared("featsel/madelon_truth.parquet"))["informative"].to_numpy()
    ranker = QuickSelection(20, epochs=10).fit(X)
    assert truth[ranker.get_support()].sum() >= 8  # by chance 0.8 of 20


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": 0},
        {"density": -1.0},
        {"rewire": 1.0},
        {"noise": float("nan")},
        {"dropout": 1.0},
        {"learning_rate": -1},
        {"momentum": "high"},
        {"weight_decay": None},
        {"batch_size": 1.5},
        {"epochs": 0},
        {"random_state": None},
    ],
)
def test_parameters_that_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        QuickSelection(**options).fit(_sample())
