"""From what samples took to what the whole pool will take: how each stage's costs grow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from assay.flows.estimate.measuring import StageCost
from assay.selection.algorithms.cells import AT_ONCE, PER_CELL
from assay.selection.selectors.stratified import cell_counts

# up to here the whole pool is the sample: three small ones would cost as much
_WHOLE = 10_000
# rows of the largest of three samples where little is known of the memory: its share of the pool, and most
_SHARE, _UNKNOWN = 8, 40_000
# else: the cube root of the pool's rows times this, which is 4,000 of 30,000
_BY_ROOT, _LEAST, _MOST = 4_000 / 30_000 ** (1 / 3), 4_000, 8_000
# how much smaller the one before it is, by `known`
_SMALLER = {True: 4, False: 2}
# most rows of the first, which loads and compiles everything so that the others show the rows alone
_FIRST = 2_000
# rows that samples fit the embedder on: the largest, and the others
_FITTED, _FITTED_FIRST = 2_000, 500
# bytes for a row that a fit takes beyond its tables: 7,000 where it was measured
_FIT_ROW = 10_000
# powers of the rows that the time of a fit grows with (fewer and fewer words are new), and that of a graph
# by codes (measured from 4,000 to 1,000,000 rows)
_FIT_GROWTH, _GRAPH_GROWTH = 1 / 2, 7 / 6
# passes of k-means over the rows that it trains on: for its seeds, and six iterations
_PASSES = 8
# cells that take as long as all else does for a row that meets them, at once and in two steps
_OWN, _OWN_IN_STEPS = 400, 10
# texts up to which the rarest words stay as rare, however many there are
_FEW = 25_600
# peaks of the same run differ: by up to 6 % where they were measured
_MARGIN = 1.05
# what an allocator keeps that gives nothing back at once, measured at 1,000 to 100,000 rows: as much
# from 10,000 rows on, less below; more once texts were read for the judgement
_HELD, _HELD_LATE, _HELD_ROWS = 60 * 2**20, 130 * 2**20, 10_000
_LATE = ("select", "judge", "persist", "publish")
# stages that hold nothing yet
_EARLY = ("start", "plan")


def sample_sizes(rows: int, *, known: bool = True) -> tuple[int, ...]:
    """Return how many rows the samples have, in the order in which they are run.

    Parameters
    ----------
    rows : int
        Of the pool.
    known : bool
        Whether the memory for a row is known, so that the samples need not tell it.

    Examples
    --------
    >>> sample_sizes(1_500), sample_sizes(20_000), sample_sizes(1_000_000)
    ((1500,), (1000, 1000, 4000), (2000, 2000, 8000))
    >>> sample_sizes(1_000_000, known=False)
    (2000, 20000, 40000)
    """
    if rows <= _WHOLE:
        return (rows,)
    if known:
        larger = max(_LEAST, min(int(_BY_ROOT * rows ** (1 / 3)), _MOST))
    else:
        larger = max(_LEAST // 2, min(rows // _SHARE, _UNKNOWN))
    smaller = larger // _SMALLER[known]
    return min(smaller, _FIRST), smaller, larger


def fitted_rows(size: int, sizes: Sequence[int]) -> int | None:
    """Return how many rows a sample fits its embedder on at most; None: as many as the run does.

    Examples
    --------
    >>> [fitted_rows(size, (1_000, 1_000, 4_000)) for size in (1_000, 4_000)]
    [500, 2000]
    """
    if len(sizes) == 1:
        return None
    return _FITTED if size == max(sizes) else _FITTED_FIRST


@dataclass(frozen=True)
class Sample:
    """What was measured of one sample.

    Attributes
    ----------
    rows : int
    fitted : int
        Rows that the embedder was fitted on.
    stages : sequence of StageCost
        Their memory is that of the whole process.
    held : int
        Bytes resident when the sample began.
    after : sequence of int
        Bytes resident when each stage had ended.
    """

    rows: int
    fitted: int
    stages: Sequence[StageCost]
    held: int
    after: Sequence[int]


@dataclass(frozen=True)
class Costs:
    """What was measured of samples, run one after the other in one process.

    The first tells what is loaded and compiled once; the two after it, whose difference is rows alone,
    how costs grow. One sample: it is the whole pool.

    Attributes
    ----------
    samples : sequence of one Sample or of three
    rows : int
        Of the pool.
    fit_rows : int
        Rows that the embedder of the run is fitted on.
    by_words : bool
        Whether the graph joins texts by their words, too.
    by_cells : bool
        Whether the selector clusters the rows.
    most_per_row : int or None
        Bytes for a row of many in the largest stage, where they are known. Small samples show more,
        because buffers that end at a few hundred thousand rows still grow.

    Examples
    --------
    >>> def at(n, start):
    ...     return Sample(n, n, [StageCost("read", n / 100, n / 100, start + 2 * n, 3 * n)], start, [start])
    >>> costs = Costs((at(10, 500), at(100, 500), at(200, 500)), 1_000, 10)
    >>> costs.of(1_000)[0].cpu_seconds, costs.of(1_000)[0].disk
    (10.0, 3000)
    """

    samples: Sequence[Sample]
    rows: int
    fit_rows: int
    by_words: bool = False
    by_cells: bool = False
    most_per_row: int | None = None

    def of(self, rows: int) -> tuple[StageCost, ...]:
        """Estimate what the stages take for a number of rows."""
        return tuple(self._stage(place, rows) for place in range(len(self.samples[0].stages)))

    def _stage(self, place: int, rows: int) -> StageCost:
        cost = self.samples[0].stages[place]
        if len(self.samples) == 1:
            memory = round(_MARGIN * (cost.memory + held_back(cost.stage, self.samples[0].rows)))
            return StageCost(**(asdict(cost) | {"memory": memory}))
        values = {
            name: self._extrapolated(place, rows, name)
            for name in ("cpu_seconds", "seconds", "disk")
        }
        if cost.stage == "fit":
            # an embedder is as large, whatever it was fitted on
            values["disk"] = self.samples[-1].stages[place].disk
        values["disk"] = round(values["disk"])
        most = self._memory(place, rows) + held_back(cost.stage, rows)
        return StageCost(cost.stage, memory=round(_MARGIN * most), **values)  # type: ignore[arg-type]

    def _extrapolated(self, place: int, rows: int, name: str) -> float:
        """Return what was measured of the first sample, and what the rows beyond it add."""
        first, smaller, larger = self.samples
        stage = first.stages[place].stage
        time = name != "disk"
        before, here, later = (
            self._scale(stage, n, fitted, time=time)
            for n, fitted in (
                (smaller.rows, smaller.fitted),
                (larger.rows, larger.fitted),
                (rows, min(rows, self.fit_rows)),
            )
        )
        low, high = (getattr(s.stages[place], name) for s in (smaller, larger))
        slope = max(0.0, (high - low) / (here - before)) if here > before else 0.0
        base, at = (first, self._scale(stage, first.rows, first.fitted, time=time))
        return float(getattr(base.stages[place], name)) + slope * (later - at)

    def _memory(self, place: int, rows: int) -> float:
        """Return what is loaded, as the first sample showed, and what the rows take beside it."""
        first, smaller, larger = self.samples
        stage = first.stages[place].stage
        if place == 0:
            return first.stages[0].memory
        low, high = (s.stages[place].memory - s.held for s in (smaller, larger))
        if stage == "fit":
            # its tables are as large from about 2,000 rows on
            before, here, later = smaller.fitted, larger.fitted, min(rows, self.fit_rows)
            most: float | None = _FIT_ROW * (later - here)
        else:
            before, here, later = smaller.rows, larger.rows, rows
            most = self._most(rows - here)
        slope = max(0.0, (high - low) / (here - before)) if here > before else 0.0
        more = slope * (later - here)
        return first.after[place] + max(0, high) + (more if most is None else min(more, most))

    def _most(self, rows: int) -> float | None:
        """Return what so many rows more take at most, where that is known."""
        if self.most_per_row is None or rows <= 0:
            return None
        return float(self.most_per_row * rows)

    def _scale(self, stage: str, rows: int, fitted: int, *, time: bool) -> float:
        """Return what a stage's cost grows in proportion to."""
        if stage == "fit":
            return float(fitted**_FIT_GROWTH) if time else fitted
        if stage == "graph" and time and self.by_words:
            # every text meets those of its words, of which none is in more than so many texts
            return rows * max(1.0, rows / _FEW)
        if stage == "graph" and time:
            return float(rows**_GRAPH_GROWTH)
        if stage == "select" and time and self.by_cells:
            return self._clustered(rows)
        if stage == "judge" and time:
            # much of it looks at samples of the pool and of what is chosen
            return math.sqrt(rows)
        return rows

    def _clustered(self, rows: int) -> float:
        """Return what clustering takes: passes over the rows it trains on, and one over all."""
        cells = cell_counts(rows)[0]
        in_steps = cell_counts(self.rows)[0] > AT_ONCE
        met = 2 * (math.sqrt(cells) + _OWN_IN_STEPS) if in_steps else cells + _OWN
        return met * (rows + _PASSES * min(rows, PER_CELL * cells))

    def rows_within(self, room: int, rows: int) -> int:
        """Return how many rows (at most `rows`) take no more memory than `room`, 0: not one."""
        low, high = 0, rows
        while low < high:
            middle = (low + high + 1) // 2
            fits = max(stage.memory for stage in self.of(middle)) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low


def held_back(stage: str, rows: int) -> float:
    """Return the bytes that an allocator keeps of what a stage gave back."""
    if stage in _EARLY:
        return 0.0
    most = _HELD_LATE if stage in _LATE else _HELD
    return most * math.sqrt(min(1.0, rows / _HELD_ROWS))
