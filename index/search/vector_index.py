"""A searchable, storable index of vectors on top of FAISS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.search.coding import Coding
from assay.index.search.files import read_index, write_index
from assay.index.search.kinds import FLAT_UP_TO
from assay.index.search.rows import Rows, StoredRows
from assay.index.threads import thread_count
from assay.index.vectors.centroids import SAMPLES_PER_LIST, list_count, train_centroids
from assay.index.vectors.checks import (
    Vectors,
    as_ids,
    as_vectors,
    check_metric,
    check_scale,
    check_width,
    find_ids,
    fits_float32,
    id_noise,
    id_order,
)
from assay.index.vectors.exact import row_squares
from assay.index.vectors.forms import as_array, as_queries
from assay.index.vectors.mapped import is_large
from assay.index.vectors.stored import STORAGES
from assay.storage.errors import ConfigError, CorruptArtifactError, IdError, InputError
from assay.storage.hashing.rows import first_rows
from assay.storage.limits import NEIGHBORS, SEED, check_parameters

KINDS = ("auto", "flat", "ivf", "hnsw")
_FORMAT = 2


class VectorIndex:
    r"""The nearest stored vectors of a query, exactly or approximately.

    Finds, for a query q, the k stored vectors x with the greatest :math:`\cos(q, x)` (cosine) or
    :math:`\langle q, x \rangle` (ip), or the smallest :math:`\lVert q - x \rVert` (l2). Values are
    computed again in float64 for what was found, and equal ones are put in order of id, so that
    results don't depend on the size of the batch or the number of threads.

    Parameters
    ----------
    metric : {'cosine', 'l2', 'ip'}, default 'cosine'
        The cosine keeps normalized copies; zero rows have the cosine 0 to all.
    kind : {'auto', 'flat', 'ivf', 'hnsw'}, default 'auto'
        'flat' compares everything and is exact. 'ivf' compares the rows of the `probes` nearest of
        n / 500 (at most sqrt(n)) k-means lists. 'hnsw' walks a navigable graph: quick to search,
        slow to build, and poor where many rows are equal; rows that are removed stay in it unseen
        until they are a fifth of it, then it is built again. 'auto' is flat up to
        50,000 rows and ivf beyond.
    random_state : int, default 0
        Chooses the rows that train the lists.
    storage : {'float32', 'float16', 'int8'}, default 'float32'
        What rows are kept in. 'float16' takes half of the memory and of the file, 'int8' a quarter:
        rows are rotated, so that all coordinates need the same range, and rounded to 255 steps. The
        60 rows that are nearest by the codes are then compared by what the codes stand for, or, if
        `search` is given the vectors, exactly.

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
        Unknown metric or kind; rows to be added to or removed from a mapped index.
    InputError, NonFiniteError, IdError
        Vectors or ids that can't be used; rows longer than 3e18 or all shorter than 1e-16, where
        the kind (ivf, hnsw), the metric (ip) or a storage below float32 squares them in float32. The
        flat kind takes l2 and cosine at any scale, and 'auto' is flat there.
    CorruptArtifactError
        A saved index with a byte that is not as it was written.

    Notes
    -----
    Memory is that of the vectors (once more while they are added), with 150 bytes more per row for
    hnsw and about 50 for ivf; float16 and int8 take a half and a quarter of the vectors'. A query
    costs 2 n d operations (flat), or probes / lists of that (ivf). The steps of int8 are a 28th (d = 128)
    of a standard deviation of the coordinates of the longest row: with l2 and ip, a row that is many
    times as long as the others makes their codes coarse, and float16 suits better. Flat
    searches use NumPy's BLAS, as the one in the FAISS wheel is several times slower; from 500 queries at a
    time on, for k up to 32, they compare int8 codes first, with the same result. The codes are kept,
    at a byte a coordinate (of a multiple of 64).

    FAISS hangs in a forked child once its threads were used in the parent: use threads, or start
    processes by spawning.

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

    def __init__(
        self,
        metric: str = "cosine",
        kind: str = "auto",
        random_state: int = 0,
        storage: str = "float32",
    ) -> None:
        check_metric(metric)
        check_parameters(
            kind=(kind, *KINDS), random_state=(random_state, *SEED), storage=(storage, *STORAGES)
        )
        self.metric = metric
        self.kind = kind
        self.random_state = random_state
        self.storage = storage
        self.kind_ = kind
        self._rows: StoredRows | None = None
        self._ids: pl.Series | None = None
        self._mapped: Path | None = None

    @classmethod
    def from_vectors(
        cls,
        X: Any,
        *,
        ids: Any = None,
        metric: str = "cosine",
        kind: str = "auto",
        centroids: Any = None,
        cells: Any = None,
        random_state: int = 0,
        storage: str = "float32",
    ) -> VectorIndex:
        """Build an index of `X`; see `build`."""
        return cls(metric, kind, random_state, storage).build(X, ids, centroids, cells)

    def __repr__(self) -> str:
        coded = f", storage={self.storage!r}" if self.storage != "float32" else ""
        if self._rows is None:
            return f"VectorIndex(metric={self.metric!r}, kind={self.kind!r}{coded})"
        return (
            f"VectorIndex(n={len(self)}, dimension={self.dimension}, metric={self.metric!r}, "
            f"kind={self.kind_!r}{coded})"
        )

    @property
    def dimension(self) -> int:
        return int(self._built().index.d)

    @property
    def centroids(self) -> Vectors | None:
        return None if self._rows is None else self._rows.centroids

    @property
    def ids(self) -> NDArray[np.object_] | None:
        return None if self._ids is None else self._ids.to_numpy()

    def build(
        self, X: Any, ids: Any = None, centroids: Any = None, cells: Any = None
    ) -> VectorIndex:
        """Index the rows of `X`, replacing all earlier rows.

        Parameters
        ----------
        X : array-like, shape (n, d)
        ids : sequence of str or int, length n, optional
        centroids : array-like, shape (lists, d), optional
            Centroids for 'ivf' (default: k-means on the rows whose ids hash smallest), for example
            `SimilarityGraph.centroids_`.
        cells : int array of length n, optional
            The list that each row enters, for example `SimilarityGraph.cells_`, with `centroids`; for
            'ivf' alone. Default, and where it is -1: that of the nearest centroid, which takes half
            of the time.
        """
        X, order, listed, rows = self._prepared(X, ids, centroids, cells)
        rows.append(X, order, listed)
        self._rows = rows
        return self

    def write(
        self,
        directory: str | Path,
        X: Any,
        ids: Any = None,
        centroids: Any = None,
        cells: Any = None,
    ) -> None:
        """Write the index of `X` to a folder, the same to the byte as `build` and `save` do.

        Of a large memory-mapped `X` in float32 whose rows have `cells`, only parts are in memory, and
        some 180 bytes per row. The index itself stays empty.
        """
        X, order, listed, rows = self._prepared(X, ids, centroids, cells)
        if listed is not None and is_large(X) and not rows.coding.coded:
            rows.stream(X, order, listed)
        else:
            rows.append(X, order, listed)
        self._rows = rows
        self.save(directory)
        self._rows = self._ids = None

    def _prepared(
        self, X: Any, ids: Any, centroids: Any, cells: Any
    ) -> tuple[Vectors, NDArray[np.int64], NDArray[np.integer] | None, StoredRows]:
        """Return the rows, their order, the list of each if given, and where they are to go."""
        X = as_vectors(X, ids=ids)
        self._ids = as_ids(ids, len(X))
        self.kind_ = self.kind
        longest = float(row_squares(X).max())
        if self.kind == "auto":
            wide = len(X) > FLAT_UP_TO and fits_float32(longest, self.metric, rough=True)
            self.kind_ = "ivf" if wide else "flat"
        self._check_scale(longest)
        self._mapped = None
        listed = self._checked_cells(cells, len(X), centroids)
        centroids = self._train(X, centroids)
        order = id_order(self._ids, len(X))
        coding = Coding.of(self.storage, self.metric, X, order)
        rows = StoredRows.empty(self.kind_, self.metric, X.shape[1], centroids, coding)
        return X, order, listed, rows

    def search(
        self,
        Q: Any,
        k: int,
        *,
        among: Any = None,
        excluding: Any = None,
        probes: int | None = None,
        vectors: Any = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the k nearest stored rows of every query, best first.

        Parameters
        ----------
        Q : array-like, shape (m, d) or (d,)
            One vector is one query.
        k : int
            Beyond the number of rows found, lists are padded.
        among, excluding : sequence of ids (of positions where there are no ids), optional
            Only the rows in `among` that are not in `excluding` are found. Where these are at most
            50,000 they are searched exactly, whatever the kind.
        probes : int, optional
            Lists compared per query (ivf, default 32) or breadth of the walk (hnsw, default 2 k and
            at least 64); the defaults grow with the share of rows left out. Flat ignores it.
        vectors : float32[n, d], optional
            With `storage` below float32: the rows in the order of their positions, in memory or in a
            mapped file, by which the 60 (at least k + 8) that the codes find are compared exactly. A
            function of positions int64[m] that returns their rows serves too. float32 ignores it.

        Returns
        -------
        values : float32[m, k]
            Cosine or inner product, descending (padding -inf), or Euclidean distance for l2,
            ascending (padding inf).
        positions : int64[m, k]
            Positions of the rows (padding -1); a row that was indexed finds itself.

        Examples
        --------
        >>> index = VectorIndex.from_vectors([[1, 0], [0, 1], [1, 1]], ids=["a", "b", "c"])
        >>> _, positions = index.search([[2, 1]], k=2, excluding=["c"])
        >>> index.ids[positions[0]].tolist()
        ['a', 'b']
        """
        check_parameters(k=(k, NEIGHBORS), probes=(probes, NEIGHBORS, None))
        Q = as_vectors(as_queries(Q), what="queries")
        self._check_scale(max(1.0, float(row_squares(Q).max())))
        allowed = None
        if among is not None or excluding is not None:
            allowed = np.ones(len(self), bool) if among is None else self._find(among)
            if excluding is not None:
                allowed &= ~self._find(excluding)
        keys, positions = self.search_keys(Q, k, probes, allowed, self._exact(vectors))
        values = np.sqrt(keys) if self.metric == "l2" else -keys
        return values.astype(np.float32), positions

    def query(self, Q: Any, k: int, **how: Any) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """Return the k nearest stored rows of every query by their ids; otherwise as `search`.

        Returns
        -------
        values : float32[m, k], or [k] for one vector
            As in `search`.
        ids : array of str (of int64 positions where there are no ids), of the same shape
            Padding is None (-1 for positions).

        Examples
        --------
        >>> index = VectorIndex.from_vectors([[1, 0], [0, 1], [1, 1]], ids=["a", "b", "c"])
        >>> index.query([2, 1], k=2)[1].tolist()
        ['c', 'a']
        """
        queries = as_array(Q, "queries")
        values, positions = self.search(queries, k, **how)
        ids: NDArray[Any] = positions
        if self._ids is not None:
            names = pl.concat([self._ids, pl.Series([None], dtype=pl.String)]).to_numpy()
            ids = names[positions]
        return (values[0], ids[0]) if queries.ndim == 1 else (values, ids)

    def search_keys(
        self,
        Q: Vectors,
        k: int,
        probes: int | None = None,
        allowed: NDArray[np.bool_] | None = None,
        vectors: Rows | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return keys float64[m, k] (lower is nearer) and positions; `Q` must be checked.

        `allowed` tells for each position whether it may be found; `vectors` returns the rows of
        positions.
        """
        rows = self._built()
        check_width(Q, self.dimension)
        return rows.search(Q, k, probes, allowed, lambda: id_order(self._ids, len(rows)), vectors)

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    def default_probes(self, k: int) -> int:
        """Return the `probes` of a search for k rows that doesn't name them."""
        return self._built().default_probes(k)

    def add(self, X: Any, ids: Any = None) -> None:
        """Append rows; their positions follow those there are. ids are needed where there are ids.

        Raises `IdError` on an id that is there already.
        """
        self._check_writable()
        X = check_width(as_vectors(X, ids=ids), self.dimension)
        self._check_scale(max(1.0, float(row_squares(X).max())))
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
        self._built().append(X, id_order(added, len(X)))

    def remove(self, ids: Any) -> None:
        """Take rows out by id (by position where there are no ids); later rows move up.

        Costs a pass over the index; hnsw only hides the rows, or is built again (see `kind`).
        """
        self._check_writable()
        rows = self._built()
        gone = self._find(ids)
        rows.remove(gone)
        if self._ids is not None:
            self._ids = self._ids.filter(pl.Series(~gone))
        if rows.worn:
            rows.build_again(id_order(self._ids, len(rows)))

    def save(self, directory: str | Path) -> None:
        """Write the index, and checksums of every 64 MiB of it, to the folder `directory`.

        A mapped index is not written: copy its folder.
        """
        self._check_writable()
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_index(Path(directory), self._built(), self._ids, self._description())

    @classmethod
    def load(cls, directory: str | Path, *, mmap: bool = False, verify: bool = True) -> VectorIndex:
        """Read an index that `save` wrote, checking that every byte is as it was written.

        Parameters
        ----------
        directory : str or Path
        mmap : bool, default False
            Leave the vectors of an ivf index on disk and map them, for indexes larger than memory,
            or shared between processes. Such an index can't be changed. Blocks of 64 MiB are
            checked when a search first reads them; a filter that leaves at most 50,000 rows reads
            all. In memory stay some 50 bytes per row.
        verify : bool, default True
            False leaves out the checksums, where `ArtifactStore.open` has compared its own.
        """
        directory = Path(directory)
        rows, ids, description = read_index(directory, mmap=mmap, verify=verify)
        try:
            storage = description.get("storage", "float32")
            loaded = cls(
                description["metric"], description["kind"], description["random_state"], storage
            )
            loaded.kind_ = description["kind_"]
            loaded._rows, loaded._ids = rows, ids
            actual = loaded._description()
            wrong = [key for key in description if description[key] != actual[key]]
        except (ValueError, KeyError) as error:
            raise CorruptArtifactError(
                f"The description of the index in {directory} can't be used ({error}); build it again."
            ) from error
        if wrong:
            raise CorruptArtifactError(
                f"The index in {directory} doesn't fit its description ({', '.join(wrong)}); build "
                "it again."
            )
        loaded._mapped = directory if mmap else None
        return loaded

    def _description(self) -> dict[str, Any]:
        index = self._built().index
        return {
            "format": _FORMAT,
            "metric": self.metric,
            "kind": self.kind,
            "kind_": self.kind_,
            "random_state": self.random_state,
            "faiss_type": type(index).__name__,
            "faiss_metric": int(index.metric_type),
            "dimension": int(index.d),
            "stored": int(index.ntotal),
            "rows": len(self),
            "ids": None if self._ids is None else len(self._ids),
            **self._built().coding.described(),
        }

    def _built(self) -> StoredRows:
        if self._rows is None:
            raise InputError("The index is empty: call build(X) first.")
        return self._rows

    def _train(self, X: Vectors, centroids: Any) -> Vectors | None:
        if self.kind_ != "ivf":
            return None
        if centroids is not None:
            return check_width(as_vectors(centroids, what="centroids"), X.shape[1])
        lists = list_count(len(X))
        noise = id_noise(self._ids, len(X), self.random_state)
        sample = X[first_rows(noise, lists * SAMPLES_PER_LIST)]
        return train_centroids(sample, lists, self.metric, threads=thread_count())

    def _checked_cells(self, cells: Any, n: int, centroids: Any) -> NDArray[np.integer] | None:
        if cells is None or self.kind_ != "ivf":
            return None
        listed = np.asarray(cells)
        lists = 0 if centroids is None else len(centroids)
        whole = listed.shape == (n,) and listed.dtype.kind in "iu"
        if not (whole and listed.min() >= -1 and listed.max() < lists):
            raise InputError(
                f"`cells` must be {n} whole numbers, one for each row: a place among the {lists} "
                "centroids given, or -1; give the graph's `cells_` and `centroids_` together, or neither."
            )
        return listed

    def _exact(self, vectors: Any) -> Rows | None:
        """Return what reads the rows of positions from the vectors that were given."""
        if vectors is None:
            return None
        if callable(vectors):
            read: Rows = vectors
            return read
        expected = (len(self), self.dimension)
        if np.shape(vectors) != expected:
            raise InputError(
                f"`vectors` must be the rows that are in the index, an array of shape {expected}, and "
                f"has {np.shape(vectors)}."
            )
        return lambda positions: np.ascontiguousarray(vectors[positions], np.float32)

    def _find(self, ids: Any) -> NDArray[np.bool_]:
        if isinstance(ids, str | bytes):
            raise IdError(f"Pass a list of ids, not the text {ids!r}.")
        return find_ids(self._ids, len(self), ids)

    def _check_scale(self, longest: float) -> None:
        coded = self.storage != "float32"
        rough = coded or self.kind_ in ("ivf", "hnsw")
        how = f"kind={self.kind_!r} compares in"
        if self.metric == "ip":
            how = "inner products are returned in"
        elif coded:
            how = f"storage={self.storage!r} compares in"
        check_scale(longest, self.metric, rough=rough, how=how)

    def _check_writable(self) -> None:
        if self._mapped is not None:
            raise ConfigError(
                f"The index in {self._mapped} is mapped read-only: load it without mmap=True to "
                "add, remove or save rows."
            )
