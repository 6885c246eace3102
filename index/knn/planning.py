"""How far rows must look: planned on a sample of rows whose neighbors are known, before the work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.cells import Cells
from assay.index.vectors._code_kernels import code_keys
from assay.index.vectors.codes import Codes
from assay.index.vectors.exact import Recall, recall_interval

# so much more than what is asked for is planned
_MARGIN = 0.001
# of what was lost although its pairs met
_MORE = 1.5
_LEAST = 0.002
EVERYTHING = float(np.float32(1e18))


@dataclass(frozen=True)
class Plan:
    """What each true pair of the sampled rows needs to meet.

    Attributes
    ----------
    need : float64[sampled, k]
        The least tau at which it does: -inf in one cell, otherwise the lesser of the two distances
        to the plane between the cells.
    n : int
        Rows in all.
    """

    need: NDArray[np.float64]
    n: int

    def tau(self, target_recall: float) -> float:
        """Return the least tau at which the lower end of the recall's interval reaches the target."""
        target = min(target_recall + _MARGIN, 1.0)
        levels = np.unique(self.need[np.isfinite(self.need)])
        if self._low(-np.inf) >= target:
            return 0.0
        low, high = 0, len(levels)
        while low < high:
            middle = (low + high) // 2
            if self._low(levels[middle]) >= target:
                high = middle
            else:
                low = middle + 1
        return float(levels[low]) if low < len(levels) else EVERYTHING

    def _low(self, tau: float) -> float:
        return recall_interval((self.need <= tau).mean(axis=1), self.n).low

    def more(self, tau: float, target_recall: float, reached: Recall) -> float:
        """Return a greater tau, after a join whose lists were still too bad."""
        lost = max(target_recall - reached.low, _LEAST)
        levels = np.sort(self.need.ravel())
        place = int(np.ceil((np.mean(levels <= tau) + _MORE * lost) * len(levels)))
        return max(2 * tau, float(levels[place])) if place < len(levels) else EVERYTHING


def make_plan(
    codes: Codes,
    cells: Cells,
    cell: NDArray[np.int32],
    own: NDArray[np.float32],
    sample: NDArray[np.int64],
    true: NDArray[np.int32],
) -> Plan:
    """Return the plan for sampled rows whose true neighbors int32[sampled, k] are known.

    `cell` is every row's own cell and `own` its squared distance to that centroid.
    """
    ones, twos = np.repeat(sample, true.shape[1]), true.ravel().astype(np.int64)
    need = np.full(len(ones), np.inf)
    listed = twos >= 0
    for i, j in ((ones[listed], twos[listed]), (twos[listed], ones[listed])):
        keys = np.empty(len(i), np.float32)
        code_keys(
            codes.codes, codes.by_distance().facts, i, cells.centroids.codes,
            cells.centroids.facts, cell[j], keys,
        )  # fmt: skip
        apart = cells.apart[cell[i], cell[j]].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            plane = (keys - own[i]).astype(np.float64) / (2 * apart)
        # a row that has no code finds nobody this way
        plane = np.where(np.isnan(plane), np.inf, plane)
        need[listed] = np.minimum(need[listed], np.where(cell[i] == cell[j], -np.inf, plane))
    return Plan(need.reshape(true.shape), len(codes))
