"""How far rows lie from known ones, and how far that is from chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.search.vector_index import VectorIndex
from assay.selection.contract.inputs import Floats

Vectors = NDArray[np.float32]


class KnownDistances(NamedTuple):
    """Distances to the k-th known row: of the rows asked for, and of each known row to the others."""

    asked: Floats
    known: Floats
    k: int

    def p_values(self) -> Floats:
        r"""Return for each row asked for the share of known rows that lie as far or further.

        .. math:: p_i = \frac{1 + \lvert \{ j : d_j \ge d_i \} \rvert}{m + 1}

        A conformal p-value: uniform for rows that are drawn as the known ones were.
        """
        ascending = np.sort(self.known)
        further = len(ascending) - np.searchsorted(ascending, self.asked, side="left")
        return np.asarray((1.0 + further) / (1.0 + len(ascending)))


def known_distances(rows: Vectors, known: Vectors, k: int) -> KnownDistances:
    """Return Euclidean distances to the k-th nearest of the known rows, which must differ.

    Notes
    -----
    One search of n + m rows among m; see `VectorIndex`.
    """
    index = VectorIndex.from_vectors(known, metric="l2")
    reach = min(k, len(known))
    distances, _ = index.search_keys(rows, reach)
    own = np.empty(0)
    if len(known) > 1:
        among_others = min(k, len(known) - 1)
        own = index.search_keys(known, among_others + 1)[0][:, among_others]
    return KnownDistances(np.sqrt(distances[:, reach - 1]), np.sqrt(own), reach)


def discoveries(p_values: Floats, rate: float) -> NDArray[np.bool_]:
    """Return which hypotheses Benjamini and Hochberg reject at a false discovery rate.

    Examples
    --------
    >>> discoveries(np.array([0.001, 0.9, 0.02, 0.04]), 0.05).tolist()
    [True, False, True, False]
    """
    n = len(p_values)
    ascending = np.sort(p_values)
    below = np.flatnonzero(ascending <= rate * np.arange(1, n + 1) / n)
    if not len(below):
        return np.zeros(n, dtype=np.bool_)
    return np.asarray(p_values <= ascending[below[-1]])
