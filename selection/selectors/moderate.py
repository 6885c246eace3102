"""Moderate coresets: rows at the median distance from the center of their class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from assay.selection.algorithms.allocation import allocate
from assay.selection.algorithms.cells import cluster
from assay.selection.base import Selector
from assay.selection.contract.inputs import Inputs, Rows
from assay.selection.contract.outcomes import Choice, Outcome
from assay.selection.selectors.herding import rows_by_class
from assay.storage.limits import Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class ModerateSelector(Selector):
    r"""Keep the rows whose distance from the center of their class is in the middle.

    The center of a class is the median of each coordinate over its rows. Of the class, ordered by
    Euclidean distance from there, the middle ranks are kept: neither the most typical rows nor the
    outliers. The budget is shared out over the classes by their sizes (largest remainder), so that
    exactly `budget` rows are kept; covered rows are part of their class's share.

    Parameters
    ----------
    clusters : int, default 10
        Where there are no labels, k-means cells take the place of classes.
    metric : {"l2", "cosine"}, default "l2"
        "cosine" scales all rows to length 1 first.
    random_state : int, default 0
        Seeds k-means; with labels nothing is random. Equal distances are decided by id.

    Attributes
    ----------
    indices_ : int64[budget]
        The row in the middle of every class, then the next of every class, and so on.
    scores_ : float64[n]
        1 at the median rank of the class, down to 0 at both ends: 1 - |2 (rank - 1/2) / size - 1|.
    report_ : dict
        `classes` ("labels" or "clusters"), `shares` (rows kept of each).

    Notes
    -----
    Time O(n d) and that of k-means where there are no labels; memory that of the vectors. A cheap
    baseline, to be compared with a random subset.

    Claims
    ------
    paper
        Rows near the median score serve many scenarios: less hurt by noise, corruption and other
        changes than extremes.
    here
        The median center and the middle ranks, as in the authors' code.
    deviates
        Without labels k-means cells stand for classes; exact budgets by largest remainder.
    measured
        +0.4 clean, +2.1 with 20 % wrong labels at 90 % of CIFAR-10 vectors; -2.4 on newsgroups
        (`quality.md`).

    References
    ----------
    Xia, Liu, Yu, Shen, Han, Liu, "Moderate coreset: a universal method of data selection for
    real-world data-efficient deep learning", 2023.

    Examples
    --------
    >>> X = [[0.0], [1.0], [2.0], [4.0], [9.0]]
    >>> ModerateSelector(budget=1).fit(X, y=["a"] * 5).indices_.tolist()
    [0]
    """

    limits: ClassVar[Limits] = {
        "clusters": (Whole(1),),
        "metric": ("l2", "cosine"),
    }

    clusters: int = 10
    metric: Literal["l2", "cosine"] = "l2"

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        X, unit = inputs.compared_vectors(self.metric)
        members = self._members(inputs, X)
        sizes = np.array([len(rows) for rows in members.values()])
        had = np.array([int(inputs.covered[rows].sum()) for rows in members.values()])
        in_all = budget + int(had.sum())
        shares = allocate(sizes, in_all, rule="largest_remainder", minima=had) - had
        scores, place, distance = (
            np.empty(inputs.n),
            np.empty(inputs.n, np.int64),
            np.empty(inputs.n),
        )
        order = []
        for rows, share in zip(members.values(), shares, strict=True):
            away = X[rows].astype(np.float64) - np.median(X[rows], axis=0)
            distance[rows] = np.sqrt(np.einsum("ij,ij->i", away, away)) * unit
            by_distance = rows[np.argsort(distance[rows], kind="stable")]
            # whole numbers, so that the ranks on both sides of the middle tie: the nearer goes first
            off = np.abs(2 * np.arange(len(rows)) + 1 - len(rows))
            scores[by_distance] = 1 - off / len(rows)
            by_preference = by_distance[np.argsort(off, kind="stable")]
            place[by_preference] = np.arange(len(rows))
            order.append(by_preference[~inputs.covered[by_preference]][:share])
        chosen = np.concatenate(order)
        chosen = chosen[np.argsort(place[chosen], kind="stable")]
        rest = np.setdiff1d(np.arange(inputs.n), chosen)
        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=[
                Outcome(
                    rest,
                    "select",
                    "not_in_the_middle",
                    {"score": scores[rest], "distance": distance[rest]},
                )
            ],
            detail={"distance": distance[chosen]},
            report={
                "classes": "clusters" if inputs.labels is None else "labels",
                "shares": dict(zip(members, shares.tolist(), strict=True)),
            },
        )

    def _members(self, inputs: Inputs, X: Any) -> dict[str, Rows]:
        if inputs.labels is not None:
            return rows_by_class(inputs.labels)
        noise = inputs.noise(self.random_state, "moderate")
        cells = cluster(X, min(int(self.clusters), inputs.n), self.metric, noise).of_row
        order = np.argsort(cells, kind="stable")
        starts = np.flatnonzero(np.diff(cells[order])) + 1
        return {str(cell): rows for cell, rows in enumerate(np.split(order, starts))}
