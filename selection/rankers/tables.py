"""Ranking the columns of a table on disk: in memory where it fits, in blocks or streamed where not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import ColumnBlock, bounds
from assay.selection.tables.exact_floats import EXACT_WHOLE
from assay.selection.tables.matrix import ADDED, FeatureMatrix, encode, labels, to_matrix
from assay.selection.tables.streamed_relevance import streamed_relevance
from assay.storage.errors import ColumnError, InputError
from assay.storage.reading.tables import Table

MEMORY = 1 << 30
BATCH_VALUES = 1 << 19  # 4 MiB
WORKING_COPIES = 16  # of a block of columns: read, encoded, sorted, counted

Mode = Literal["memory", "columns", "rows"]


@dataclass
class TableRanking:
    """What `rank_table` returns.

    Attributes
    ----------
    ranker : FeatureRanker
        Fitted.
    names : list of str
        Names of the columns that were ranked.
    report : dict of str to str
        Column -> what was done about it, as in `FeatureMatrix`.
    missing : polars.DataFrame
        As in `FeatureMatrix`.
    n_rows : int
    mode : {"memory", "columns", "rows"}
        How the table was read: whole, by blocks of columns, or by rows (columns that need it by
        blocks of columns).
    matrix : FeatureMatrix or None
        The table, where it was read whole.
    """

    ranker: FeatureRanker
    names: list[str]
    report: dict[str, str]
    missing: pl.DataFrame
    n_rows: int
    mode: Mode
    matrix: FeatureMatrix | None = None


def reading_mode(ranker: FeatureRanker, table: Table, memory: int = MEMORY) -> Mode:
    """Return how `rank_table` reads the table for this ranker."""
    if 8 * table.n_rows * len(table.columns) <= memory or not ranker.by_blocks:
        return "memory"
    return "rows" if ranker.by_rows else "columns"


def rank_table(
    ranker: FeatureRanker,
    table: Table,
    *,
    label: str,
    memory: int = MEMORY,
    missing: str = "median",
    began: Callable[[int], None] | None = None,
) -> TableRanking:
    """Rank the columns of a table that need not fit in memory.

    A table that takes over `memory` bytes as float64 is not read whole where the ranker's method
    allows: ECFS (with relevance "nmi"), the Fisher score and the F test take moments and histograms
    in two passes over the rows; the other rankers that look at each column alone, and columns of names or
    with missing values, take blocks of columns with all their rows. Scores are those of the table
    in memory, exactly by columns and up to a relative 1e-12 by rows. Rankers that compare columns
    with each other (Inf-FS without labels, mRMR, ReliefF, Laplacian score, matching pursuit,
    QuickSelection, the searches of OutRank and distance correlation), and any choice by
    cross-validation, read the table whole, whatever `memory` says.

    Parameters
    ----------
    ranker : FeatureRanker
        It is fitted. A count in its `n_features_to_select` is lowered to the number of columns
        where there are fewer; its `discrete_features`, if it has that parameter, are set to the
        columns of names.
    table : Table
    label : str
        Column of labels.
    memory : int, default 2**30
        Bytes.
    missing : {"median", "indicator", "raise"}
        As in `to_matrix`.
    began : callable, optional
        Called with the number of rows when the table (or, in parts, its labels) has been checked.

    Raises
    ------
    ColumnError, InputError, NonFiniteError
        As `to_matrix`.

    Notes
    -----
    Beside labels and figures of the columns, blocks of columns take at most about `memory`, or what
    one column takes; by rows, some 200 MB and the histograms.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> from assay.selection import ECFS
    >>> from assay.selection.rankers.tables import rank_table
    >>> from assay.storage.reading.tables import Table
    >>> path = f"{tempfile.mkdtemp()}/t.parquet"
    >>> pl.DataFrame({"a": [0, 1, 0, 1], "b": [0, 0, 1, 1], "y": list("nnpp")}).write_parquet(path)
    >>> found = rank_table(ECFS(1), Table(path), label="y", memory=16)
    >>> found.mode, found.names, found.ranker.ranking_.tolist()
    ('rows', ['a', 'b'], [2, 1])
    """
    if label not in table.columns:
        raise ColumnError.missing(label, table.columns)
    mode = reading_mode(ranker, table, memory)
    if mode == "memory":
        matrix = to_matrix(table.read(), label=label, missing=missing)
        if began is not None:
            began(len(matrix.y))
        _lower_count(ranker, len(matrix.names))
        if "discrete_features" in ranker.get_params():
            ranker.set_params(discrete_features=matrix.discrete)
        ranker.fit(matrix.X, matrix.y)
        ranker.feature_names_in_ = np.array(matrix.names, dtype=object)
        return TableRanking(
            ranker, matrix.names, matrix.report, matrix.missing, len(matrix.y), mode, matrix
        )
    parts = _Parts(ranker, table, label, memory, missing)
    if began is not None:
        began(len(parts.y))
    return parts.rank(mode)


class _Parts:
    """Figures of a table's columns, gathered part by part."""

    def __init__(
        self, ranker: FeatureRanker, table: Table, label: str, memory: int, missing: str
    ) -> None:
        self.ranker, self.table, self.missing, self.memory = ranker, table, missing, memory
        self.columns = [name for name in table.columns if name != label]
        self.y = labels(table.read([label])[label])
        codes = ranker.start(self.y)
        self.codes = codes.astype(np.min_scalar_type(int(codes.max())))
        # of each column of the table: names, figures and which are constant
        self.found: dict[str, tuple[list[str], NDArray[Any], NDArray[np.bool_]]] = {}
        self.report: dict[str, str] = {}
        self.told: list[pl.DataFrame] = []

    def rank(self, mode: Mode) -> TableRanking:
        left = self.columns
        if mode == "rows":
            self._by_rows()
            left = [name for name in left if name not in self.found]
        self._by_columns(left)
        parts = [self.found[name] for name in self.columns]
        names = [name for part in parts for name in part[0]]
        if not names:
            reasons = "; ".join(f"{name}: {note}" for name, note in self.report.items())
            raise InputError(f"The table has no column to rank. {reasons}".strip())
        _lower_count(self.ranker, len(names))
        figures = np.concatenate([part[1] for part in parts if part[0]], axis=1)
        constant = np.concatenate([part[2] for part in parts])
        self.ranker.fit_figures(figures, names, constant)
        report = {name: self.report[name] for name in self.columns if name in self.report}
        missing = pl.concat(self.told) if self.told else encode(pl.DataFrame(), self.y).missing
        order = {name: place for place, name in enumerate(self.columns)}
        missing = missing.sort(pl.col("feature").replace_strict(order, return_dtype=pl.Int64))
        return TableRanking(self.ranker, names, report, missing, len(self.y), mode)

    def _by_columns(self, columns: list[str]) -> None:
        width = max(1, self.memory // (8 * len(self.y) * WORKING_COPIES))
        codes = self.codes.astype(np.int64)
        for start in range(0, len(columns), width):
            some = columns[start : start + width]
            matrix = encode(self.table.read(some), self.y, self.missing)
            self.report |= matrix.report
            if matrix.missing.height:
                self.told.append(matrix.missing)
            self.found |= {name: ([], np.empty((0, 0)), np.empty(0, dtype=bool)) for name in some}
            if not matrix.names:
                continue
            low, high = bounds(matrix.X)
            self.ranker.refuse_non_finite(low, high, matrix.names)
            block = ColumnBlock(matrix.X, matrix.names, matrix.discrete)
            figures = self.ranker.block_figures(block, codes)
            # a column may have become two, which stand side by side
            owner = [name if name in self.found else name[: -len(ADDED)] for name in matrix.names]
            edges = [j for j in range(len(owner)) if j == 0 or owner[j] != owner[j - 1]]
            for first, stop in zip(edges, [*edges[1:], len(owner)], strict=True):
                one = slice(first, stop)
                constant = low[one] == high[one]
                self.found[owner[first]] = (matrix.names[one], figures[:, one], constant)

    def _by_rows(self) -> None:
        numeric = set(self.table.numeric())
        names = [name for name in self.columns if name in numeric]
        if not names:
            return

        def batches(some: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
            height = max(1, BATCH_VALUES // len(some))
            for frame in self.table.batches([names[j] for j in some]):
                for part in frame.iter_slices(height):
                    yield part.select(pl.all().cast(pl.Float64)).to_numpy()

        streamed = streamed_relevance(batches, len(names), self.codes, n_bins=self.ranker.n_bins)
        # whole numbers that floats may not tell apart need all rows
        exact = np.maximum(np.abs(streamed.low), np.abs(streamed.high)) <= EXACT_WHOLE
        known = [names[j] for j in streamed.complete]
        self.ranker.refuse_non_finite(streamed.low, streamed.high, known)
        figures = self.ranker.streamed_figures(streamed.relevance, self.codes)
        constant = streamed.low == streamed.high
        for j, name in enumerate(known):
            if not exact[j]:
                continue
            self.found[name] = ([name], figures[:, j : j + 1], constant[j : j + 1])


def _lower_count(ranker: FeatureRanker, d: int) -> None:
    wanted = ranker.n_features_to_select
    if isinstance(wanted, Integral) and not isinstance(wanted, bool) and wanted > d:
        ranker.set_params(n_features_to_select=d)
