"""What a model gets wrong that it got right before its training rows were replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.evaluation.estimates import Figure, mean_of
from assay.storage.hashing.rows import first_rows


class NegativeFlips:
    """Share of rows that a judge of one selection gets right, and one of another gets wrong.

    Parameters
    ----------
    read : function of row numbers to float[rows, d]
    codes : int[n]
        The class of each row, -1 where it has none.
    previous : int[p]
        The rows that the first judge learns.
    noise : float64[n]
        In its order rows are taken where there are more than `most`.
    most : int
        Rows that are learned, and that are judged.
    random_state : int, default 0

    Notes
    -----
    Time O(most f^2 + f^3) for each selection, with f = d + 321 features.

    References
    ----------
    Yan et al., "Positive-congruent training: towards regression-free model updates", 2021.

    Examples
    --------
    >>> X = np.repeat([[0.0], [1.0], [2.0]], 20, axis=0)
    >>> y = np.repeat([0, 1, 0], 20)
    >>> flips = NegativeFlips(lambda rows: X[rows], y, np.arange(60), np.arange(60.0), 60)
    >>> flips(np.arange(60)), round(flips(np.arange(40))["negative_flips"], 4)
    ({'negative_flips': 0.0}, 0.3333)
    """

    def __init__(
        self,
        read: Callable[[Rows], NDArray[Any]],
        codes: NDArray[Any],
        previous: Rows,
        noise: Floats,
        most: int,
        random_state: int = 0,
    ) -> None:
        self._codes, self._noise, self._most = codes, noise, most
        self._asked = self._first(np.arange(len(codes)))
        self._judge = RidgeJudge(read, codes, self._asked, random_state)
        self._features = self._judge.features(self._asked)
        self._before = self._right(previous)

    def __call__(self, some: Rows) -> dict[str, Figure]:
        """Measure the replacement of the previous rows by `some`."""
        flipped = (self._before & ~self._right(some)).astype(np.float64)
        return {"negative_flips": mean_of(flipped, int((self._codes >= 0).sum()))}

    def _first(self, rows: Rows) -> Rows:
        rows = rows[self._codes[rows] >= 0]
        return np.asarray(rows[first_rows(self._noise[rows], self._most)])

    def _right(self, rows: Rows) -> NDArray[np.bool_]:
        learned = self._first(rows)
        if not len(learned):
            return np.zeros(len(self._asked), dtype=bool)
        return self._judge.right(self._judge.fit(learned), self._asked, self._features)
