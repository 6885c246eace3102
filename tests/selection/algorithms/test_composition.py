"""Shares of groups in a target: closed forms, brute force, and the plan's quotas."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize_scalar

from assay.selection import Composition, ImportanceResampler, estimate_composition
from assay.selection.algorithms.composition import (
    CompositionWarning,
    target_quotas,
    target_shares,
)
from assay.selection.algorithms.target_shift import density_ratio, fit_target_shift
from assay.storage.errors import ConfigError, InputError, MissingInputError
from tests.data import shared


def blobs(rng: np.random.Generator, counts: list[int], d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    centers = 2.5 * np.eye(len(counts), d)
    of = np.repeat(np.arange(len(counts)), counts)
    return (centers[of] + rng.normal(size=(len(of), d))).astype(np.float32), of


@pytest.mark.parametrize("seed", range(5))
def test_two_groups_are_the_maximum_of_the_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 0.7, 80)
    pool = float(rng.uniform(0.2, 0.8))
    shares, _ = target_shares(np.stack([p, 1 - p], axis=1), np.array([pool, 1 - pool]))

    def loss(q: float) -> float:
        return -float(np.log(p * q / pool + (1 - p) * (1 - q) / (1 - pool)).sum())

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-10}).x
    assert shares[0] == pytest.approx(best, abs=1e-5)
    assert shares.sum() == pytest.approx(1)


def test_rows_that_tell_their_group_are_counted() -> None:
    P = np.eye(3)[[0, 0, 1, 0]]
    shares, _ = target_shares(P, np.array([0.2, 0.5, 0.3]))
    assert shares.tolist() == [0.75, 0.25, 0.0]


def test_a_shifted_mix_is_found_and_lies_in_its_intervals() -> None:
    rng = np.random.default_rng(0)
    X, of = blobs(rng, [600, 600, 600])
    target, of_target = blobs(rng, [30, 70, 300])
    found = estimate_composition(X, [f"g{k}" for k in of], target=target)
    true = np.bincount(of_target) / len(of_target)
    shares = found.frame["target_share"].to_numpy()
    assert 0.5 * np.abs(shares - true).sum() < 0.03
    assert (found.frame["low"].to_numpy() <= true).all()
    assert (true <= found.frame["high"].to_numpy()).all()
    assert found.report_["unlike"] < 0.1
    assert found.weights_.mean() == pytest.approx(1)
    ratio = found.weights_[[0, 600, 1200]] * (shares / (1 / 3))[[1, 2, 0]]
    assert ratio == pytest.approx(found.weights_[[600, 1200, 0]] * (shares * 3)[[0, 1, 2]])
    assert pl.DataFrame(found).equals(found.frame)


def test_the_order_of_rows_does_not_matter_where_there_are_ids() -> None:
    rng = np.random.default_rng(1)
    X, of = blobs(rng, [80, 50])
    target, _ = blobs(rng, [10, 40])
    ids = np.array([f"r{row}" for row in range(len(X))])
    order, other = rng.permutation(len(X)), rng.permutation(len(target))
    for labels in (of.astype(str), None):
        a = estimate_composition(X, labels, target=target, ids=ids, cells=4)
        shuffled = None if labels is None else labels[order]
        b = estimate_composition(X[order], shuffled, target=target[other], ids=ids[order], cells=4)
        assert np.allclose(a.frame["target_share"], b.frame["target_share"], atol=1e-7)
        assert np.allclose(a.frame["high"], b.frame["high"], atol=1e-4)
        assert np.allclose(a.weights_[order], b.weights_, atol=1e-6)


def test_a_target_like_no_group_is_said() -> None:
    rng = np.random.default_rng(2)
    X, of = blobs(rng, [300, 300])
    middle = (X[:300] + X[300:])[:100] / 2
    with pytest.warns(CompositionWarning, match="like no group"):
        found = estimate_composition(X, of.astype(str), target=middle)
    assert found.report_["unlike"] > 0.1


def test_cells_stand_in_for_groups_and_rows_without_a_label_are_left_out() -> None:
    rng = np.random.default_rng(3)
    X, of = blobs(rng, [100, 100])
    target, _ = blobs(rng, [90, 10])
    cells = estimate_composition(X, target=target, cells=5)
    assert cells.frame.height == 5
    assert cells.frame["target_share"].sum() == pytest.approx(1)
    labels = [None if row % 7 == 0 else f"g{k}" for row, k in enumerate(of)]
    some = estimate_composition(X, labels, target=target)
    assert (some.codes[::7] == -1).all()
    assert (some.weights_[::7] == 0).all()
    assert some.frame["target_share"][0] == pytest.approx(0.9, abs=0.05)


def test_quotas_are_the_shares_as_far_as_groups_hold_them() -> None:
    frame = pl.DataFrame({"group": list("abc"), "target_share": [0.5, 0.25, 0.25]})
    codes = np.repeat([0, 1, 2], [10, 100, 100])
    composition = Composition(frame, codes, np.ones(210), {})
    assert composition.quotas(20) == {"a": 10, "b": 5, "c": 5}
    assert composition.quotas(60) == {"a": 10, "b": 25, "c": 25}
    assert sum(composition.quotas(210).values()) == 210
    usable = codes != 1
    assert composition.quotas(20, usable) == {"a": 10, "b": 0, "c": 10}
    assert target_quotas([5, 5], [0.0, 0.0], 4).sum() == 4


def test_a_numeric_label_shifts() -> None:
    rng = np.random.default_rng(0)

    def content(y: np.ndarray) -> np.ndarray:
        columns = [y + 0.5 * rng.normal(size=len(y)), 0.5 * y**2 + 0.5 * rng.normal(size=len(y))]
        return np.stack(columns, axis=1).astype(np.float32)

    y, t = rng.normal(size=900), 0.7 + 0.7 * rng.normal(size=500)
    X, target = content(y), content(t)
    true = np.exp(-((y - 0.7) ** 2) / (2 * 0.49)) / 0.7 / np.exp(-(y**2) / 2)
    shift = estimate_composition(X, y, target=target)
    bins = np.digitize(y, np.quantile(y, np.linspace(0, 1, 9)[1:-1]))
    by_bins = estimate_composition(X, bins.astype(str), target=target, bootstraps=0)

    def rmse(weights: np.ndarray) -> float:
        return float(np.sqrt(((weights - true) ** 2).mean()))

    assert rmse(shift.weights_) < 0.4
    assert rmse(shift.weights_) < min(rmse(by_bins.weights_), rmse(np.ones(len(y))))
    assert shift.frame["pool_share"].sum() == pytest.approx(1)


def test_the_ratio_of_two_normals() -> None:
    rng = np.random.default_rng(4)
    X, target = rng.normal(size=(1500, 1)), 0.8 + rng.normal(size=(1000, 1))
    true = np.exp(0.8 * X[:, 0] - 0.32)
    found = density_ratio(X, target)
    assert np.corrcoef(found, true)[0, 1] > 0.95
    same = fit_target_shift(
        X.astype(np.float32), X[:, 0], X[::2].astype(np.float32), rng.random(1500)
    )
    assert np.abs(same.weights(X[:, 0]) - 1).mean() < 0.2


def test_what_is_missing_or_of_another_width_is_said() -> None:
    X = np.eye(3, dtype=np.float32)
    with pytest.raises(MissingInputError, match="target"):
        estimate_composition(X, ["a", "b", "c"])
    with pytest.raises(InputError, match="same length"):
        estimate_composition(X, ["a", "b", "c"], target=np.ones((2, 5)))
    with pytest.raises(ConfigError, match="cells"):
        estimate_composition(X, target=X, cells=0)


def test_importance_keeps_the_mix_of_a_target() -> None:
    rng = np.random.default_rng(5)
    X, of = blobs(rng, [500, 500, 500])
    target, _ = blobs(rng, [60, 30, 10])
    groups = [f"g{k}" for k in of]
    for given in (groups, None):
        selector = ImportanceResampler(budget=100, composition="auto").fit(
            X, target=target, groups=given
        )
        shares = np.bincount(of[selector.indices_], minlength=3) / 100
        assert 0.5 * np.abs(shares - [0.6, 0.3, 0.1]).sum() < 0.1
        assert len(np.unique(selector.indices_)) == 100
        told = selector.report_["composition"]
        assert sum(share["target"] for share in told["shares"].values()) == pytest.approx(1)
    reasons = selector.decisions()["reason"].value_counts()
    assert dict(reasons.iter_rows()) == {"selected": 100, "not_drawn": 1400}
    with pytest.raises(ConfigError, match="one target"):
        ImportanceResampler(budget=5, composition="auto").fit(X, target={"a": target})
    with pytest.raises(ConfigError, match="composition"):
        ImportanceResampler(budget=5, composition="known").fit(X, target=target)


@pytest.mark.slow
def test_targets_of_several_domains_keep_their_mix() -> None:
    """Measured: EM .013; chosen .003 to .02 (groups known), .07 to .18 (cells), .37 to .44 (without)."""
    frame = pl.read_parquet(shared("text_pool.parquet")).drop_nulls("domain")
    frame = frame.unique("text", keep="first", maintain_order=True)
    sizes = frame.group_by("domain").len().filter(pl.col("len") >= 1_200).sort("domain")
    rng = np.random.default_rng(1)
    parts = []
    for domain in sizes["domain"][:12]:
        own = frame.filter(domain=domain)
        parts.append(own[rng.permutation(own.height)[:700]])
    held_out = np.tile(np.arange(700) >= 500, len(parts))
    both = pl.concat(parts)
    pool, held = both.filter(pl.Series(~held_out)), both.filter(pl.Series(held_out))
    domains, names = pool["domain"].to_numpy(), sizes["domain"][:12].to_numpy()
    of_held = held["domain"].to_numpy()
    rng = np.random.default_rng(10)
    chosen = rng.choice(12, 4, replace=False)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(of_held == names[c]), count, replace=False)
            for c, count in zip(chosen, (80, 60, 40, 20), strict=True)
        ]
    )
    true = np.array([(of_held[rows] == name).mean() for name in names])
    target = held["text"][rows]
    estimate = estimate_composition(pool["text"], domains, target=target)
    assert 0.5 * np.abs(estimate.frame["target_share"].to_numpy() - true).sum() <= 0.03
    moved, nearness = {}, {}
    for how, composition, groups in (
        ("default", None, None), ("cells", "auto", None), ("known", "auto", domains),
    ):  # fmt: skip
        selector = ImportanceResampler(budget=600, composition=composition)
        selector.fit(pool["text"], target=target, groups=groups)
        shares = np.array([(domains[selector.indices_] == name).mean() for name in names])
        moved[how] = 0.5 * np.abs(shares - true).sum()
        nearness[how] = selector.report_["kl_selected"]
    assert moved["known"] <= 0.06
    assert moved["cells"] <= 0.26
    assert moved["cells"] < moved["default"]
    assert nearness["cells"] <= nearness["default"] + 0.02
