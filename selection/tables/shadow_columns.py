"""Which columns a forest finds more useful than the best of columns that say nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from assay.selection.contract.inputs import derived_seed
from assay.selection.tables.blocks import dense_rows
from assay.storage.hashing.rows import uniform

ROUNDS = 10
TREES = 150
# beyond so many columns the best of the ranking are compared
MOST_COLUMNS, COMPARED = 5_000, 2_000


def beat_shadows(
    X: Any, y: NDArray[np.int64], order: NDArray[np.int64], random_state: int = 0
) -> NDArray[np.bool_]:
    """Return which columns beat the best shadow in more than half of ten rounds (Boruta).

    In each round every column gets a shadow, its values in another order, and a forest of 150
    extremely randomized trees is fitted on both. The best shadow is what chance reaches.

    Parameters
    ----------
    X : array or sparse matrix of shape (n, d)
    y : int64[n], class codes
    order : int64[d]
        Columns, best first: the first 2,000 are compared where there are more than 5,000.
    random_state : int

    Notes
    -----
    The order of a shadow comes from the column's content, so that the place of a column in the table
    does not matter. Memory 2 n values for each column compared.

    References
    ----------
    Kursa and Rudnicki, "Feature selection with the Boruta package", 2010.
    """
    d = X.shape[1]
    compared = np.sort(order[:COMPARED]) if d > MOST_COLUMNS else np.arange(d)
    columns = np.ascontiguousarray(dense_rows(X, compared), dtype=np.float32)
    content = uniform(columns, 0)
    by_content = np.lexsort((compared, content))
    compared, columns, content = compared[by_content], columns[by_content], content[by_content]
    wins = np.zeros(len(compared), dtype=np.int64)
    for turn in range(ROUNDS):
        shadows = np.empty_like(columns)
        for place, column in enumerate(columns):
            seed = derived_seed(random_state, f"shadow/{turn}/{content[place]!r}")
            shadows[place] = np.random.default_rng(seed).permutation(column)
        forest = ExtraTreesClassifier(
            n_estimators=TREES,
            max_features="sqrt",
            random_state=derived_seed(random_state, f"shadow/{turn}") % 2**32,
        )
        forest.fit(np.concatenate([columns, shadows]).T, y)
        importance = forest.feature_importances_
        wins += importance[: len(compared)] > importance[len(compared) :].max()
    hits = np.zeros(d, dtype=np.bool_)
    hits[compared] = 2 * wins > ROUNDS
    return hits
