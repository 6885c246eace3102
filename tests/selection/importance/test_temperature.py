from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.selection.importance.resampler import ImportanceResampler
from assay.selection.importance.sample import halvings
from tests.data import shared
from tests.selection.importance.test_resampler import sentences

SEEDS = range(3)


def shifted_vectors(n, seed):
    """Return vectors of which a tenth is like the target, and the target."""
    rng = np.random.default_rng(seed)
    pool = rng.normal(size=(n, 4)).astype(np.float32)
    pool[: n // 10] += 1.5
    return pool, (rng.normal(size=(60, 4)) + 1.5).astype(np.float32)


@pytest.mark.parametrize("n", [*range(20), 101, 1000])
def test_halvings_are_different_and_nearly_even(n):
    halves = halvings(n)
    assert len(halves) == 2 * sum(parts <= n for parts in (2, 4, 8))
    assert len({tuple(first) for first, _ in halves}) == len(halves)
    for first, second in halves:
        assert sorted([*first, *second]) == list(range(n))
        assert min(len(first), len(second)) >= 1
        assert abs(len(first) - len(second)) <= 4


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"weighting": "backoff"}])
def test_the_automatic_temperature_does_not_depend_on_the_seed(options):
    pool = sentences(400, 12) + sentences(100, 13, tilt=0.1)
    target = sentences(40, 14, tilt=0.1)
    temperatures = {
        ImportanceResampler(budget=60, random_state=seed, **options)
        .fit(pool, target=target)
        .report_["temperature"]
        for seed in SEEDS
    }
    assert len(temperatures) == 1


def test_the_automatic_temperature_of_vectors_does_not_depend_on_the_seed():
    pool, target = shifted_vectors(600, 0)
    fits = [
        ImportanceResampler(budget=60, random_state=seed).fit(pool, target=target) for seed in SEEDS
    ]
    assert len({fit.report_["temperature"] for fit in fits}) == 1


def test_the_automatic_temperature_does_not_depend_on_the_order_of_the_rows():
    pool, target = sentences(300, 3) + sentences(90, 4, tilt=0.2), sentences(40, 5, tilt=0.2)
    order = np.random.default_rng(6).permutation(len(pool))
    ids = np.array([f"r{row}" for row in range(len(pool))])
    fits = [
        ImportanceResampler(budget=60).fit([pool[row] for row in rows], target=texts, ids=ids[rows])
        for rows, texts in ((np.arange(len(pool)), target), (order, target[::-1]))
    ]
    assert fits[0].report_["temperature"] == fits[1].report_["temperature"]


def test_a_target_that_is_the_whole_pool_is_not_drawn_without_noise():
    # the largest weights are those of few words, over and over; only noise brings in the rest
    pool, target = sentences(2_000, 7, high=60), sentences(400, 8, high=60)
    selector = ImportanceResampler(budget=100, weighting="backoff").fit(pool, target=target)
    assert selector.report_["temperature"] > 0


def test_the_share_of_a_domain_is_steady_over_seeds_and_not_below_the_package():
    domain = "movie_reviews"
    frame = pl.read_parquet(shared("text_pool.parquet"), columns=["text", "domain"])
    frame = frame.sample(fraction=1.0, shuffle=True, seed=0)
    first = pl.int_range(pl.len()).over("domain") < 150
    pool, rest = frame.filter(first), frame.filter(~first)
    target = rest.filter(pl.col("domain") == domain)["text"][:200]
    inside = (pool["domain"] == domain).to_numpy()
    budget = int(inside.sum()) // 2

    def shares(seeds, **options):
        fits = [ImportanceResampler(budget=budget, random_state=seed, **options) for seed in seeds]
        return [float(inside[fit.fit(pool["text"], target=target).indices_].mean()) for fit in fits]

    ours, package = shares(SEEDS), shares([0], mode="dsir")
    assert max(ours) - min(ours) < 0.02
    assert min(ours) >= package[0] - 0.02
