"""The similarity graph: nearest neighbours of every row, as sparse symmetric edges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index import centrality
from assay.index.knn_exact import Progress
from assay.index.nearest_neighbors import nearest_neighbors
from assay.index.symmetrise import Edges, check_symmetrise, similarities_of, symmetric_edges
from assay.index.vectors import as_ids, as_vectors, check_metric, id_order
from assay.storage.errors import CorruptArtifactError

if TYPE_CHECKING:
    import networkx as nx

_ARRAYS = ("indptr", "indices", "weights", "neighbors", "distances")
_FORMAT = 1


class SimilarityGraph:
    r"""Undirected graph of nearest neighbours, built by `from_vectors`.

    Row i is joined to row j with the weight s(i, j) where j is among the k most similar rows of i,
    or i among those of j ('union'), or both ('mutual').

    ========  =======================================  ==========================  ================
    metric    similarity s                             weight                      distance
    ========  =======================================  ==========================  ================
    cosine    cos(x, y)                                max(s, 1e-6)                1 - s
    l2        1 / (1 + distance)                       s                           Euclidean
    ip        inner product                            max(s, 1e-6), not bounded   -s
    ========  =======================================  ==========================  ================

    Attributes
    ----------
    indptr : int64[n + 1]
    indices : int32[edges * 2]
        Columns of each row, ascending; every edge in both rows, no row with itself.
    weights : float32[edges * 2]
        Above 0: edges of dissimilar rows keep a least weight, so that the structure stays.
    neighbors : int32[n, k]
        The k most similar rows of each row, best first, -1 where there are fewer.
    similarities : float32[n, k]
        Their similarities, -inf where there are fewer.
    ids : ndarray of str, or None
        The id of every node; None where positions serve as ids.
    metric, k, symmetrise
        As given.
    centroids_ : float32[lists, d] or None
        Centroids that the block join trained, of use to `VectorIndex`.
    report_ : dict
        method, n, k, metric, symmetrise, recall with its 95% interval (recall_low, recall_high),
        rounds of expansion, probes, blocks (lists), duplicates (rows that equal an earlier row),
        zero_rows (of length 0 under the cosine), seed, edges.

    Notes
    -----
    It stands in for a graph of networkx in the functions that the networkx backend of this package
    covers, as in ``nx.pagerank(graph)``.

    Examples
    --------
    >>> graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0], [7.0]], k=1, metric="l2")
    >>> graph.neighbors.ravel().tolist()
    [1, 0, 3, 2]
    >>> graph.weights.tolist()
    [0.5, 0.5, 0.3333333432674408, 0.3333333432674408]
    """

    __networkx_backend__ = "assay"

    def __init__(
        self,
        *,
        neighbors: NDArray[np.int32],
        distances: NDArray[np.float32],
        metric: str,
        symmetrise: str = "union",
        ids: Any = None,
        centroids: NDArray[np.float32] | None = None,
        report: dict[str, Any] | None = None,
        edges: Edges | None = None,
    ) -> None:
        check_metric(metric)
        check_symmetrise(symmetrise)
        self.neighbors = neighbors
        self.metric = metric
        self.symmetrise = symmetrise
        self.k = neighbors.shape[1]
        self.centroids_ = centroids
        self.report_ = {} if report is None else report
        self._distances = distances
        self._ids = as_ids(ids, len(neighbors))
        self.indptr, self.indices, self.weights = (
            symmetric_edges(neighbors, distances, metric, symmetrise) if edges is None else edges
        )

    @classmethod
    def from_vectors(
        cls,
        X: Any,
        *,
        ids: Any = None,
        k: int = 15,
        metric: str = "cosine",
        method: str = "auto",
        target_recall: float = 0.95,
        symmetrise: str = "union",
        random_state: int = 0,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> SimilarityGraph:
        r"""Join every row of `X` to its nearest rows.

        Equal rows are searched once and then each gets its nearest rows, its copies among them.
        Neighbours are ordered by distances in float64, equal ones by id, so that the graph is the
        same for any number of threads and, where ids are given, any order of the rows.

        Parameters
        ----------
        X : array-like, shape (n, d)
            Vectors. Zero rows have no direction: under the cosine they get no edges.
        ids : sequence of str or int, length n, optional
            Unique ids (default: positions).
        k : int, default 15
            Neighbours per row; 15 keeps nearly all of most pools in one component.
        metric : {'cosine', 'l2', 'ip'}, default 'cosine'
        method : {'auto', 'exact', 'block_join', 'ivf', 'hnsw'}, default 'auto'
            'auto' is exact where n n d <= 2e10 for n distinct rows (a second or two) or where
            target_recall is 1, else the block join. 'ivf' and 'hnsw' search the FAISS indexes.
        target_recall : float, default 0.95
            Approximate methods search on until the lower end of the 95% interval of the recall,
            measured on 1,000 rows, reaches it.
        symmetrise : {'union', 'mutual'}, default 'union'
            'mutual' has cleaner edges but falls apart into many components.
        random_state : int, default 0
            Chooses, with the ids, which rows train and which measure the recall.
        threads : int, optional
            Default: the cores this process may use. Does not change the result.
        progress : callable, optional
            Called as progress(stage, done, total).

        Raises
        ------
        InputError, NonFiniteError, IdError, ConfigError
            What is wrong with the vectors, the ids or the parameters.

        Notes
        -----
        Exact: n n d multiply-adds of BLAS. Block join: see `block_join`; it grows nearly linearly
        with n. Memory: at most about twice the vectors given ('ivf' and 'hnsw': three times), 40
        bytes per neighbour of each row, and 100 MB. Graphs are built one at a time in a process.
        """
        check_symmetrise(symmetrise)
        X = as_vectors(X, ids=ids)
        named = as_ids(ids, len(X))
        found = nearest_neighbors(
            X,
            named,
            k=k,
            metric=metric,
            method=method,
            target_recall=target_recall,
            random_state=random_state,
            threads=threads,
            progress=progress,
        )
        graph = cls(
            neighbors=found.neighbors,
            distances=found.distances,
            metric=metric,
            symmetrise=symmetrise,
            ids=named,
            centroids=found.centroids,
            report=found.report,
        )
        graph.report_ |= {"symmetrise": symmetrise, "edges": graph.number_of_edges()}
        return graph

    @cached_property
    def ids(self) -> NDArray[np.object_] | None:
        return None if self._ids is None else self._ids.to_numpy()

    @cached_property
    def similarities(self) -> NDArray[np.float32]:
        return similarities_of(self._distances, self.metric)

    def distances(self) -> NDArray[np.float32]:
        """Return float32[n, k]: how far each of `neighbors` is, inf where there are fewer."""
        return self._distances

    def degree(self) -> NDArray[np.int64]:
        """Return the number of edges of every node."""
        return np.diff(self.indptr)

    def hubness(self) -> NDArray[np.int64]:
        """Return on how many rows' lists of neighbours each row stands; see `centrality.hubness`."""
        return centrality.hubness(self.neighbors)

    def connected_components(self) -> NDArray[np.int32]:
        """Label the components in order of their first node; see `centrality`."""
        return centrality.connected_components(self.indptr, self.indices)

    def core_number(self) -> NDArray[np.int32]:
        """Return every node's core number; see `centrality.core_number`."""
        return centrality.core_number(self.indptr, self.indices)

    def pagerank(
        self, alpha: float = 0.85, tol: float = 1e-8, personalization: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return every node's PageRank over the weights; see `centrality.pagerank`.

        Sums run in order of id, so that the order of the rows can't change a bit.
        """
        order = id_order(self._ids, len(self))
        graph = self.to_scipy()
        if not np.array_equal(order, np.arange(len(self))):
            graph = graph[order][:, order]
            graph.sort_indices()
            if personalization is not None:
                personalization = np.asarray(personalization)[order]
        found = centrality.pagerank(
            graph.indptr,
            graph.indices,
            graph.data,
            alpha=alpha,
            tol=tol,
            personalization=personalization,
        )
        ranks = np.empty_like(found)
        ranks[order] = found
        return ranks

    def to_scipy(self) -> sparse.csr_array:
        """Return the weighted adjacency matrix over the same memory: don't write to it."""
        n = len(self)
        return sparse.csr_array((self.weights, self.indices, self.indptr), shape=(n, n))

    def to_networkx(self) -> nx.Graph:
        """Return a networkx graph of nodes 0 .. n - 1 with `sample_id`, and edges with `weight`.

        It takes some 370 bytes per edge; most functions take this graph as it is.
        """
        import networkx

        graph = networkx.Graph()
        names = range(len(self)) if self._ids is None else self._ids.to_list()
        graph.add_nodes_from((i, {"sample_id": str(name)}) for i, name in enumerate(names))
        upper = sparse.triu(self.to_scipy(), format="coo")
        edges = zip(upper.row.tolist(), upper.col.tolist(), upper.data.tolist(), strict=True)
        graph.add_weighted_edges_from(edges)
        return graph

    def save(self, directory: str | Path) -> None:
        """Write the graph to the existing folder `directory`."""
        directory = Path(directory)
        arrays = {name: getattr(self, name) for name in _ARRAYS if name != "distances"}
        arrays["distances"] = self._distances
        if self.centroids_ is not None:
            arrays["centroids"] = self.centroids_
        for name, array in arrays.items():
            np.save(directory / f"{name}.npy", array)
        if self._ids is not None:
            self._ids.to_frame("sample_id").write_parquet(directory / "ids.parquet")
        said = {
            "format": _FORMAT,
            "metric": self.metric,
            "symmetrise": self.symmetrise,
            "shape": list(self.neighbors.shape),
            "entries": len(self.indices),
            "ids": self._ids is not None,
            "centroids": self.centroids_ is not None,
            "report": self.report_,
        }
        (directory / "graph.json").write_text(json.dumps(said, indent=1))

    @classmethod
    def load(cls, directory: str | Path) -> SimilarityGraph:
        """Read a graph that `save` wrote, checking that its parts fit together."""
        directory = Path(directory)
        try:
            said = json.loads((directory / "graph.json").read_text())
            names = [*_ARRAYS, *(["centroids"] if said["centroids"] else [])]
            found = {name: np.load(directory / f"{name}.npy", allow_pickle=False) for name in names}
            ids = pl.read_parquet(directory / "ids.parquet")["sample_id"] if said["ids"] else None
            indptr, indices = found["indptr"], found["indices"]
            whole = (
                said["format"] == _FORMAT
                and list(found["neighbors"].shape) == said["shape"]
                and found["distances"].shape == found["neighbors"].shape
                and len(indptr) == said["shape"][0] + 1
                and len(indices) == len(found["weights"]) == said["entries"] == indptr[-1]
                and bool((np.diff(indptr) >= 0).all())
                and (not len(indices) or 0 <= indices.min() <= indices.max() < said["shape"][0])
            )
            if not whole:
                raise ValueError("its parts don't fit together")
            return cls(
                neighbors=found["neighbors"],
                distances=found["distances"],
                metric=said["metric"],
                symmetrise=said["symmetrise"],
                ids=ids,
                centroids=found.get("centroids"),
                report=said["report"],
                edges=(indptr, indices, found["weights"]),
            )
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise CorruptArtifactError(
                f"The graph in {directory} can't be read ({type(error).__name__}: {error}); "
                "build it again."
            ) from error

    def is_directed(self) -> bool:
        return False

    def is_multigraph(self) -> bool:
        return False

    def number_of_nodes(self) -> int:
        return len(self)

    def number_of_edges(self) -> int:
        return len(self.indices) // 2

    def __len__(self) -> int:
        return len(self.neighbors)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __contains__(self, node: object) -> bool:
        return isinstance(node, int | np.integer) and 0 <= int(node) < len(self)

    def __repr__(self) -> str:
        return (
            f"SimilarityGraph(n={len(self)}, edges={self.number_of_edges()}, k={self.k}, "
            f"metric={self.metric!r})"
        )
