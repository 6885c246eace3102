"""Absolute rank correlations between all columns, summed without their matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.stats import rankdata

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.storage.hashing.rows import hash_rows

Positions = NDArray[np.int64]

TILE = 2048  # columns; a tile of correlations is 32 MiB
BLOCK_VALUES = 1 << 20


class AbsoluteSpearman:
    """The matrix |rho| of Spearman's rank correlations, as an operator on the distinct columns.

    Columns with the same ranks, or reversed ranks, are one column here. A constant column has
    correlation 0 with every column, itself too.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
        Finite numbers.

    Attributes
    ----------
    group : int64[d]
        Which distinct column each column of X is. Distinct columns are in order of the hash of
        their ranks: any run of them is a random sample, and it does not depend on the order of the
        columns of X.
    size : int
        Number of distinct columns.

    Notes
    -----
    One product takes n size^2 multiply-adds of BLAS in one thread and O(tile) memory beside
    float32[size, n] ranks; up to 2048 distinct columns the correlations are kept. Ranks are counted
    from their mean in half steps, so that products of two columns are exact up to 200,000 rows.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.rank_correlation import AbsoluteSpearman
    >>> spearman = AbsoluteSpearman(np.array([[1.0, 9, 5], [2, 4, 5], [3, 1, 5]]))
    >>> spearman.size
    2
    >>> spearman.times(np.ones(2))[spearman.group]
    array([1., 1., 0.])
    """

    def __init__(self, X: Any) -> None:
        n, d = X.shape
        ranks = np.empty((d, n), dtype=np.float32)
        width = max(1, BLOCK_VALUES // n)
        for start in range(0, d, width):
            block = (
                X[:, start : start + width].toarray().T
                if issparse(X)
                else X.T[start : start + width]
            )
            ranks[start : start + width] = _centered_ranks(block)
        _, first, group = np.unique(
            hash_rows(ranks), axis=0, return_index=True, return_inverse=True
        )
        self._ranks = ranks if len(first) == d else ranks[first]
        self._place = first if len(first) == d else np.arange(len(first))
        self.group: Positions = group.ravel().astype(np.int64)
        self.size = len(first)
        squares = np.einsum("ij,ij->i", ranks, ranks, dtype=np.float64)[first]
        self._scale = np.where(squares > 0, 1.0 / np.sqrt(np.maximum(squares, 1.0)), 0.0)
        self._kept: Floats | None = None

    def times(self, x: Floats) -> Floats:
        """Return sum_j |rho_ij| x_j of every distinct column i."""
        scaled = self._scale * x
        result = np.zeros(self.size)
        with one_thread("blas"):
            for i in range(0, self.size, TILE):
                for j in range(i, self.size, TILE):
                    tile = self._tile(i, j)
                    rows, columns = slice(i, i + len(tile)), slice(j, j + tile.shape[1])
                    result[rows] += tile @ scaled[columns]
                    if j > i:
                        result[columns] += scaled[rows] @ tile
        return self._scale * result

    def sums(self, rows: Positions, columns: Positions, x: Floats) -> Floats:
        """Return sum_j |rho_ij| x_j of the distinct columns i in `rows`, j running over `columns`."""
        scaled = self._scale[columns] * x
        result = np.zeros(len(rows))
        with one_thread("blas"):
            for i in range(0, len(rows), TILE):
                left = self._take(rows[i : i + TILE])
                for j in range(0, len(columns), TILE):
                    tile = np.abs(left @ self._take(columns[j : j + TILE]).T)
                    result[i : i + TILE] += tile @ scaled[j : j + TILE]
        return self._scale[rows] * result

    def _take(self, which: slice | Positions) -> Floats:
        return self._ranks[self._place[which]].astype(np.float64)

    def _tile(self, i: int, j: int) -> Floats:
        if self._kept is not None:
            return self._kept
        left = self._take(slice(i, i + TILE))
        tile: Floats = left @ (left if i == j else self._take(slice(j, j + TILE))).T
        np.abs(tile, out=tile)
        if self.size <= TILE:
            self._kept = tile
        return tile


def _centered_ranks(columns: NDArray[Any]) -> Floats:
    """Twice the mid-ranks less their mean, the first that is not 0 above 0."""
    ranks: Floats = 2.0 * rankdata(columns, axis=1) - (columns.shape[1] + 1)
    leading = np.take_along_axis(ranks, (ranks != 0).argmax(axis=1)[:, None], axis=1)
    return ranks * np.where(leading < 0, -1.0, 1.0) + 0.0
