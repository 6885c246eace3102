"""The forms in which vectors are given: columns of frames, Arrow lists, tensors, sparse matrices.

Everything becomes an array of NumPy here; `assay.index.vectors.checks.as_vectors` checks it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from scipy import sparse

from assay.storage.errors import InputError

PROJECTED = 1_024
"""Sparse rows of more columns are projected on so many."""


def as_array(X: Any, what: str = "vectors") -> np.ndarray[Any, Any]:
    """Return vectors as an array, whatever holds them.

    Parameters
    ----------
    X : object
        An array or nested lists; a Series or list of lists or arrays; an Arrow array of lists; a
        frame of numbers; a tensor (what has ``__array__`` or ``__dlpack__``; gradients are left out
        and bfloat16 is widened); a sparse matrix of SciPy, which becomes dense where it has at most
        1,024 columns, and otherwise is projected on 1,024 by scikit-learn's SparseRandomProjection
        with the seed 0, which depends on the number of columns alone: queries are projected alike.
    what : str
        What error messages call it.

    Raises
    ------
    InputError
        Rows of several lengths, missing rows, or no numbers.

    Examples
    --------
    >>> as_array(pl.Series([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> as_array(sparse.eye_array(3, format="csr")).shape, as_array(sparse.csr_array((2, 5000))).shape
    ((3, 3), (2, 1024))
    """
    if sparse.issparse(X):
        return _dense(X)
    if isinstance(X, pl.DataFrame):
        return X.to_numpy()
    if isinstance(X, pl.Series | pa.Array | pa.ChunkedArray) or _is_arrow(X):
        return _from_lists(pl.Series(X), what)
    try:
        array = np.asarray(_tensor(X))
    except (TypeError, RuntimeError) as error:
        if isinstance(X, list | tuple):
            return _stacked(X, what)
        raise InputError(f"The {what} can't be read as an array: {error}.") from None
    except ValueError as error:
        raise InputError(f"The {what} must be rows of equal length: {error}.") from None
    if array.dtype == object and array.ndim == 1 and len(array):
        return _stacked(array, what)
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    return array


def as_queries(Q: Any) -> np.ndarray[Any, Any]:
    """Return queries as rows; one vector is one row.

    Examples
    --------
    >>> as_queries([1.0, 2.0]).shape
    (1, 2)
    """
    array = as_array(Q, "queries")
    return array[None] if array.ndim == 1 else array


def _is_arrow(X: Any) -> bool:
    return hasattr(X, "__arrow_c_array__") and not hasattr(X, "__array__")


def _tensor(X: Any) -> Any:
    """Return what NumPy can take: a tensor without gradients, on this machine, of a type NumPy has."""
    if isinstance(X, np.ndarray | list | tuple):
        return X
    if hasattr(X, "__dlpack__") and not hasattr(X, "__array__"):
        return np.from_dlpack(X)
    try:
        return np.asarray(X)
    except (TypeError, RuntimeError):
        # PyTorch's own refusals: gradients, another device, bfloat16
        for method in ("detach", "cpu", "float"):
            X = getattr(X, method, lambda given=X: given)()
        return X


def _from_lists(column: pl.Series, what: str) -> np.ndarray[Any, Any]:
    if not isinstance(column.dtype, pl.List | pl.Array):
        return column.to_numpy()
    if column.null_count():
        missing = int(column.is_null().arg_max() or 0)
        raise InputError(f"The {what} have missing rows: row {missing} is null. Leave them out.")
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    lengths = column.list.len()
    if lengths.n_unique() > 1:
        raise InputError(
            f"The {what} must be rows of equal length, and have {lengths.min()!r} to "
            f"{lengths.max()!r} numbers."
        )
    length = int(lengths[0]) if len(column) else 0
    if not length:
        return np.empty((len(column), 0), np.float32)
    flat = column.explode()
    if flat.null_count():
        raise InputError(f"The {what} have null among their numbers. Repair or drop these rows.")
    return flat.to_numpy().reshape(len(column), length)


def _stacked(rows: Any, what: str) -> np.ndarray[Any, Any]:
    try:
        return np.stack([np.asarray(_tensor(row)) for row in rows])
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"The {what} must be rows of equal length: {error}.") from None


def _dense(X: Any) -> np.ndarray[Any, Any]:
    if X.shape[1] <= PROJECTED:
        dense: np.ndarray[Any, Any] = X.toarray()
        return dense
    from sklearn.random_projection import SparseRandomProjection

    projection = SparseRandomProjection(PROJECTED, random_state=0, dense_output=True)
    projected = projection.fit(sparse.csr_matrix((1, X.shape[1]))).transform(
        sparse.csr_matrix(X, dtype=np.float64)
    )
    return np.asarray(projected)
