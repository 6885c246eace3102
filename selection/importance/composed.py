"""Draws that keep the mix of a target of several kinds: every group gives its share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.composition import (
    Composition,
    estimate_composition,
    target_quotas,
)
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.importance.fit import Population
from assay.storage.reading.pools import Pool

InOrder = Callable[[Rows], Rows]


def composition_of(X: Any, target: Any, rows: Population, random_state: int) -> Composition:
    """Return the composition of the target in the pool's groups; in cells where there are none."""
    groups = rows.groups()
    names = None
    if groups is not None:
        names = [groups.classes[code] if code >= 0 else None for code in groups.codes.tolist()]
    return estimate_composition(
        X.contents() if isinstance(X, Pool) else X,
        names,
        target=target.contents() if isinstance(target, Pool) else target,
        ids=rows.ids(),
        bootstraps=0,
        random_state=random_state,
    )


def by_group(
    keys: Floats,
    composition: Composition,
    budget: int,
    in_order: InOrder,
    covered: NDArray[np.bool_],
) -> Rows:
    """Return the rows with the largest keys of each group, as many as are its share.

    Groups take turns: the i-th row of a group comes at (i + 1/2) / quota. Rows whose key is NaN
    are not usable. Covered rows are part of their group's share. Where rows without a group are needed to fill the budget, they come last.
    """
    usable = ~np.isnan(keys)
    quotas = _quotas(composition, budget, usable, covered)
    rows = in_order(np.flatnonzero(usable))
    rows = rows[np.argsort(-keys[rows], kind="stable")]
    codes = composition.codes[rows]
    grouped = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[grouped], prepend=-2))
    place = np.empty(len(rows), dtype=np.int64)
    sizes = np.diff(starts, append=len(rows))
    place[grouped] = np.arange(len(rows)) - np.repeat(starts, sizes)
    quota = np.append(quotas, 0)[codes]
    turn = np.where(place < quota, (place + 0.5) / np.maximum(quota, 1), np.inf)
    turn[codes < 0] = 2.0
    order = np.lexsort((codes, turn))
    return np.asarray(rows[order[np.isfinite(turn[order])]][:budget])


def _quotas(
    composition: Composition, budget: int, usable: NDArray[np.bool_], covered: NDArray[np.bool_]
) -> Rows:
    quotas = composition.quotas(budget, usable)
    codes = composition.codes
    had = np.bincount(codes[covered & (codes >= 0)], minlength=len(quotas))
    if not had.any():
        return np.array(list(quotas.values()))
    available = np.bincount(codes[usable & (codes >= 0)], minlength=len(quotas))
    in_all = min(budget + int(had.sum()), int((available + had).sum()))
    shares = composition.frame["target_share"].to_numpy()
    missing = np.maximum(0, target_quotas(available + had, shares, in_all) - had)
    return target_quotas(available, missing if missing.any() else shares, budget)


def report_of(composition: Composition) -> dict[str, Any]:
    """Return the target's and the pool's share of every group, and what the estimate rests on."""
    shares = {
        group: {"pool": pool, "target": share}
        for group, pool, share in composition.frame.select(
            "group", "pool_share", "target_share"
        ).iter_rows()
    }
    return {"shares": shares, **composition.report_}
