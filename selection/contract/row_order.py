"""An order of rows that depends on their contents only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from assay.storage.hashing.rows import hash_rows

BLOCK_VALUES = 1 << 20


def rows_by_content(X: Any, y: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Return the positions of the rows in the order of their hashes, equal rows in that of y.

    What draws rows at random draws them in this order, so that it does not depend on theirs. A
    sparse matrix gives the order of the dense one.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.contract.row_order import rows_by_content
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> X[rows_by_content(X)].tolist() == X[::-1][rows_by_content(X[::-1])].tolist()
    True
    """
    first, second = row_hashes(X).T
    keys = (second, first) if y is None else (y, second, first)
    order: NDArray[np.int64] = np.lexsort(keys)
    return order


def row_hashes(X: Any, salt: int = 0) -> NDArray[np.uint64]:
    """Return `hash_rows` of a dense or sparse matrix; a sparse one is made dense by blocks of rows."""
    if not issparse(X):
        return hash_rows(np.ascontiguousarray(X), salt=salt)
    rows = X.tocsr()
    height = max(1, BLOCK_VALUES // X.shape[1])
    blocks = (rows[i : i + height].toarray() for i in range(0, X.shape[0], height))
    return np.concatenate([hash_rows(block, salt=salt) for block in blocks])
