"""Near copies: how similar the vectors of copies are, and which rows are copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.exact import unit_rows
from assay.index.vectors.mapped import room_beside, take_rows
from assay.selection.contract.inputs import Floats, Graph, Rows
from assay.storage.compiling import njit
from assay.storage.errors import InputError
from assay.storage.hashing.rows import first_rows

Mask = NDArray[np.bool_]

# share of the usual distance to the last neighbor that counts as none
_CLOSE = 0.25
# rows whose usual distance is looked for beyond their list, and rows that it is looked for among
_ASKED, _AMONG = 512, 20_000
# a list ends among copies where squared distances stay within _FLAT times its last one, then jump
# by the factor of the metric; for the cosine, copies are also no farther than _FAR
_FLAT = 16.0
_JUMP = {"cosine": 8.0, "l2": 400.0}
_FAR = {"cosine": 0.1, "l2": np.inf}
# rows whose lists are read at a time
_LISTS = 32_768
# rows that are compared with each other at once, and with all of _AMONG
_BLOCK = 1_024
_ASKED_AT_ONCE = 64
# similarities are rounded to as many places, so that blocks and threads can't change them
_PLACES = 9


class Similarities:
    """Similarities of rows on the scale of a graph, computed from their vectors in float64.

    Parameters
    ----------
    vectors : float[n, d]
    metric : {"cosine", "l2", "ip"}
        cos(x, y), 1 / (1 + distance) or the inner product.
    """

    def __init__(self, vectors: NDArray[np.floating], metric: str) -> None:
        self._vectors = vectors
        self._metric = metric
        self._center = np.zeros(vectors.shape[1])
        if metric == "l2" and len(vectors):
            self._center = np.asarray(vectors.mean(axis=0, dtype=np.float64))

    def between(self, rows: Rows, others: Rows) -> Floats:
        """Return float64[rows, others]; a zero vector has no cosine and is similar to nothing."""
        left, right = self._taken(rows), self._taken(others)
        return self._scaled(left @ right.T, _squares(left)[:, None], _squares(right))

    def _scaled(self, products: Floats, left_sizes: Floats, right_sizes: Floats) -> Floats:
        if self._metric == "ip":
            return np.round(products, _PLACES)
        if self._metric == "l2":
            squared = left_sizes + right_sizes - 2 * products
            return np.round(1 / (1 + np.sqrt(np.maximum(squared, 0))), _PLACES)
        lengths = np.sqrt(left_sizes) * np.sqrt(right_sizes)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(lengths > 0, np.round(products / lengths, _PLACES), -np.inf)

    def from_each(self, queries: Rows, rows: Rows) -> Iterator[tuple[int, Floats]]:
        """Yield the similarities of a few queries at a time to all rows, and the first of them."""
        right = self._taken(rows)
        sizes = _squares(right)
        for first in range(0, len(queries), _ASKED_AT_ONCE):
            left = self._taken(queries[first : first + _ASKED_AT_ONCE])
            yield first, self._scaled(left @ right.T, _squares(left)[:, None], sizes)

    def blocks(self, rows: Rows, others: Rows) -> Iterator[tuple[slice, Floats]]:
        """Yield the similarities of `rows` to blocks of `others`, and which those are."""
        for first in range(0, len(others), _BLOCK):
            part = slice(first, first + _BLOCK)
            yield part, self.between(rows, others[part])

    def have_another(self, rows: Rows, asked: Rows, threshold: float) -> Mask:
        """Return which of the rows at the places `asked` have another of all rows at `threshold`.

        Not for inner products. Pairs are compared in float32, and those that may be near enough
        again in float64.
        """
        near = np.zeros(len(asked), dtype=np.bool_)
        if not len(asked):
            return near
        rough, sizes, reach = self._rough(rows, threshold - 1e-9)
        slack = (rough.shape[1] + 16) * 2.0**-23
        # a pair may be near enough where its product is at least the sum of what its rows need
        needs = (sizes * (1 - slack) - reach * (1 + slack) / 2) / 2
        for first in range(0, len(asked), _BLOCK):
            here = asked[first : first + _BLOCK]
            for begin in range(0, len(rows), _BLOCK):
                others = slice(begin, begin + _BLOCK)
                above = rough[here] @ rough[others].T
                above -= needs[others]
                possible = above >= needs[here, None]
                own = np.flatnonzero((here >= begin) & (here < begin + _BLOCK))
                possible[own, here[own] - begin] = False
                possible[near[first : first + _BLOCK]] = False
                while len(left := np.flatnonzero(possible.any(axis=1))):
                    right = possible[left].argmax(axis=1)
                    similar = self.of_pairs(rows[here[left]], rows[begin + right])
                    possible[left, right] = False
                    hit = left[similar >= threshold - 1e-9]
                    possible[hit] = False
                    near[first + hit] = True
        return near

    def of_pairs(self, rows: Rows, others: Rows) -> Floats:
        """Return the similarity of each row to the other one at its place, as `between` does."""
        left, right = self._taken(rows), self._taken(others)
        products = np.einsum("ij,ij->i", left, right)
        return self._scaled(products, _squares(left), _squares(right))

    def _rough(self, rows: Rows, threshold: float) -> tuple[NDArray[np.float32], Any, float]:
        """Return rows as float32, their squares, and the squared distance that `threshold` allows."""
        if self._metric == "cosine":
            reach = 2 - 2 * threshold
            shape = len(rows), self._vectors.shape[1]
            vectors = room_beside(self._vectors, shape, np.float32)
            for begin in range(0, len(rows), _LISTS):
                part = take_rows(self._vectors, rows[begin : begin + _LISTS])
                vectors[begin : begin + len(part)] = unit_rows(np.asarray(part, dtype=np.float32))
        else:
            taken = self._taken(rows)
            longest = float(np.sqrt(_squares(taken)).max(initial=1e-300))
            reach = (1 / threshold - 1) ** 2 / longest**2 if threshold > 0 else np.inf
            vectors = (taken / longest).astype(np.float32)
        # no two rows are farther apart
        return vectors, np.einsum("ij,ij->i", vectors, vectors), min(float(reach), 8.0)

    def _taken(self, rows: Rows) -> Floats:
        taken: Floats = take_rows(self._vectors, rows).astype(np.float64) - self._center
        return taken


def have_copies(
    rows: Rows, threshold: float, most: int, among: Similarities, graph: Graph | None
) -> Mask:
    """Return which of some rows have a near copy among them; of the first ones only.

    Parameters
    ----------
    rows : int64[m]
        Different rows of the pool.
    threshold : float
        Similarity from which rows are copies.
    most : int
        Similarities that may be computed: rows are looked at as long as they take no more, one at least.
    among : Similarities
        Not of inner products.
    graph : SimilarityGraph or None
        One whose lists hold the rows nearest to each: then what they tell is not computed, and only
        rows that are as near to all of their list are compared with all others.
    """
    allowed = max(1, most // max(1, len(rows)))
    if graph is None:
        return among.have_another(rows, np.arange(min(allowed, len(rows))), threshold)
    present = np.zeros(len(graph.indptr) - 1, dtype=np.bool_)
    present[rows] = True
    near: Mask = np.empty(len(rows), dtype=np.bool_)
    crowded = np.empty(len(rows), dtype=np.bool_)
    for begin in range(0, len(rows), _LISTS):
        part = slice(begin, begin + _LISTS)
        neighbors, similarities = graph.lists_of(rows[part])
        close = (neighbors >= 0) & (similarities >= threshold - 1e-9)
        near[part] = (close & present[neighbors]).any(axis=1)
        crowded[part] = (close | (neighbors < 0)).all(axis=1)
    unsure = np.flatnonzero(~near & crowded)
    if len(unsure) > allowed:
        near, unsure = near[: unsure[allowed]], unsure[:allowed]
    near[unsure] = among.have_another(rows, unsure, threshold)
    return near


def _squares(vectors: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors))


def copy_threshold(
    graph: Graph,
    metric: str,
    noise: Floats,
    among: Similarities | None,
) -> float:
    """Return the similarity from which rows are copies: a quarter of the usual distance.

    The usual distance is the median distance to the last neighbor. Where a row's list ends among
    copies, which lie close together and far from everything else, it is the distance to the rows
    behind them, found among 20,000 rows (with `among`), so that it isn't read from copies.

    Parameters
    ----------
    graph : Graph
        Its lists of neighbors are read, a part of the rows at a time.
    metric : str
        Distances are 1 - s, and 1 / s - 1 for "l2".
    noise : float[n]
        Chooses the rows that are looked at.
    among : Similarities, optional
    """
    last, listed, width = _ends_of_lists(graph, len(noise))
    if not listed.any():
        return 1.0
    usual = _median(last[listed])
    if among is not None and metric in _JUMP:
        others = first_rows(noise, _AMONG)
        queries = others[:_ASKED]
        # a list can be empty because its rows were left out as exact copies
        ends = np.where(listed[queries], _distances(last[queries].astype(float), metric), 0.0)
        beyond = np.full(len(queries), np.nan)
        # a list that reaches farther can't end among copies
        asked = np.flatnonzero(ends <= _FAR[metric])
        beyond[asked] = _distances_beyond_copies(
            among, queries[asked], others, ends[asked], metric, width
        )
        if not np.isnan(beyond).all():
            inside = np.where(listed[queries], ends, np.nan)
            distance = _CLOSE * float(np.nanmedian(np.where(np.isnan(beyond), inside, beyond)))
            return 1 / (1 + distance) if metric == "l2" else 1 - distance
    if metric == "l2":
        return 1 / (1 + _CLOSE * (1 / usual - 1))
    return 1 - _CLOSE * (1 - usual)


def _ends_of_lists(graph: Graph, n: int) -> tuple[NDArray[np.floating], Mask, int]:
    """Return the similarity of the last neighbor of each row, which rows have one, and k."""
    last, listed, width = [], [], 0
    for begin in range(0, n, _LISTS):
        neighbors, similarities = graph.lists_of(slice(begin, min(n, begin + _LISTS)))
        present, width = neighbors >= 0, neighbors.shape[1]
        if similarities.max(where=present, initial=-np.inf) > 1 + 1e-6:
            raise InputError(
                "threshold='auto' needs similarities of at most 1, and the graph has inner "
                "products; pass a number."
            )
        counts = present.sum(axis=1)
        found = np.flatnonzero(counts)
        last.append(np.zeros(len(counts), similarities.dtype))
        last[-1][found] = similarities[found, counts[found] - 1]
        listed.append(counts > 0)
    return np.concatenate(last), np.concatenate(listed), width


def _median(values: NDArray[np.floating]) -> float:
    """Return the median in double precision; the order of the values is changed."""
    middle = [(len(values) - 1) // 2, len(values) // 2]
    values.partition(middle)
    low, high = (float(values[place]) for place in middle)
    return (low + high) / 2


def _distances(similarities: Floats, metric: str) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / similarities - 1 if metric == "l2" else 1 - similarities)


def _distances_beyond_copies(
    among: Similarities, queries: Rows, others: Rows, ends: Floats, metric: str, k: int
) -> Floats:
    """Return each row's distance to the k-th row behind its copies; NaN where its list holds more."""
    power = 2.0 if metric == "l2" else 1.0
    beyond = np.full(len(queries), np.nan)
    for first, similar in among.from_each(queries, others):
        rows = queries[first : first + len(similar)]
        distances = _distances(similar, metric)
        distances[(rows[:, None] == others) | ~np.isfinite(distances)] = np.inf
        distances.sort(axis=1)
        finite = np.isfinite(distances).sum(axis=1)
        for place, own, count in zip(range(first, len(queries)), distances, finite, strict=False):
            beyond[place] = _beyond(own[:count], float(ends[place]), power, metric, k)
    return beyond


