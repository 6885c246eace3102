"""Missing values of a matrix: how many there are in each column, and filling them as declared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import issparse

from assay.selection.tables.blocks import dense_column

TREATMENTS = ("raise", "median")
BLOCK_VALUES = 1 << 20


def count_missing(X: Any) -> NDArray[np.int64]:
    """Return the number of NaN in every column.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.missing_values import count_missing
    >>> count_missing(np.array([[np.nan, 1.0], [np.nan, 2.0]]))
    array([2, 0])
    """
    n, d = X.shape
    if X.dtype.kind != "f":
        return np.zeros(d, dtype=np.int64)
    if issparse(X):
        column = np.repeat(np.arange(d), np.diff(X.indptr))
        return np.bincount(column[np.isnan(X.data)], minlength=d)
    width = max(1, BLOCK_VALUES // n)
    parts = [np.isnan(X[:, i : i + width]).sum(axis=0) for i in range(0, d, width)]
    return np.concatenate(parts).astype(np.int64)


def fill_medians(X: Any, counts: NDArray[np.int64]) -> Any:
    """Return X with NaN replaced by its column's lower median, which is one of its values.

    Columns of NaN only become 0. X itself is not changed; it is copied where something is missing.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
    counts : int64[d]
        As `count_missing` gives them.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.missing_values import count_missing, fill_medians
    >>> X = np.array([[np.nan, 1.0], [5.0, 2.0], [4.0, 3.0]])
    >>> fill_medians(X, count_missing(X))
    array([[4., 1.],
           [5., 2.],
           [4., 3.]])
    """
    if not counts.any():
        return X
    filled = X.copy()
    for j in np.flatnonzero(counts):
        column = dense_column(X, int(j))
        present = column[~np.isnan(column)]
        median = np.sort(present)[(len(present) - 1) // 2] if len(present) else 0.0
        if issparse(X):
            data = filled.data[filled.indptr[j] : filled.indptr[j + 1]]
            data[np.isnan(data)] = median
        else:
            filled[np.isnan(column), j] = median
    return filled


def missing_report(names: Sequence[str], n: int, counts: NDArray[np.int64]) -> pl.DataFrame:
    """Return feature, missing (values), share and treatment of every column."""
    treatment = np.where(counts == 0, "none", np.where(counts == n, "zero", "median"))
    return pl.DataFrame(
        {
            "feature": list(names),
            "missing": counts,
            "share": counts / n,
            "treatment": treatment.tolist(),
        },
        schema_overrides={"feature": pl.String},
    )
