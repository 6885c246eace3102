"""Stars of near hashes, against a comparison of all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.hash_stars import hash_stars, plan_parts


def all_pairs(hashes, colors, order, distance, color_distance):
    """Return keepers and distances by comparing every row with every keeper."""
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2).astype(int)
    shades = np.abs(colors[:, None].astype(int) - colors[None].astype(int)).mean(axis=2)
    apart = np.where(shades <= color_distance, apart, 10_000)
    keepers: list[int] = []
    for row in order:
        if not keepers or apart[row, keepers].min() > distance:
            keepers.append(row)
    keeper, distances = np.arange(len(hashes)), np.zeros(len(hashes), dtype=int)
    for row in set(order) - set(keepers):
        distances[row], keeper[row] = min((apart[row, k], k) for k in keepers)
    return keeper, distances


def clustered(rng, n, centers, flips):
    hashes = rng.integers(0, 2**63, (centers, 4), dtype=np.uint64)[rng.integers(0, centers, n)]
    for row in hashes:
        for bit in rng.integers(0, 256, rng.integers(0, flips + 1)):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return hashes


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 120),
    centers=st.integers(1, 30),
    distance=st.integers(0, 140),
)
def test_stars_are_those_of_all_pairs(seed: int, n: int, centers: int, distance: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = clustered(rng, n, centers, max(1, distance))
    colors = rng.integers(0, 60, (n, 12)).astype(np.uint8)
    order = rng.permutation(n)[: max(1, n - 3)]
    keeper, distances, compared = hash_stars(hashes, colors, order, distance, 20)
    expected, apart = all_pairs(hashes, colors, order, distance, 20)
    np.testing.assert_array_equal(keeper, expected)
    np.testing.assert_array_equal(distances, apart)
    assert compared >= (keeper != np.arange(n)).sum()


@pytest.mark.parametrize("n", [1, 100, 10_000, 1_000_000, 100_000_000])
def test_near_hashes_share_a_part(n: int) -> None:
    for distance in range(256):
        plan = plan_parts(256, distance, n)
        assert plan.parts * plan.bits <= 256
        assert plan.parts * (plan.radius + 1) > distance


def test_a_large_group_is_found_whole_with_few_comparisons() -> None:
    rng = np.random.default_rng(0)
    hashes = np.concatenate(
        [clustered(rng, 3_000, 1, 12), rng.integers(0, 2**63, (20_000, 4), dtype=np.uint64)]
    )
    colors = np.zeros((len(hashes), 12), dtype=np.uint8)
    keeper, _, compared = hash_stars(hashes, colors, np.arange(len(hashes)), 38, 32)
    assert (keeper[:3_000] == 0).all()
    assert (keeper[3_000:] == np.arange(3_000, len(hashes))).all()
    assert compared < len(hashes) ** 2 / 20