def _beyond(distances: Floats, end: float, power: float, metric: str, k: int) -> float:
    """Return the k-th of a row's sorted distances behind the jump; NaN where there is no jump."""
    if not len(distances):
        return np.nan
    # nearer than this, distances are rounding
    end = max(end, 1e-6 * float(np.median(distances)))
    outer = distances[np.searchsorted(distances, end, side="right") :]
    steps = np.concatenate([[end], outer])
    jumps = steps[1:] ** power >= _JUMP[metric] * steps[:-1] ** power
    flat = (steps[:-1] ** power <= _FLAT * end**power) & (steps[:-1] <= _FAR[metric])
    places = np.flatnonzero(jumps & flat)
    if not len(places):
        return np.nan
    behind = outer[places[0] :]
    return float(behind[min(k, len(behind)) - 1])


def stars(
    indptr: Any,
    columns: Any,
    weights: Any,
    order: Rows,
    *,
    threshold: float,
    crowded: Mask,
    among: Similarities | None,
) -> tuple[Rows, Floats]:
    """Let each row become a keeper unless an earlier one is near; then join the nearest keepers.

    Parameters
    ----------
    indptr, columns, weights : arrays
        Pairs of near rows in both directions, with their similarities.
    order : int64[n]
        All rows in order of their claim to be a keeper.
    threshold : float
    crowded : bool[n]
        Rows that may be near to rows beyond the pairs: all of these are compared with `among`.
    among : Similarities or None

    Returns
    -------
    keeper int64[n], similarity float64[n]
    """
    n = len(order)
    keeps = np.zeros(n, dtype=np.bool_)
    place = np.full(n, -1, dtype=np.int64)
    near = np.zeros(n, dtype=np.bool_)
    kept = np.empty(0, dtype=np.int64)
    for begin in range(0, n, _BLOCK):
        block = order[begin : begin + _BLOCK]
        inner = block[crowded[block]] if among is not None else block[:0]
        within = np.zeros((0, 0), dtype=np.bool_)
        if among is not None and len(inner):
            for _, edges in among.blocks(inner, kept):
                near[inner] |= (edges >= threshold).any(axis=1)
            inner = inner[~near[inner]]
            within = among.between(inner, inner) >= threshold
            place[inner] = np.arange(len(inner))
        _sweep(indptr, columns, block, near, place, inner, within, keeps)
        kept = np.concatenate([kept, inner[keeps[inner]]])
    keeper, similarity = _nearest_keepers(indptr, columns, weights, keeps)
    if among is not None and len(kept):
        kept = np.sort(kept)
        rows = np.flatnonzero(crowded & ~keeps)
        for first in range(0, len(rows), _BLOCK):
            part = rows[first : first + _BLOCK]
            best, which = similarity[part], keeper[part]
            for columns_, edges in among.blocks(part, kept):
                nearest = edges.argmax(axis=1)
                value, name = edges[np.arange(len(part)), nearest], kept[columns_][nearest]
                # both are the same similarity, of which one was rounded to float32
                equal = np.abs(value - best) <= 1e-6
                better = (which < 0) | (~equal & (value > best)) | (equal & (name < which))
                best, which = np.where(better, value, best), np.where(better, name, which)
            similarity[part], keeper[part] = best, which
    return keeper, similarity


