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
    """Hash the values of every row of a dense or sparse matrix.

    Values are hashed as float64, so that equal numbers of any type, and 0.0 and -0.0, have one hash.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.contract.row_order import row_hashes
    >>> X = np.array([[0, 1], [2, 3]])
    >>> bool((row_hashes(X.astype(np.uint8)) == row_hashes(-1.0 * -X)).all())
    True
    """
    rows = X.tocsr() if issparse(X) else np.asarray(X)
    height = max(1, BLOCK_VALUES // max(1, X.shape[1]))
    blocks = (rows[begin : begin + height] for begin in range(0, X.shape[0], height))
    return np.concatenate(
        [
            np.empty((0, 2), np.uint64),
            *(hash_rows(_as_values(block), salt=salt) for block in blocks),
        ]
    )


def _as_values(block: Any) -> NDArray[np.float64]:
    dense = block.toarray() if issparse(block) else block
    # adding zero turns -0.0 into 0.0
    return np.ascontiguousarray(dense, dtype=np.float64) + 0.0
