"""Layers of candidates around a target: the nearest rows of all target rows, the second, ..."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.search.vector_index import VectorIndex
from assay.selection.algorithms.sinkhorn import Transport, extended_potential, sinkhorn
from assay.selection.contract.inputs import Floats, Rows

Vectors = NDArray[np.float32]

# ranks that the estimate of the budget looks at
ESTIMATED_DEPTH = 64
_EPSILON = 0.01
_PART = 4_096


class Layers(NamedTuple):
    """Rows that some target row lists, the lowest rank first, then the most similar.

    `rank` counts from 1; `target` is the target row that lists the row at that rank (the most
    similar of these).
    """

    rows: Rows
    rank: NDArray[np.int64]
    target: NDArray[np.int64]
    similarity: Floats


class Lists(NamedTuple):
    """The nearest candidates of every target row: int64[m, k] (-1: none) and their cosines."""

    rows: NDArray[np.int64]
    similarity: Floats


def search(index: VectorIndex, target: Vectors, depth: int) -> Lists:
    """Return the `depth` nearest candidates of every target row."""
    keys, rows = index.search_keys(target, min(depth, len(index)))
    return Lists(rows, -keys)


def layered(lists: Lists) -> Layers:
    """Return every row listed once, at its lowest rank."""
    m, depth = lists.rows.shape
    rank, target = np.divmod(np.arange(m * depth), m)
    rows, similarity = lists.rows.T.ravel(), lists.similarity.T.ravel()
    listed = np.flatnonzero(rows >= 0)
    order = listed[np.lexsort((rows[listed], -similarity[listed], rank[listed]))]
    _, first = np.unique(rows[order], return_index=True)
    order = order[np.sort(first)]
    return Layers(rows[order], rank[order] + 1, target[order], similarity[order])


def cosine_distance(A: Vectors, B: Vectors) -> Floats:
    """Return the Euclidean distances of rows of length 1 (or 0): sqrt(2 - 2 cos)."""
    # einsum does not depend on the number of BLAS threads
    cosines = np.einsum("id,jd->ij", A, B, dtype=np.float64)
    distances: Floats = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    return distances


@dataclass(frozen=True, eq=False)
class Context:
    """Pool and target as rows of length 1, their noise, and how many rows a problem may have."""

    X: Vectors
    target: Vectors
    noise: Floats
    target_noise: Floats
    most: int

    def sample(self, rows: Rows) -> Vectors:
        """Return the vectors of at most `most` of the rows, the same ones in any larger set."""
        return self.X[_first(rows, self.noise, self.most)]

    def sample_target(self, rows: Rows) -> Vectors:
        return self.target[_first(rows, self.target_noise, self.most)]

    def distance(self, rows: Rows) -> float:
        """Return the transport cost from the rows to the target."""
        target = self.sample_target(np.arange(len(self.target)))
        return _transport(self.sample(rows), target).cost

    def potentials(self, rows: Rows, context: Rows) -> Floats:
        """Return the potential of each of `rows` when the rows of `context` go to the target.

        Low where more mass would lower the transport's cost most.
        """
        target = self.sample_target(np.arange(len(self.target)))
        columns = _transport(self.sample(context), target).columns
        potentials = np.empty(len(rows))
        for begin in range(0, len(rows), _PART):
            part = slice(begin, begin + _PART)
            cost = cosine_distance(self.X[rows[part]], target)
            potentials[part] = extended_potential(cost, columns, _EPSILON)
        return potentials


class Estimate(NamedTuple):
    """How many rows serve held-out target rows best, the depth found in each fold, and whether
    a fold was still improving at the greatest depth.
    """

    budget: int
    depths: list[int]
    limited: bool


def estimated_budget(lists: Lists, folds: int, context: Context) -> Estimate:
    """Estimate how many rows serve the target best, from how those of one part serve the others.

    A fold's depth is the last one before the transport from the rows that it lists to the target
    rows of the other folds first gets worse.
    """
    fold = np.empty(len(lists.rows), dtype=np.int64)
    fold[np.argsort(context.target_noise, kind="stable")] = np.arange(len(fold)) % folds
    depths, chosen, limited = [], [], False
    most = min(ESTIMATED_DEPTH, lists.rows.shape[1])
    for inside in (fold == number for number in range(folds)):
        rows = np.where(lists.similarity > 0, lists.rows, -1)[inside, :most]
        others = context.sample_target(np.flatnonzero(~inside))
        best_rows = np.empty(0, dtype=np.int64)
        best, depth = np.inf, 0
        for depth_ in range(1, most + 1):
            wider = np.unique(rows[:, :depth_])
            wider = wider[wider >= 0]
            if not len(wider):
                break
            cost = _transport(context.sample(wider), others).cost
            if cost > best:
                break
            best_rows, best, depth = wider, cost, depth_
        depths.append(depth)
        chosen.append(best_rows)
        limited = limited or depth == most < len(context.X)
    return Estimate(len(np.unique(np.concatenate(chosen))), depths, limited)


def _transport(left: Vectors, right: Vectors) -> Transport:
    return sinkhorn(cosine_distance(left, right), epsilon=_EPSILON, tolerance=1e-3)


def _first(rows: Rows, noise: Floats, most: int) -> Rows:
    """Return the rows with the largest noise, in order of row."""
    if len(rows) <= most:
        return np.sort(rows)
    return np.sort(rows[np.lexsort((rows, -noise[rows]))[:most]])
