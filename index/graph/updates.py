"""A similarity graph that takes in new rows and lets others go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.nearest_neighbors import NearestNeighbors
from assay.index.knn.updates import insert_rows, measured_recall, remove_rows
from assay.index.vectors.checks import Vectors, as_ids, as_vectors, check_width, find_ids
from assay.storage.errors import IdError, InputError


class UpdatableGraph:
    """Methods that make a new graph from one and a few rows; the graph itself stays as it is."""

    metric: str
    symmetrise: str
    weighting: str
    vectors: Vectors | None
    neighbors: NDArray[np.int32]
    centroids_: Vectors | None
    cells_: NDArray[np.int32] | None
    report_: dict[str, Any]
    _distances: NDArray[np.float32]
    _ids: pl.Series | None

    if TYPE_CHECKING:

        def __len__(self) -> int: ...

        @classmethod
        def _of(
            cls,
            found: NearestNeighbors,
            X: Vectors,
            ids: pl.Series | None,
            metric: str,
            symmetrise: str,
            weights: str,
        ) -> Self: ...

    def insert(
        self, X_new: Any, ids: Any = None, *, vectors: Any = None, threads: int | None = None
    ) -> Self:
        """Return the graph with new rows behind the present ones; this one stays as it is.

        Parameters
        ----------
        X_new : array-like, shape (m, d)
        ids : sequence of str or int, length m
            Ids of the new rows, where the graph has ids.
        vectors : array-like, shape (n, d), optional
            The vectors of the present rows, for a graph that was loaded. Those of all rows, the new
            ones behind, are not copied.
        threads : int, optional
            As in `from_vectors`.

        Raises
        ------
        InputError
            No vectors, or a graph made with `robust`, whose longer lists are not kept.
        IdError
            Ids that are there already; ids for a graph without ids, or none for one with ids.

        Notes
        -----
        See `insert_rows`. The search follows the number of new rows; beyond it, the edges are
        written again and their weights follow the new lists. Memory: the vectors once more.

        Examples
        --------
        >>> from assay.index import SimilarityGraph
        >>> graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0]], k=1, metric="l2")
        >>> graph.insert([[5.5]]).neighbors.ravel().tolist()
        [1, 0, 3, 2]
        """
        n = len(self)
        X_new = as_vectors(X_new, ids=ids, what="new vectors")
        X = self._kept_vectors(vectors, n + len(X_new))
        check_width(X_new, X.shape[1])
        if len(X) == n:
            X = np.concatenate([X, X_new])
        elif not np.array_equal(X[n:], X_new):
            raise InputError("The vectors behind those of the graph are not the new ones.")
        named = as_ids(ids, len(X_new))
        if (named is None) != (self._ids is None):
            raise IdError(
                "New rows need ids where the graph has ids, and can't have them otherwise."
            )
        if named is not None and self._ids is not None:
            named = as_ids(pl.concat([self._ids, named]), len(X))
        found = insert_rows(X, named, self._lists(), metric=self.metric, threads=threads)
        return self._updated(found, X, named, inserted=len(X_new))

    def remove(self, ids: Any, *, vectors: Any = None, threads: int | None = None) -> Self:
        """Return the graph without the rows `ids`; this one stays as it is.

        Without ids in the graph they are positions, and later rows move up.

        Parameters
        ----------
        ids : sequence of str or int
        vectors : array-like, shape (n, d), optional
            The vectors of the present rows, for a graph that was loaded.
        threads : int, optional
            As in `from_vectors`.

        Raises
        ------
        InputError
            No vectors, no row left, or a graph made with `robust`.
        IdError
            Unknown ids.

        Notes
        -----
        See `remove_rows`; the search follows the number of rows that listed a removed one.

        Examples
        --------
        >>> from assay.index import SimilarityGraph
        >>> graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0]], k=1, metric="l2")
        >>> graph.remove([1]).neighbors.ravel().tolist()
        [1, 0]
        """
        n = len(self)
        X = self._kept_vectors(vectors, n)
        gone = find_ids(self._ids, n, ids)
        if gone.all():
            raise InputError("No row would be left; a graph needs at least one.")
        found = remove_rows(X, self._ids, self._lists(), gone, metric=self.metric, threads=threads)
        named = None if self._ids is None else self._ids.filter(pl.Series(~gone))
        return self._updated(found, X[~gone], named, removed=int(gone.sum()))

    def updated(
        self,
        X: Any,
        rows: NDArray[np.integer],
        *,
        before: Any,
        ids: Any = None,
        threads: int | None = None,
    ) -> Self:
        """Return the graph of the rows of X, some of which are rows of this graph.

        Rows of this graph that X lacks are removed, then the new ones are inserted, and the rows
        are put in the order of X. ``report_["built_recall"]`` is what `recall` was before the first
        update, measured on the same rows as far as they are still there.

        Parameters
        ----------
        X : array-like, shape (m, d)
        rows : int[m]
            Which of the graph's rows each row of X is; -1: a new one.
        before : array-like, shape (n, d)
            The vectors of the graph's rows.
        ids : sequence of str or int, length m
            Ids of the rows of X, where the graph has ids: those that it knows them by.
        threads : int, optional
            As in `from_vectors`.

        Raises
        ------
        InputError, IdError
            As `insert` and `remove`.

        Examples
        --------
        >>> from assay.index import SimilarityGraph
        >>> X = [[0.0], [1.0], [5.0]]
        >>> graph = SimilarityGraph.from_vectors(X, k=1, metric="l2")
        >>> graph.updated([[5.5], [5.0], [0.0]], [-1, 2, 0], before=X).neighbors.ravel().tolist()
        [1, 0, 1]
        """
        X = as_vectors(X, ids=ids)
        rows = np.asarray(rows, np.int64)
        before = self._kept_vectors(before, len(self))
        named = as_ids(ids, len(X))
        if (named is None) != (self._ids is None):
            raise IdError("Rows need ids where the graph has ids, and can't have them otherwise.")
        place = np.full(len(self), -1)
        place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        kept = place >= 0
        if not kept.any():
            raise InputError("None of the graph's rows is left; build a new graph.")
        found = self._lists()
        how: dict[str, Any] = {"metric": self.metric, "threads": threads}
        built = self.report_.get("built_recall")
        if built is None:
            built = measured_recall(before, self._ids, found, **how)
        if not kept.all():
            found = remove_rows(before, self._ids, found, ~kept, **how)
        order = np.concatenate([place[kept], np.flatnonzero(rows < 0)])
        straight = np.array_equal(order, np.arange(len(X)))
        if len(order) > kept.sum():
            ordered = named if named is None or straight else as_ids(named.gather(order), len(X))
            found = insert_rows(X if straight else X[order], ordered, found, **how)
        if not straight:
            found = _reordered(found, order)
        return self._updated(
            found,
            X,
            named,
            inserted=int((rows < 0).sum()),
            removed=int((~kept).sum()),
            built_recall=built,
        )

    def _kept_vectors(self, vectors: Any, most: int) -> Vectors:
        if self.report_.get("robust"):
            raise InputError("A graph made with robust='context' can't be updated; build it again.")
        given = self.vectors if vectors is None else as_vectors(vectors)
        if given is None:
            raise InputError("This graph holds no vectors: pass those of its rows as `vectors`.")
        if len(given) not in (len(self), most):
            raise InputError(
                f"There are {len(given)} vectors for the {len(self)} rows of the graph."
            )
        return given

    def _lists(self) -> NearestNeighbors:
        return NearestNeighbors(
            self.neighbors, self._distances, self.centroids_, self.report_, self.cells_
        )

    def _updated(
        self, found: NearestNeighbors, X: Vectors, ids: pl.Series | None, **counts: float
    ) -> Self:
        before = {name: self.report_.get(name) for name in ("n", "edges", "recall")}
        report = found.report | {"n": len(X), "inserted": 0, "removed": 0, **counts}
        report |= {"parent": before, "updates": 1 + self.report_.get("updates", 0)}
        found = replace(found, report=report)
        return self._of(found, X, ids, self.metric, self.symmetrise, self.weighting)


def _reordered(found: NearestNeighbors, order: NDArray[np.int64]) -> NearestNeighbors:
    """Return the lists with row g at ``order[g]``."""
    inverse = np.argsort(order)
    moved = np.append(order, -1).astype(np.int32)
    return replace(
        found,
        neighbors=moved[found.neighbors[inverse]],
        distances=found.distances[inverse],
        cells=None if found.cells is None else found.cells[inverse],
    )
