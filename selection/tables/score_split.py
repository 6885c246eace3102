"""Where a list of scores falls best into two groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def split_count(scores: NDArray[np.float64]) -> int:
    """Return how many scores lie above the best split, at least 1.

    The split of the sorted scores into two groups with the smallest sum of squared deviations from
    the groups' means (two-means in one dimension, exactly); of several the one with fewest above.

    Notes
    -----
    O(d log d) time. Scaling or shifting the scores changes nothing.

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on Systems,
    Man, and Cybernetics 9, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.score_split import split_count
    >>> split_count(np.array([0.1, 5.0, 0.2, 0.0, 4.8]))
    2
    """
    d = len(scores)
    if d < 2 or scores.max() == scores.min():
        return 1
    descending = np.sort(scores)[::-1] - scores.min()
    above = np.arange(1, d)
    total = np.cumsum(descending)[:-1]
    mean_above = total / above
    mean_below = (descending.sum() - total) / (d - above)
    between = above * (d - above) * np.square(mean_above - mean_below)
    return int(between.argmax()) + 1
