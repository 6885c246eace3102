"""Fisher scores and mutual information as FSLib 5.0 computes them, for reproducing rankings."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.selection.contract.inputs import Floats
from assay.selection.tables.moments import Counts, between_and_within, count_cells, weighted_sum

EMPTY_CELL = 1e-5  # FSLib's stand-in for an empty bin
ZERO_SPREAD = 1e4  # FSLib's stand-in for a class variance of zero


def _accumulated_bins(block: Floats, bins: int) -> Counts:
    """FSLib's joint bins: closed on the left, each edge the previous one plus the width."""
    edge = block.min(axis=1, keepdims=True)
    width = (block.max(axis=1, keepdims=True) - edge) / bins
    bin_of = np.zeros(block.shape, dtype=np.int64)
    for _ in range(bins - 1):
        edge = edge + width
        bin_of += block >= edge
    return bin_of


def _right_closed_bins(block: Floats, bins: int) -> Counts:
    """Bins of MATLAB's `hist`: closed on the right, rounded as its two branches round."""
    low = block.min(axis=1, keepdims=True)
    width = block.max(axis=1, keepdims=True) - low

    def center(k: int) -> Any:
        return (width * (2 * k + 1) + 2 * bins * low) / (2 * bins)

    if bins > 10:
        first_cut = (center(0) + center(1)) / 2
        step = (center(bins - 1) - center(0)) / (bins - 1)
        place = np.ceil((block - first_cut) / np.where(step > 0, step, 1.0))
        bin_of: Counts = np.clip(place, 0, bins - 1).astype(np.int64)
        return bin_of
    bin_of = np.zeros(block.shape, dtype=np.int64)
    for k in range(bins - 1):
        bin_of += block > (center(k) + center(k + 1)) / 2
    return bin_of


def fslib_figures(
    block: Floats, classes: list[slice], sizes: Counts, mean: Floats, scatter: Floats, bins: int
) -> tuple[Floats, Floats]:
    """Return FSLib's Fisher scores and mutual informations."""
    n = block.shape[1]
    share = count_cells(_right_closed_bins(block, bins), [slice(0, n)], bins)[:, 0] / n
    share[share == 0] = EMPTY_CELL
    own_entropy = -(share * np.log(share)).sum(axis=1)
    joint = count_cells(_accumulated_bins(block, bins), classes, bins)
    fisher, information = np.zeros(len(block)), np.zeros(len(block))
    for c, prior in [(1, 1.0)] if len(sizes) == 2 else enumerate(sizes / n):
        rest = np.arange(len(sizes)) != c
        n_rest = n - sizes[c]
        mean_rest = weighted_sum(sizes[rest], mean[rest]) / n_rest
        scatter_rest = sum(between_and_within(sizes[rest], mean[rest], scatter[rest]))
        variance = scatter[c] / max(sizes[c] - 1, 1) + scatter_rest / max(n_rest - 1, 1)
        variance[variance == 0] = ZERO_SPREAD
        fisher += prior * (mean[c] - mean_rest) ** 2 / variance
        mutual, class_entropy = np.zeros(len(block)), 0.0
        for counts, size in ((joint[:, c], sizes[c]), (joint[:, rest].sum(axis=1), n_rest)):
            cell = np.where(counts == 0, EMPTY_CELL, counts) / n
            mutual += (cell * np.log(cell / (share * (size / n)))).sum(axis=1)
            class_entropy -= size / n * np.log(size / n)
        information += prior * 2.0 * mutual / (own_entropy + class_entropy)
    return fisher, information
