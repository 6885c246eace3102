"""Mutual information with labels, less what chance gives to a column of as many levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from assay.selection.contract.inputs import Floats
from assay.selection.tables.moments import Counts

BLOCK_CELLS = 1 << 18  # 2 MiB


class CorrectedInformation:
    """Mutual information of columns with labels, less its value for labels that say nothing.

    I'(x; y) = H(y') averaged over the levels of x, less H(y | x), where y' are labels drawn without
    regard to x: as many for each level as the level has rows. Levels of one row count for nothing.

    Parameters
    ----------
    y : int64[n]
        Codes 0 ... k - 1, each present.
    mode : {"expected", "shift"}, default "expected"
        "expected": the mean over all draws, from the hypergeometric distribution; the result is the
        numerator of the adjusted mutual information, symmetric in x and y and independent of the
        order of the rows. "shift": one draw, the label c rows further on (in a circle) for a level
        of c rows.

    Notes
    -----
    `of` costs O(n m) time for m columns, and O(sqrt(n) k) for every size of a level that has not
    been met before; O(n + block) memory.

    References
    ----------
    N. X. Vinh, J. Epps, J. Bailey, Information theoretic measures for clusterings comparison, JMLR
    11, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.chance_information import CorrectedInformation
    >>> y = np.array([0, 0, 0, 1, 1, 1])
    >>> columns = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0]])
    >>> CorrectedInformation(y).of(columns).round(3)
    array([0.573, 0.   , 0.   ])
    """

    def __init__(self, y: Counts, mode: str = "expected") -> None:
        n = len(y)
        self._y, self._mode = y, mode
        self._sizes = np.bincount(y)
        counts = np.arange(n + 1, dtype=np.float64)
        self._weight = counts * np.log(np.maximum(counts, 1.0))
        self._chance = np.full(n + 1, np.nan)
        self._chance[:2] = 0.0
        if mode == "expected":
            self._log_factorial = gammaln(counts + 1.0)

    def of(self, levels: NDArray[np.integer[Any]], n_levels: int | None = None) -> Floats:
        """Return float64[m] in nats, of columns given as rows of codes levels[m, n].

        Codes lie below `n_levels` (default: the largest plus one).
        """
        width = n_levels or int(levels.max()) + 1
        step = max(1, BLOCK_CELLS // max(len(self._y), width * len(self._sizes)))
        parts = [self._of_block(levels[i : i + step], width) for i in range(0, len(levels), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _of_block(self, levels: NDArray[np.integer[Any]], width: int) -> Floats:
        (m, n), k = levels.shape, len(self._sizes)
        cell = levels + np.arange(m)[:, None] * width
        sizes = np.bincount(cell.ravel(), minlength=m * width)
        if self._mode == "expected":
            chance = self._expected(sizes)
        else:
            further = self._y[(np.arange(n) + sizes[cell]) % n]
            chance = self._entropies(cell, further, sizes, k)
        gain = chance - self._entropies(cell, self._y, sizes, k)
        result: Floats = gain.reshape(m, width).sum(axis=1) / n
        return result

    def _entropies(self, cell: Counts, y: Counts, sizes: Counts, k: int) -> Floats:
        """Return the entropy of the labels of each cell, times the cell's size."""
        table = np.bincount((cell * k + y).ravel(), minlength=len(sizes) * k)
        inner: Floats = self._weight[table].reshape(-1, k).sum(axis=1)
        return self._weight[sizes] - inner

    def _expected(self, sizes: Counts) -> Floats:
        """Return the expected entropy of as many labels drawn without replacement, times them."""
        met = np.flatnonzero(np.bincount(sizes))
        new = met[np.isnan(self._chance[met])]
        for start in range(0, len(new), 64):
            self._draw(new[start : start + 64])
        chance: Floats = self._chance[sizes]
        return chance

    def _draw(self, drawn: Counts) -> None:
        n, log_factorial = len(self._y), self._log_factorial
        entropy = self._weight[drawn]
        for size in self._sizes:
            mean = drawn * (size / n)
            reach = np.ceil(12.0 * np.sqrt(mean * (1.0 - size / n)) + 20.0)  # the rest is < 1e-16
            low = np.maximum(np.maximum(0, drawn + size - n), np.floor(mean - reach)).astype(int)
            high = np.minimum(np.minimum(drawn, size), np.ceil(mean + reach)).astype(int)
            counts = low[:, None] + np.arange((high - low).max() + 1)
            inside = counts <= high[:, None]
            counts = np.minimum(counts, high[:, None])
            others = drawn[:, None] - counts
            log_share = -(
                log_factorial[counts]
                + log_factorial[size - counts]
                + log_factorial[others]
                + log_factorial[n - size - others]
            )
            share = np.exp(log_share - log_share.max(axis=1, keepdims=True)) * inside
            # one after the other, so that the result does not depend on how wide the table is
            entropy -= (
                np.cumsum(share * self._weight[counts], axis=1)[:, -1]
                / np.cumsum(share, axis=1)[:, -1]
            )
        self._chance[drawn] = entropy
