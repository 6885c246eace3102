"""What relevance figures are made of: moments and counts of columns by class, and how they combine."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats

Counts = NDArray[np.int64]


class Relevance(NamedTuple):
    """Figures of d columns, float64[d] each.

    Attributes
    ----------
    fisher
        Fisher score; infinite where every class is constant and the classes differ.
    mutual_information
        Normalized mutual information with the classes.
    deviation
        Standard deviation, n - 1 in the denominator.
    span
        Largest less smallest value; 0 marks a constant column.
    """

    fisher: Floats
    mutual_information: Floats
    deviation: Floats
    span: Floats


class Parts(NamedTuple):
    """What the figures of m numeric columns are made of.

    Attributes
    ----------
    mean, scatter : float64[k, m]
        Mean of each class, less a number per column, and sum of squared deviations from it.
    span : float64[m]
    table : int64[m, k, bins]
        Rows of each class in each bin; without bins where they are not needed.
    """

    mean: Floats
    scatter: Floats
    span: Floats
    table: Counts


def finish(parts: Parts, sizes: Counts, weight: Floats | None) -> Relevance:
    """Return the figures of numeric columns from their parts.

    `weight` is `entropy_weights(n)`, or None where that would be long.
    """
    between, within = between_and_within(sizes, parts.mean, parts.scatter)
    information = np.zeros(len(parts.span))
    if parts.table.shape[1]:
        information = class_information(parts.table, sizes, weight)
    return Relevance(
        ratio(between, within),
        np.where(parts.span > 0, information, 0.0),
        np.sqrt((between + within) / (sizes.sum() - 1)),
        parts.span,
    )


def moments(block: Floats, classes: list[slice]) -> tuple[Floats, Floats]:
    """Return means, less the column's minimum, and sums of squared deviations, per class."""
    low = block.min(axis=1)
    mean, scatter = np.empty((2, len(classes), len(block)))
    for c, rows in enumerate(classes):
        # differences to the smallest value: exactly 0 where a class is constant
        smallest = block[:, rows.start]
        above = block[:, rows] - smallest[:, None]
        mean_above = above.mean(axis=1)
        scatter[c] = np.square(above - mean_above[:, None]).sum(axis=1)
        mean[c] = (smallest - low) + mean_above
    return mean, scatter


def weighted_sum(weights: Any, terms: Floats) -> Floats:
    # one row after the other: a reduction's order would depend on the width of the block
    total = np.zeros(terms.shape[1])
    for weight, term in zip(weights, terms, strict=True):
        total += weight * term
    return total


def between_and_within(sizes: Counts, mean: Floats, scatter: Floats) -> tuple[Floats, Floats]:
    """Return the sums of squares between and within classes."""
    center = weighted_sum(sizes, mean) / sizes.sum()
    within = weighted_sum(np.ones(len(sizes)), scatter)
    return weighted_sum(sizes, (mean - center) ** 2), within


def ratio(numerator: Any, denominator: Any) -> Floats:
    """Divide; x / 0 is infinity, 0 / 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator > 0, numerator / denominator, 0.0)


def equal_width_bins(block: Floats, bins: int) -> Counts:
    low = block.min(axis=1, keepdims=True)
    width = block.max(axis=1, keepdims=True) - low
    place = (block - low) * (bins / np.where(width > 0, width, 1.0))
    bin_of: Counts = np.minimum(place, bins - 1).astype(np.int64)
    return bin_of


def count_cells(bin_of: Counts, groups: list[slice], bins: int) -> Counts:
    """Return counts[m, group, bin]; a group is a run of rows."""
    m, k = len(bin_of), len(groups)
    cell = bin_of + np.arange(m)[:, None] * (k * bins)
    for group, rows in enumerate(groups):
        cell[:, rows] += group * bins
    return np.bincount(cell.ravel(), minlength=m * k * bins).reshape(m, k, bins)


def value_table(column: NDArray[Any], y: Counts) -> Counts:
    """Return counts[class, value] of one nominal column."""
    values, code = np.unique(column, return_inverse=True)
    k = int(y.max()) + 1
    return np.bincount(y * len(values) + code, minlength=k * len(values)).reshape(k, len(values))


def nominal_fisher(table: Counts, sizes: Counts) -> float:
    """Return the Fisher score of a nominal column from its counts[class, value]."""
    of_value = table.sum(axis=0)
    n, levels = int(of_value.sum()), len(of_value)
    if levels in (1, n):
        return 0.0
    left = n - (table**2 / of_value).sum()
    unexplained = left / (n - (sizes**2).sum() / n) * (n - 2) / (n - levels)
    return float(ratio(1.0 - unexplained, unexplained))


def entropy_weights(n: int) -> Floats:
    counts = np.arange(n + 1, dtype=np.float64)
    return counts * np.log(np.maximum(counts, 1.0))


def entropy(table: Counts, n: int, weight: Floats | None) -> Floats:
    """Return the entropies of counts[m, ...], each m summing to n."""
    flat = table.reshape(len(table), -1)
    terms = flat * np.log(np.maximum(flat, 1)) if weight is None else weight[flat]
    entropy: Floats = np.log(n) - terms.sum(axis=1) / n
    return entropy


def class_information(table: Counts, sizes: Counts, weight: Floats | None) -> Floats:
    """Return the normalized mutual information of counts[m, class, bin]."""
    n = int(sizes.sum())
    own = entropy(table.sum(axis=1), n, weight)
    of_class = entropy(sizes[None], n, weight)
    return 2.0 * np.maximum(own + of_class - entropy(table, n, weight), 0.0) / (own + of_class)
