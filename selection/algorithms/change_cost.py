"""What a change of a mean loss comes from: other inputs, or other labels for the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.selection.algorithms.cross_fitting import boosted_trees
from assay.selection.contract.inputs import Floats

_FOLDS = 3
# the quantile at which ratios are clipped
_CLIP = 0.99


class Cost(NamedTuple):
    """A change of the mean loss and its two parts.

    Attributes
    ----------
    change : float
        Mean loss of B less that of A.
    inputs : float
        What other inputs cost, at the labels' dependence on them in A.
    labels : float
        The rest: other losses for the same inputs.
    effective_rows : float
        Kish's effective number of rows of A under the ratios; small where B lies elsewhere.
    """

    change: float
    inputs: float
    labels: float
    effective_rows: float


def density_ratio(
    table: NDArray[Any], levels: NDArray[np.bool_], of_b: Any, noise: Floats
) -> Floats:
    """Return how much more frequent each row of A is in B, by a cross-fitted boosted classifier.

    Parameters
    ----------
    table : float64[n, d]
        Rows of A and B in canonical order; NaN is a value.
    levels : bool[d]
        The columns that hold codes of levels, not numbers.
    of_b : bool[n]
    noise : float64[n]
        Deals the rows of A and those of B to three folds.

    Returns
    -------
    float64[rows of A]
        Clipped at their 99 % quantile; their mean is 1.
    """
    fold = np.empty(len(table), dtype=np.int64)
    for side in (of_b, ~of_b):
        rows = np.flatnonzero(side)
        fold[rows[np.argsort(noise[rows], kind="stable")]] = np.arange(len(rows)) % _FOLDS
    odds = np.empty(len(table))
    with one_thread():
        for held in range(_FOLDS):
            test = fold == held
            model = boosted_trees(levels).fit(table[~test], of_b[~test])
            odds[test] = np.exp(model.decision_function(table[test]))
    return clipped(odds[~of_b])


def clipped(ratios: Floats) -> Floats:
    """Return ratios of at most their 99 % quantile, with mean 1."""
    low = np.minimum(ratios, np.quantile(ratios, _CLIP))
    return np.asarray(low / low.mean())


def input_cost(ratios: Floats, loss_a: Floats) -> float:
    """Return the mean loss of A under self-normalized ratios, less its plain mean."""
    return float(ratios @ loss_a / ratios.sum() - loss_a.mean())


def input_error(ratios: Floats, loss_a: Floats) -> float:
    """Return the standard error of `input_cost`, the ratios taken as known."""
    centered = loss_a - ratios @ loss_a / ratios.sum()
    moved = ratios / ratios.mean() * centered - (loss_a - loss_a.mean())
    return float(moved.std() / np.sqrt(len(moved)))


def cost_of(ratios: Floats, weighed: Floats, loss_a: Floats, loss_b: Floats) -> Cost:
    """Return the change of the mean loss and its parts; `weighed` are the losses that have ratios."""
    change = float(loss_b.mean() - loss_a.mean())
    inputs = input_cost(ratios, weighed)
    return Cost(change, inputs, change - inputs, float(ratios.sum() ** 2 / (ratios @ ratios)))


def shapley(values: dict[frozenset[int], float], players: int) -> list[float]:
    """Return the Shapley value of each player from the values of all coalitions.

    Examples
    --------
    >>> worth = {frozenset(): 0.0, frozenset({0}): 1.0, frozenset({1}): 2.0, frozenset({0, 1}): 5.0}
    >>> shapley(worth, 2)
    [2.0, 3.0]
    """
    whole = factorial(players)
    shares = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        share = 0.0
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / whole
            for coalition in map(frozenset, combinations(others, size)):
                share += weight * (values[coalition | {player}] - values[coalition])
        shares.append(share)
    return shares


def group_costs(
    table: NDArray[Any],
    levels: NDArray[np.bool_],
    of_b: NDArray[np.bool_],
    noise: Floats,
    loss_a: Floats,
    groups: Sequence[Sequence[int]],
) -> list[float]:
    """Return each group of columns' share of the cost of inputs: the Shapley value over coalitions.

    A coalition's value is the cost of inputs by a classifier that sees its columns alone, so
    2^groups - 1 classifiers are fitted.
    """
    values: dict[frozenset[int], float] = {frozenset(): 0.0}
    for size in range(1, len(groups) + 1):
        for coalition in combinations(range(len(groups)), size):
            columns = sorted(column for group in coalition for column in groups[group])
            ratios = density_ratio(table[:, columns], levels[columns], of_b, noise)
            values[frozenset(coalition)] = input_cost(ratios, loss_a)
    return shapley(values, len(groups))
