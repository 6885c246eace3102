"""Windows of rows by difficulty, and how well a model learned from each explains the whole pool."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.contract.inputs import Floats, Rows

# rows whose features are held at once
_BLOCK = 8192


class Normal(NamedTuple):
    """The sums that ridge regression is solved from: features' products, and those with the labels."""

    gram: Floats
    cross: Floats

    def __add__(self, other: object) -> Normal:
        if not isinstance(other, Normal):
            return NotImplemented
        return Normal(self.gram + other.gram, self.cross + other.cross)


def window_starts(n: int, budget: int, step: float) -> Rows:
    """Return where windows of `budget` of n ordered rows begin, `step` of the rows apart.

    Examples
    --------
    >>> window_starts(100, 60, 0.05).tolist()
    [0, 5, 10, 15, 20, 25, 30, 35, 40]
    """
    shares = step * np.arange(int((1 - budget / n) / step + 1e-9) + 1)
    return np.minimum((shares * n + 1e-9).astype(np.int64), n - budget)


class WindowJudge:
    """Ridge regression of one-hot labels, learned from windows of ordered rows and from other subsets.

    Parameters
    ----------
    judge : RidgeJudge
        Gives the features.
    codes : int[n]
        The class of each row, -1 where it has none.
    penalty : float
        On squared coefficients.

    Notes
    -----
    Sums are added in blocks of rows and in the order of the rows. Time O(n f^2 + w f^3) and memory
    O(w f^2) for f features and w windows: rows that several windows share are multiplied once.
    """

    def __init__(self, judge: RidgeJudge, codes: Rows, penalty: float) -> None:
        self._judge, self._codes, self._penalty = judge, codes, penalty
        self._classes = int(codes.max(initial=0)) + 1

    def sums(self, rows: Rows) -> Normal:
        """Return the sums over the rows that have a label."""
        size = self._judge.size
        total = Normal(np.zeros((size, size)), np.zeros((size, self._classes)))
        for block in _blocks(rows[self._codes[rows] >= 0]):
            F = self._judge.features(block)
            total.gram[:] += F.T @ F
            for code in np.unique(self._codes[block]):
                total.cross[:, code] += F[self._codes[block] == code].sum(axis=0)
        return total

    def windows(self, order: Rows, starts: Rows, budget: int) -> list[Normal]:
        """Return the sums over each window of `order`, made of the slices between all their ends."""
        edges = np.unique(np.concatenate([starts, starts + budget]))
        of_windows: list[Normal | None] = [None] * len(starts)
        for low, high in pairwise(edges):
            inside = np.flatnonzero((starts <= low) & (high <= starts + budget))
            if not len(inside):
                continue
            part = self.sums(order[low:high])
            for window in inside:
                before = of_windows[window]
                of_windows[window] = part if before is None else before + part
        return [sums for sums in of_windows if sums is not None]

    def shares_right(self, learned: list[Normal]) -> Floats:
        """Return which share of the labeled rows the model of each sums gives their label."""
        models = []
        for gram, cross in learned:
            damped = gram + self._penalty * np.eye(len(gram))
            models.append(cho_solve(cho_factor(damped), cross))
        coefficients = np.hstack(models)
        labeled = np.flatnonzero(self._codes >= 0)
        right = np.zeros(len(models), dtype=np.int64)
        for block in _blocks(labeled):
            values = self._judge.features(block) @ coefficients
            guess = values.reshape(len(block), len(models), -1).argmax(axis=2)
            right += (guess == self._codes[block, None]).sum(axis=0)
        return np.asarray(right / max(1, len(labeled)))


def _blocks(rows: Rows) -> Iterator[Rows]:
    return (rows[begin : begin + _BLOCK] for begin in range(0, len(rows), _BLOCK))
