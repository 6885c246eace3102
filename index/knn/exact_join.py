"""Exact k-nearest-neighbor graph: all pairs by codes, once each, with proof."""

from __future__ import annotations

import numpy as np

from assay.index.knn.layout import Layout, Lists, put
from assay.index.knn.tournament import run_pairs
from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors.codes import empty_code_lists
from assay.index.vectors.exact import Progress, empty_lists, run_threads

_LISTED = 32
_SPARE = 8
_PART = 4_096
# rows per group; two groups are compared at a time
_GROUP = 2_048


def exact_join(
    layout: Layout, k: int, *, threads: int = 1, progress: Progress | None = None
) -> Lists:
    """Return the k nearest of the other rows for every row, exactly.

    Each pair of codes is compared once, for both of its rows, whose lists hold the 32 (or k + 8)
    least keys. These get exact keys. Where the triangle inequality does not rule out that a row
    which is not listed is nearer, the row looks at all codes again.

    Parameters
    ----------
    layout : Layout
        n rows.
    k : int
        1 <= k < n.
    threads : int
        Groups of rows compared at the same time; does not change the result.
    progress : callable, optional
        Called with (stage, done, total).

    Returns
    -------
    keys float64[n, k], rows int32[n, k]
        Places in the layout, by key and then by rank.

    Notes
    -----
    Costs n^2 d / 2 products of int8 numbers, and n d for each row looked at again. Beside the codes
    it takes 8 bytes for each entry of the lists.
    """
    n = len(layout)
    wide = min(max(_LISTED, k + _SPARE), n - 1)
    limits, keys, rows = empty_code_lists(n, wide)
    scanned = layout.codes.scanned()
    codes, facts = layout.codes.codes, layout.codes.facts

    def meet(pair: tuple[int, int]) -> None:
        one, other = (slice(g * _GROUP, min((g + 1) * _GROUP, n)) for g in pair)
        how = kernels.TRIANGLE if one == other else kernels.AMONG
        kernels.scan(
            *scanned, np.arange(one.start, one.stop), codes, facts, other.start, other.stop,
            how, kernels.BOTH, 0, limits, keys, rows,
        )  # fmt: skip

    run_pairs(meet, -(-n // _GROUP), threads, "search", progress)
    lists = empty_lists(n, k)

    def look(begin: int) -> None:
        which = np.arange(begin, min(begin + _PART, n))
        mine = layout.rank_lists(which, rows[which], k)
        last = keys[which, -1] if wide < n - 1 else np.full(len(which), np.inf, np.float32)
        layout.prove(which, np.where(rows[which, -1] < 0, np.float32(-np.inf), last), mine)
        put(lists, which, mine)

    run_threads(look, range(0, n, _PART), threads, "check", progress)
    return lists
