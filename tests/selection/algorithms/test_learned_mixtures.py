"""Mixtures learned from runs and models: published code, closed forms, an independent solver."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import spearmanr

from assay.selection import LearnedMixture, mixture_from_models, mixture_from_runs
from assay.selection.algorithms.learned_mixture import within_caps
from assay.storage.errors import BudgetError, ColumnError, ConfigError, InputError

# perplexity-correlations 0.1.2: spearmanr(LOSSES, ERRORS), and linear() of it under TAU
LOSSES = [
    [0.811, 0.085, 0.179, 0.236], [0.181, 0.801, 0.869, 0.582], [0.039, 0.094, 0.332, 0.433],
    [0.621, 0.479, 0.264, 0.159], [0.691, 0.734, 0.032, 0.113], [0.452, 0.391, 0.887, 0.516],
    [0.42, 0.43, 0.666, 0.586], [0.172, 0.737, 0.756, 0.956], [0.786, 0.284, 0.319, 0.648],
    [0.65, 0.696, 0.869, 0.292], [0.938, 0.001, 0.076, 0.973], [0.943, 0.298, 0.139, 0.313],
]  # fmt: skip
ERRORS = [0.043, 0.891, 0.662, 0.585, 0.244, 0.471, 0.19, 0.773, 0.474, 0.03, 0.254, 0.706]
# its ranks order ties by row; these columns have none
PUBLISHED = [-0.3706293706293706, 0.29370629370629375, None, 0.30069930069930073]


def runs_of(effects, n=80, noise=0.0, seed=0):
    """Return runs whose metric is the model of `mixture_from_runs`."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(effects)), n)
    loss = 5 + np.log(weights + 0.01) @ np.array(effects) + noise * rng.normal(size=n)
    names = [f"s{k}" for k in range(len(effects))]
    return pl.DataFrame({name: weights[:, k] for k, name in enumerate(names)} | {"loss": loss})


def test_correlations_are_those_of_the_published_code() -> None:
    losses = dict(zip("abcd", np.array(LOSSES).T, strict=True))
    made = mixture_from_models(losses, ERRORS, bootstraps=0)
    effect = dict(made.frame.select("source", "effect").iter_rows())
    for name, value in zip("abcd", PUBLISHED, strict=True):
        if value is not None:
            assert effect[name] == pytest.approx(value, abs=1e-12)
    assert made.shares == {"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), sources=st.integers(2, 8))
def test_models_fill_their_caps_as_a_linear_program_does(seed: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.random((20, sources)) + rng.random((20, 1))
    error = X.mean(axis=1) + 0.1 * rng.random(20)
    sizes = rng.uniform(0.05, 1, sources)
    sizes *= max(1, 1.01 / sizes.sum())
    names = [f"s{k}" for k in range(sources)]
    table = dict(zip(names, X.T, strict=True))
    made = mixture_from_models(
        table, error, dict(zip(names, sizes, strict=True)), budget=1, bootstraps=0
    )
    rho = np.array([spearmanr(column, error).statistic for column in X.T])
    share = made.frame["share"].to_numpy()
    best = linprog(
        -rho, A_eq=np.ones((1, sources)), b_eq=[1], bounds=[(0, min(1, s)) for s in sizes]
    )
    assert rho @ share == pytest.approx(-best.fun, abs=1e-9)
    assert share.sum() == pytest.approx(1)
    assert (share <= np.minimum(1, sizes) + 1e-9).all()


def test_the_best_mixture_of_a_known_law_is_approached() -> None:
    # with these effects the least loss has w + .01 in proportion to 3 : 1, and nothing of the rest
    made = mixture_from_runs(runs_of([-0.3, -0.1, 0.0]), "loss", best=20)
    assert made.shares["s0"] == pytest.approx(0.75, abs=0.05)
    assert made.shares["s2"] < 0.05
    assert made.report_["rank_correlation"] > 0.99
    assert made.report_["predicted"] < made.report_["best_run"]
    np.testing.assert_allclose(made.frame["effect"], [-0.3, -0.1, 0.0], atol=5e-3)


def test_intervals_hold_the_share_and_shrink_with_runs() -> None:
    widths = []
    for n in (40, 640):
        made = mixture_from_runs(runs_of([-0.2, -0.1, -0.05], n, noise=0.15), "loss")
        low, share, high = (made.frame[name].to_numpy() for name in ("low", "share", "high"))
        assert ((low <= share + 0.05) & (share <= high + 0.05)).all()
        widths.append((high - low).mean())
    assert widths[1] < 0.6 * widths[0]


def test_caps_hold_and_the_order_of_rows_and_columns_does_not_matter() -> None:
    runs = runs_of([-0.3, -0.1, -0.05, 0.0], noise=0.02)
    asked = {"sizes": {"s0": 10, "s1": 20, "s2": 400, "s3": 400}, "budget": 100, "repeat": 2}
    made = mixture_from_runs(runs, "loss", bootstraps=20, **asked)
    assert made.frame["cap"].to_list() == [0.2, 0.4, 1.0, 1.0]
    assert (made.frame["share"] <= made.frame["cap"] + 1e-12).all()
    assert sum(made.shares.values()) == pytest.approx(1)
    turned = runs.sample(fraction=1, shuffle=True, seed=3).select(reversed(runs.columns))
    again = mixture_from_runs(turned.with_columns(run=pl.lit("x")), "loss", bootstraps=20, **asked)
    assert again.frame.equals(made.frame)
    models = mixture_from_models(runs, "loss", bootstraps=20, **asked)
    assert mixture_from_models(turned, "loss", bootstraps=20, **asked).frame.equals(models.frame)


def test_weights_count_as_shares_and_an_accuracy_is_a_loss_turned() -> None:
    runs = runs_of([-0.3, -0.1, 0.0], noise=0.02)
    made = mixture_from_runs(runs, "loss", bootstraps=0)
    scaled = mixture_from_runs(
        runs.with_columns(pl.exclude("loss") * 1e9, loss=-pl.col("loss")),
        "loss",
        higher_is_better=True,
        bootstraps=0,
    )
    np.testing.assert_allclose(scaled.frame["share"], made.frame["share"], atol=1e-9)
    assert scaled.report_["best_run"] == pytest.approx(-made.report_["best_run"])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), sources=st.integers(1, 8))
