"""A searchable, storable index of vectors on top of FAISS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index._faiss_kinds import (
    DEFAULT_PROBES,
    add_rows,
    approximate_search,
    centroids_of,
    new_index,
    stored_rows,
)
from assay.index.centroids import SAMPLES_PER_LIST, list_count, train_centroids
from assay.index.knn_exact import BlockScan, available_threads, exact_knn, unit_rows
from assay.index.vectors import (
    Vectors,
    as_ids,
    as_vectors,
    check_metric,
    check_width,
    find_ids,
    id_noise,
    id_order,
)
from assay.storage.errors import ConfigError, CorruptArtifactError, IdError, InputError

KINDS = ("auto", "flat", "ivf", "hnsw")
FLAT_UP_TO = 50_000
_ADDED = 65_536
_FORMAT = 1


class VectorIndex:
    r"""The nearest stored vectors of a query, exactly or approximately.

    Finds, for a query q, the k stored vectors x with the greatest :math:`\cos(q, x)` (cosine) or
    :math:`\langle q, x \rangle` (ip), or the smallest :math:`\lVert q - x \rVert` (l2). Values are
    computed again in float64 for what was found, and equal ones are put in order of id, so that
    results don't depend on the size of the batch or the number of threads.

    Parameters
    ----------
    metric : {'cosine', 'l2', 'ip'}, default 'cosine'
        The cosine keeps normalised copies; zero rows have the cosine 0 to all.
    kind : {'auto', 'flat', 'ivf', 'hnsw'}, default 'auto'
        'flat' compares everything and is exact. 'ivf' compares the rows of the `probes` nearest of
        n / 500 (at most sqrt(n)) k-means lists. 'hnsw' walks a navigable graph: quick to search,
        slow to build, can't remove rows, and poor where many rows are equal. 'auto' is flat up to
        50,000 rows and ivf beyond.
    random_state : int, default 0
        Chooses the rows that train the lists.

    Attributes
    ----------
    ids : ndarray of str, or None
        The id of every position; None where positions serve as ids.
    dimension : int
        Columns of the vectors.
    kind_ : str
        The kind that was built.
    centroids : float32[lists, d], or None
        The centroids of an ivf index.

    Raises
    ------
    ConfigError
        Unknown metric or kind; rows to be removed from an HNSW index.
    InputError, NonFiniteError, IdError
        Vectors or ids that can't be used.
    CorruptArtifactError
        A saved index that can't be read or doesn't fit its description.

    Notes
    -----
    Memory is that of the vectors (once more while they are added), with 150 bytes more per row for
    hnsw and about 50 for ivf. A query costs 2 n d operations (flat), or probes / lists of that
    (ivf). Flat searches use NumPy's BLAS: the one in the FAISS wheel is several times slower.

    FAISS hangs in a forked child once its threads were used in the parent: use threads, or start
    processes by spawning. Searches with different `probes` must not run at the same time on one
    index.

    References
    ----------
    Douze et al., "The Faiss library", 2024, arXiv:2401.08281. Malkov and Yashunin, "Efficient and
    robust approximate nearest neighbor search using hierarchical navigable small world graphs",
    IEEE TPAMI 42(4), 2020.

    Examples
    --------
    >>> index = VectorIndex.from_vectors([[1, 0], [0, 1], [1, 1]], ids=["a", "b", "c"])
    >>> similarities, positions = index.search([[2, 1]], k=2)
    >>> index.ids[positions[0]].tolist()
    ['c', 'a']
    """

    def __init__(self, metric: str = "cosine", kind: str = "auto", random_state: int = 0) -> None:
        check_metric(metric)
        if kind not in KINDS:
            raise ConfigError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
        self.metric = metric
        self.kind = kind
        self.random_state = random_state
        self.kind_ = kind
        self._index: Any = None
        self._ids: pl.Series | None = None
        # label of every stored row in FAISS, ascending, and the position it stands for
        self._labels: NDArray[np.int64] = np.empty(0, np.int64)
        self._positions: NDArray[np.int64] = np.empty(0, np.int64)
        self.centroids: Vectors | None = None
        self._searched: BlockScan | None = None

    @classmethod
    def from_vectors(
        cls,
        X: Any,
        *,
        ids: Any = None,
        metric: str = "cosine",
        kind: str = "auto",
        centroids: Any = None,
        random_state: int = 0,
    ) -> VectorIndex:
        """Build an index of `X`; see `build`."""
        return cls(metric, kind, random_state).build(X, ids, centroids)

    @property
    def dimension(self) -> int:
        return int(self._built().d)

    @property
    def ids(self) -> NDArray[np.object_] | None:
        return None if self._ids is None else self._ids.to_numpy()

    def build(self, X: Any, ids: Any = None, centroids: Any = None) -> VectorIndex:
        """Index the rows of `X` in place of what was there.

        Parameters
        ----------
        X : array-like, shape (n, d)
        ids : sequence of str or int, length n, optional
        centroids : array-like, shape (lists, d), optional
            Centroids for 'ivf' (default: k-means on the rows whose ids hash smallest), for example
            `SimilarityGraph.centroids_`.
        """
        X = as_vectors(X, ids=ids)
        self._ids = as_ids(ids, len(X))
        self.kind_ = self.kind
        if self.kind == "auto":
            self.kind_ = "flat" if len(X) <= FLAT_UP_TO else "ivf"
        self._labels, self._positions = np.empty(0, np.int64), np.empty(0, np.int64)
        self.centroids = self._lists(X, centroids)
        self._index = new_index(self.kind_, self.metric, X.shape[1], self.centroids)
        self._append(X, id_order(self._ids, len(X)))
        return self

    def search(
        self, Q: Any, k: int, *, probes: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the k nearest stored rows of every query, best first.

        Parameters
        ----------
        Q : array-like, shape (m, d)
        k : int
            Beyond the number of rows found, lists are padded.
        probes : int, optional
            Lists compared per query (ivf, default 32) or breadth of the walk (hnsw, default 2 k and
            at least 64). More is slower and finds more. Flat ignores it.

        Returns
        -------
        values : float32[m, k]
            Cosine or inner product, descending (padding -inf), or Euclidean distance for l2,
            ascending (padding inf).
        positions : int64[m, k]
            Positions of the rows (padding -1); a row that was indexed finds itself.
        """
        Q = as_vectors(Q, what="queries")
        if k < 1 or (probes is not None and probes < 1):
            raise ConfigError(f"k and probes must be at least 1, not {k!r} and {probes!r}.")
        keys, positions = self.search_keys(Q, k, probes)
        values = np.sqrt(keys) if self.metric == "l2" else -keys
        return values.astype(np.float32), positions

    def search_keys(
        self, Q: Vectors, k: int, probes: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return keys float64[m, k] (lower is nearer) and positions; `Q` must be checked."""
        index = self._built()
        check_width(Q, self.dimension)
        if not len(self):
            return np.full((len(Q), k), np.inf), np.full((len(Q), k), -1)
        if self.kind_ == "flat":
            if self._searched is None:
                self._searched = BlockScan(stored_rows(index), self.metric, self._rank())
            keys, rows = exact_knn(Q, self._searched, k, threads=available_threads())
            return keys, np.where(rows < 0, -1, self._positions[rows])
        probes = self.default_probes(k) if probes is None else probes
        keys, places = approximate_search(
            index, Q, k, probes, self.metric, self.centroids, self._labels, self._rank()
        )
        return keys, np.where(places < 0, -1, self._positions[places])

    def __len__(self) -> int:
        return len(self._positions)

    def default_probes(self, k: int) -> int:
        """Return the `probes` of a search for k rows that doesn't name them."""
        return DEFAULT_PROBES if self.kind_ == "ivf" else max(64, 2 * k)

    def add(self, X: Any, ids: Any = None) -> None:
        """Append rows; their positions follow those there are. ids are needed where there are ids.

        Raises `IdError` on an id that is there already.
        """
        X = check_width(as_vectors(X, ids=ids), self.dimension)
        added = as_ids(ids, len(X))
        if (added is None) != (self._ids is None):
            there = (
                "without ids: add without ids too" if added is not None else "with ids: pass ids"
            )
            raise IdError(f"This index was built {there}.")
        if self._ids is not None and added is not None:
            known = added.filter(added.is_in(self._ids.implode()))
            if len(known):
                names = ", ".join(map(repr, known.head(5)))
                raise IdError(
                    f"{len(known)} ids are in the index already: {names}. Remove them first."
                )
            self._ids = pl.concat([self._ids, added])
        self._append(X, id_order(added, len(X)))

    def remove(self, ids: Any) -> None:
        """Take rows out by id (by position where there are no ids); later rows move up.

        Costs a pass over the index. HNSW can't remove rows.
        """
        if self.kind_ == "hnsw":
            raise ConfigError(
                "An HNSW index can't remove rows; build it again without them, or use kind='ivf' "
                "or 'flat'."
            )
        index = self._built()
        gone = find_ids(self._ids, len(self), ids)
        entries = np.flatnonzero(gone[self._positions])
        index.remove_ids(np.ascontiguousarray(self._labels[entries]))
        moved = np.cumsum(~gone) - 1
        self._positions = moved[np.delete(self._positions, entries)]
        self._labels = np.delete(self._labels, entries)
        if self.kind_ == "flat":
            # FAISS numbers the rows of a flat index anew
            self._labels = np.arange(len(self._positions))
        if self._ids is not None:
            self._ids = self._ids.filter(pl.Series(~gone))
        self._searched = None

    def save(self, directory: str | Path) -> None:
        """Write the index to the existing folder `directory`."""
        directory = Path(directory)
        faiss.write_index(self._built(), str(directory / "index.faiss"))
        np.save(directory / "rows.npy", np.stack([self._labels, self._positions]))
        if self._ids is not None:
            self._ids.to_frame("sample_id").write_parquet(directory / "ids.parquet")
        (directory / "index.json").write_text(json.dumps(self._description(), indent=1))

    @classmethod
    def load(cls, directory: str | Path) -> VectorIndex:
        """Read an index that `save` wrote, checking that its parts fit together."""
        directory = Path(directory)
        try:
            said = json.loads((directory / "index.json").read_text())
            found = cls(said["metric"], said["kind"], said["random_state"])
            found.kind_ = said["kind_"]
            found._index = faiss.read_index(str(directory / "index.faiss"))
            found._labels, found._positions = np.load(directory / "rows.npy", allow_pickle=False)
            if said["ids"] is not None:
                found._ids = pl.read_parquet(directory / "ids.parquet")["sample_id"]
            actual = found._description()
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError) as error:
            raise CorruptArtifactError(
                f"The index in {directory} can't be read ({type(error).__name__}: {error}); "
                "build it again."
            ) from error
        wrong = [key for key in said if said[key] != actual[key]]
        if wrong or not np.array_equal(np.sort(found._positions), np.arange(said["rows"])):
            raise CorruptArtifactError(
                f"The index in {directory} doesn't fit its description "
                f"({', '.join(wrong) or 'positions'}); build it again."
            )
        found.centroids = centroids_of(found._index)
        return found

    def _description(self) -> dict[str, Any]:
        index = self._built()
        return {
            "format": _FORMAT,
            "metric": self.metric,
            "kind": self.kind,
            "kind_": self.kind_,
            "random_state": self.random_state,
            "faiss_type": type(index).__name__,
            "faiss_metric": int(index.metric_type),
            "dimension": int(index.d),
            "rows": int(index.ntotal),
            "ids": None if self._ids is None else len(self._ids),
        }

    def _built(self) -> Any:
        if self._index is None:
            raise InputError("The index is empty: call build(X) first.")
        return self._index

    def _lists(self, X: Vectors, centroids: Any) -> Vectors | None:
        if self.kind_ != "ivf":
            return None
        if centroids is not None:
            return check_width(as_vectors(centroids, what="centroids"), X.shape[1])
        lists = list_count(len(X))
        noise = id_noise(self._ids, len(X), self.random_state)
        sample = X[np.argsort(noise, kind="stable")[: lists * SAMPLES_PER_LIST]]
        return train_centroids(sample, lists, self.metric, threads=available_threads())

    def _append(self, X: Vectors, order: NDArray[np.int64]) -> None:
        start = int(self._labels[-1]) + 1 if len(self._labels) else 0
        labels = np.arange(start, start + len(order))
        for begin in range(0, len(order), _ADDED):
            rows = X[order[begin : begin + _ADDED]]
            rows = unit_rows(rows) if self.metric == "cosine" else rows
            add_rows(self._index, rows, labels[begin : begin + _ADDED], self.metric, self.centroids)
        self._positions = np.concatenate([self._positions, order + len(self)])
        self._labels = np.concatenate([self._labels, labels])
        self._searched = None

    def _rank(self) -> NDArray[np.int32]:
        by_id = np.empty(len(self), np.int32)
        by_id[id_order(self._ids, len(self))] = np.arange(len(self), dtype=np.int32)
        return by_id[self._positions]
