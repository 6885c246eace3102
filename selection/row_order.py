"""An order of rows that depends on their contents only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.storage.rowhash import hash_rows


def rows_by_content(X: NDArray[Any], y: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Return the positions of the rows in the order of their hashes, equal rows in that of y.

    What draws rows at random draws them in this order, so that it does not depend on theirs.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.row_order import rows_by_content
    >>> X = np.arange(6.0).reshape(3, 2)
    >>> X[rows_by_content(X)].tolist() == X[::-1][rows_by_content(X[::-1])].tolist()
    True
    """
    first, second = hash_rows(np.ascontiguousarray(X)).T
    keys = (second, first) if y is None else (y, second, first)
    order: NDArray[np.int64] = np.lexsort(keys)
    return order