@njit(cache=True, nogil=True)
def _sweep(  # pragma: no cover
    indptr: Any,
    columns: Any,
    block: Any,
    near: Any,
    place: Any,
    inner: Any,
    within: Any,
    keeps: Any,
) -> None:
    """Decide which rows of a block keep, in their order."""
    for row in block:
        if near[row]:
            continue
        near_keeper = False
        for edge in range(indptr[row], indptr[row + 1]):
            near_keeper |= keeps[columns[edge]]
        at = place[row]
        if at >= 0 and not near_keeper:
            for earlier in range(at):
                if within[at, earlier] and keeps[inner[earlier]]:
                    near_keeper = True
                    break
        keeps[row] = not near_keeper


@njit(cache=True, nogil=True)
def _nearest_keepers(
    indptr: Any, columns: Any, weights: Any, keeps: Any
) -> Any:  # pragma: no cover
    """Return each row's most similar keeper among its pairs; -1 for a row that has none there."""
    n = len(keeps)
    keeper = np.arange(n)
    similarity = np.ones(n)
    for row in range(n):
        if keeps[row]:
            continue
        best, which = -np.inf, -1
        for edge in range(indptr[row], indptr[row + 1]):
            other = columns[edge]
            if keeps[other] and (weights[edge] > best or (weights[edge] == best and other < which)):
                best, which = weights[edge], other
        keeper[row], similarity[row] = which, best
    return keeper, similarity
