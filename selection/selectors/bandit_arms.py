"""The arms of a bandit over clusters: what is known of each, and which rows it has left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.cells import places
from assay.selection.contract.inputs import Floats, Rows


class Arms:
    """Arms by upper confidence bounds; see `assay.selection.selectors.bandit.BanditSelector`.

    Parameters
    ----------
    arm : int64[n]
        Arm of each row.
    noise : float64[n]
        Rows of an arm are drawn in falling order of it.
    reward : callable
        Returns the rewards of rows.
    nearness : float64[arms, arms], optional
        Weight of the rewards of arm j for arm i, 1 on the diagonal.
    probe : int
    exploration : float

    Attributes
    ----------
    rewards : float64[n]
        NaN where a row was not rewarded.
    """

    def __init__(
        self,
        arm: NDArray[np.int64],
        noise: Floats,
        reward: Callable[[Rows], Floats],
        nearness: Floats | None,
        probe: int,
        exploration: float,
    ) -> None:
        self.arm, self.reward, self.nearness = arm, reward, nearness
        self.probe, self.exploration = int(probe), float(exploration)
        self.sizes = np.bincount(arm)
        # the rows arm by arm, each in the order in which it is drawn from
        self.place = places(arm, -noise)
        self.order = np.lexsort((self.place, arm))
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.rewards = np.full(len(arm), np.nan)
        self.sums, self.counts = np.zeros(len(self.sizes)), np.zeros(len(self.sizes))
        self.spread = 0.0

    def begin(self) -> Floats:
        """Reward the first rows of every arm and return the mean of each."""
        rows = np.flatnonzero(self.place < self.probe)
        self._learn(rows)
        count = np.bincount(self.arm[rows])
        means: Floats = np.bincount(self.arm[rows], weights=self.rewards[rows]) / count
        within = self.rewards[rows] - means[self.arm[rows]]
        self.spread = float(np.sqrt((within**2).sum() / max(1, len(rows) - len(count))))
        return means

    def draw(self, budget: int, rounds: int) -> tuple[Rows, NDArray[np.int64]]:
        """Draw `budget` rows; return them in order, with the round of each."""
        at_once = max(1, len(self.sizes) // 20)
        batch = -(-budget // (int(rounds) * at_once))
        drawn = np.zeros(len(self.sizes), dtype=np.int64)
        chosen: list[Rows] = []
        left, numbers = budget, []
        while left:
            bonus = np.sqrt(2 * np.log(self.counts.sum() + 1) / self.counts)
            bounds = self.means() + self.exploration * self.spread * bonus
            bounds[drawn == self.sizes] = -np.inf
            best = np.argsort(-bounds, kind="stable")[:at_once]
            counts = np.minimum(batch, (self.sizes - drawn)[best])
            counts = np.minimum(counts, np.maximum(left - (np.cumsum(counts) - counts), 0))
            parts = [
                self.order[self.starts[a] + drawn[a] : self.starts[a] + drawn[a] + count]
                for a, count in zip(best, counts, strict=True)
            ]
            drawn[best] += counts
            left -= int(counts.sum())
            chosen += parts
            numbers.append(int(counts.sum()))
            unknown = [part[np.isnan(self.rewards[part])][: self.probe] for part in parts]
            self._learn(np.concatenate(unknown))
        return np.concatenate(chosen), np.repeat(np.arange(1, len(numbers) + 1), numbers)

    def means(self) -> Floats:
        found: Floats = self.sums / self.counts
        return found

    def _learn(self, rows: Rows) -> None:
        """Reward rows, and let arms near theirs learn from them too."""
        if not len(rows):
            return
        self.rewards[rows] = self.reward(rows)
        sums = np.bincount(self.arm[rows], weights=self.rewards[rows], minlength=len(self.sizes))
        counts = np.bincount(self.arm[rows], minlength=len(self.sizes)).astype(np.float64)
        if self.nearness is not None:
            sums = np.einsum("ij,j->i", self.nearness, sums)
            counts = np.einsum("ij,j->i", self.nearness, counts)
        self.sums += sums
        self.counts += counts
