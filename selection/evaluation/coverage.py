"""How far the rows of a pool are from the nearest chosen row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan
from assay.selection.contract.inputs import Floats
from assay.selection.evaluation.estimates import Estimate, Figure, mean_of, quantile_of
from assay.storage.limits import Number, check_parameters

Vectors = NDArray[np.float32]

PORTIONS = (0.5, 0.9, 0.95, 0.99)


def nearest_distances(queries: Vectors, centers: Vectors) -> Floats:
    """Return the Euclidean distance of every query to its nearest center, in double precision.

    The nearest center is found exactly, so that near copies do not suffer from cancellation.

    Parameters
    ----------
    queries : float32[q, d]
    centers : float32[c, d], c >= 1

    Returns
    -------
    float64[q]

    Notes
    -----
    Time O(q c d): see `assay.index.vectors.code_search.exact_knn`.

    Examples
    --------
    >>> import numpy as np
    >>> line = np.array([[0], [1], [5]], dtype=np.float32)
    >>> nearest_distances(line, line[:1]).tolist()
    [0.0, 1.0, 5.0]
    """
    squares, _ = exact_knn(queries, BlockScan(centers, "l2"), 1)
    return np.asarray(np.sqrt(squares[:, 0]))


def partial_cover(distances: Floats, portion: float) -> float:
    """Return the least radius within which at least `portion` of the rows have a chosen row.

    This is the radius of the p-partial r-cover: an order statistic of the distances.

    Raises
    ------
    ConfigError
        `portion` is not in (0, 1].

    References
    ----------
    Zheng, Liu, Lai, Prakash, "Coverage-centric coreset selection for high pruning rates", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> partial_cover(np.array([0.0, 3.0, 1.0, 2.0]), 0.75)
    2.0
    """
    check_parameters(portion=(portion, Number("(0, 1]")))
    place = int(np.ceil(portion * len(distances) * (1 - 2.0**-50))) - 1
    return float(np.partition(distances, place)[place])


def coverage(distances: Floats, is_chosen: NDArray[Any], n: int | None = None) -> dict[str, Figure]:
    """Return all figures of coverage from the distances of rows to their nearest chosen row.

    Parameters
    ----------
    distances : float64[q]
        Of a random sample of the pool, or all of it.
    is_chosen : bool[q]
    n : int, optional
        Rows of the pool that the sample is of; figures then have intervals. By default q.

    Returns
    -------
    dict
        `auc`: area under the radius of the p-partial cover over p from 0 to 1, which is the mean
        distance; `mean_distance` of the rows that were not chosen (absent where all were);
        `max_distance`; `radius_50`, `radius_90`, `radius_95`, `radius_99`.
    """
    held = np.where(is_chosen, 0.0, distances)
    n = len(held) if n is None else n
    figures: dict[str, Figure] = {"auc": mean_of(held, n)}
    if not is_chosen.all():
        apart = held[~is_chosen]
        # as many of the pool as of the sample
        figures["mean_distance"] = mean_of(apart, round(n * len(apart) / len(held)))
    most = float(held.max())
    figures["max_distance"] = most if len(held) >= n else Estimate(most, len(held))
    ordered = np.sort(held)
    for portion in PORTIONS:
        radius = partial_cover(held, portion)
        figures[f"radius_{round(100 * portion)}"] = quantile_of(ordered, portion, radius, n)
    return figures