def test_what_a_cap_cuts_off_goes_to_the_others(seed: int, sources: int) -> None:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(sources, 0.3), 5)
    caps = rng.uniform(0, 1, sources)
    caps = np.minimum(1, caps * max(1, 1.001 / caps.sum()))
    if caps.sum() < 1:
        return
    made = within_caps(shares, caps)
    np.testing.assert_allclose(made.sum(axis=1), 1, atol=1e-9)
    assert (made <= caps + 1e-12).all()
    assert (made >= np.minimum(shares, caps) - 1e-12).all()


def test_what_can_not_be_learned_from_is_refused() -> None:
    rng = np.random.default_rng(0)
    noise = runs_of([0.0, 0.0, 0.0], noise=1.0)
    with pytest.raises(InputError, match="don't explain their metric"):
        mixture_from_runs(noise, "loss")
    assert isinstance(mixture_from_runs(noise, "loss", least_correlation=-1), LearnedMixture)
    runs = runs_of([-0.3, -0.1, 0.0])
    with pytest.raises(InputError, match="from 29 runs; pass at least 30"):
        mixture_from_runs(runs.head(29), "loss")
    with pytest.raises(ColumnError, match="'los'"):
        mixture_from_runs(runs, "los")
    with pytest.raises(InputError, match="no finite number in row 0"):
        mixture_from_runs(runs.with_columns(s1=pl.Series([None, *runs["s1"][1:]])), "loss")
    with pytest.raises(InputError, match="weight below 0"):
        mixture_from_runs(runs.with_columns(s1=-pl.col("s1")), "loss")
    with pytest.raises(ConfigError, match="go together"):
        mixture_from_runs(runs, "loss", budget=5)
    with pytest.raises(ConfigError, match="no entry for the source 's2'"):
        mixture_from_runs(runs, "loss", sizes={"s0": 1, "s1": 1}, budget=1)
    with pytest.raises(BudgetError, match="less than the budget of 4"):
        mixture_from_runs(runs, "loss", sizes=dict.fromkeys(("s0", "s1", "s2"), 1), budget=4)
    with pytest.raises(ConfigError, match="repeat is 0"):
        mixture_from_runs(runs, "loss", repeat=0)
    with pytest.raises(InputError, match="one for each of two or more sources"):
        mixture_from_runs(runs.select("s0", "loss"), "loss")
    with pytest.raises(InputError, match="on no source goes with the error"):
        mixture_from_models(runs.select(-pl.col("loss").alias("a"), b=pl.lit(1.0)), runs["loss"])
    with pytest.raises(InputError, match="shape"):
        mixture_from_models(runs, rng.random(3))
