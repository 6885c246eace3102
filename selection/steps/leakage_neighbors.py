"""Rows of the pool whose vectors lie next to an item of an evaluation set."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from assay.selection.contract.inputs import Inputs
from assay.storage.errors import ConfigError, InputError

# rows of the pool, and items, compared at a time
_ROWS, _ITEMS = 8_192, 1_024


def leak_neighbors(
    X: ArrayLike, items: ArrayLike, *, threshold: float = 0.95, ids: Any = None
) -> pl.DataFrame:
    r"""Return the rows whose cosine with the nearest item is at least `threshold`.

    Reworded items share no run of words with a row; a close neighbour is a hint, to be looked at, and
    no proof. What is close depends on the embedder: 0.95 suits hashed n-grams and most sentence
    models.

    Parameters
    ----------
    X : array of shape (n, d)
        Vectors of the pool.
    items : array of shape (m, d)
        Vectors of the items, made by the same embedder.
    threshold : float in (-1, 1], default 0.95
    ids : n unique texts or whole numbers, optional
        Where None, the positions.

    Returns
    -------
    pl.DataFrame
        sample_id, item (row of `items`), similarity; the most similar first, ties by sample_id.

    Raises
    ------
    ConfigError, InputError
        The threshold is out of range, or the vectors differ in length.

    Notes
    -----
    O(n m d) time in blocks, O(n) memory beside the vectors.

    Examples
    --------
    >>> leak_neighbors([[1.0, 0.0], [0.0, 1.0]], [[0.1, 1.0]])["sample_id"].to_list()
    ['1']
    """
    if not -1 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold!r}; pass a cosine in (-1, 1].")
    pool = Inputs(X=X, ids=ids)
    vectors = pool.vectors()
    others = Inputs(X=items).vectors()
    if vectors.shape[1] != others.shape[1]:
        raise InputError(
            f"The pool's vectors have {vectors.shape[1]} numbers and the items' {others.shape[1]}; "
            "make both with one embedder."
        )
    best = np.full(pool.n, -np.inf, dtype=np.float32)
    which = np.zeros(pool.n, dtype=np.int64)
    with threadpool_limits(1, user_api="blas"):
        for first in range(0, len(others), _ITEMS):
            part = _unit(others[first : first + _ITEMS])
            for start in range(0, pool.n, _ROWS):
                rows = slice(start, min(start + _ROWS, pool.n))
                cosine = _unit(vectors[rows]) @ part.T
                nearest = cosine.argmax(axis=1)
                value = cosine[np.arange(len(nearest)), nearest]
                closer = value > best[rows]
                best[rows][closer] = value[closer]
                which[rows][closer] = nearest[closer] + first
    found = np.flatnonzero(best >= threshold)
    return pl.DataFrame(
        {
            "sample_id": pool.ids.gather(found),
            "item": which[found],
            "similarity": best[found].astype(np.float64),
        }
    ).sort("similarity", "sample_id", descending=[True, False])


def _unit(X: Any) -> Any:
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(length > 0, length, 1)
