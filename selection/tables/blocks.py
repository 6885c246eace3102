"""Columns of a dense or sparse matrix, in blocks, as rankers read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, issparse

from assay.selection.contract.inputs import Floats
from assay.storage.errors import ConfigError

Columns = slice | NDArray[Any]


class ColumnBlock(NamedTuple):
    """Some columns of a table, all rows of them.

    Attributes
    ----------
    X : array of shape (n, m)
        Finite numbers.
    names : sequence of str, length m
    discrete : bool[m] or None
        Columns whose values are names rather than amounts.
    """

    X: NDArray[Any]
    names: Sequence[str]
    discrete: NDArray[np.bool_] | None = None


def by_columns(X: Any) -> Any:
    """Return a sparse matrix as `csc_array` without duplicates and stored zeros; others as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from assay.selection.tables.blocks import by_columns
    >>> by_columns(csr_array(np.eye(2))).format
    'csc'
    """
    if not issparse(X):
        return X
    sparse = csc_array(X)
    if not sparse.has_canonical_format or (sparse.data == 0).any():
        sparse = sparse.copy()
        sparse.sum_duplicates()
        sparse.eliminate_zeros()
    return sparse


def dense_rows(X: Any, columns: Columns) -> Floats:
    """Return some columns as rows of a dense, C-contiguous float64 array.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csc_array
    >>> from assay.selection.tables.blocks import dense_rows
    >>> dense_rows(csc_array(np.array([[0, 1, 2], [3, 0, 0]])), slice(1, 3))
    array([[1., 0.],
           [2., 0.]])
    """
    block = X[:, columns].toarray().T if issparse(X) else X.T[columns]
    return np.ascontiguousarray(block, dtype=np.float64)


def dense(X: Any) -> NDArray[Any]:
    """Return the matrix as an array; a dense one is not copied."""
    return np.asarray(X.toarray() if issparse(X) else X)


def dense_column(X: Any, j: int | np.integer[Any]) -> NDArray[Any]:
    """Return one column as a dense array of X's dtype."""
    column: NDArray[Any] = dense(X[:, [j]])[:, 0] if issparse(X) else X[:, j]
    return column


def bounds(X: Any) -> tuple[Floats, Floats]:
    """Return the smallest and largest value of every column; NaN where the column holds NaN."""
    if issparse(X):
        low, high = (np.asarray(f(axis=0).toarray()).ravel() for f in (X.min, X.max))
    else:
        low, high = X.min(axis=0), X.max(axis=0)
    return low.astype(np.float64), high.astype(np.float64)


def column_mask(columns: Any, d: int) -> NDArray[np.bool_] | None:
    """Return the mask bool[d] of columns given as mask or as positions; None for none.

    Raises
    ------
    ConfigError
        Neither a mask of d booleans nor positions below d.
    """
    if columns is None:
        return None
    listed = np.asarray(columns)
    mask = np.zeros(d, dtype=bool)
    if listed.dtype == bool and listed.shape == (d,):
        return listed
    if listed.dtype.kind in "iu" and listed.ndim == 1 and ((listed >= 0) & (listed < d)).all():
        mask[listed] = True
    elif listed.size:
        raise ConfigError(
            f"discrete_features is {columns!r}; it may be a mask of {d} booleans or positions from "
            f"0 to {d - 1}."
        )
    return mask
