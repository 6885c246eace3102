"""The similarity graph: nearest neighbors of every row, as sparse symmetric edges."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from assay.index.algorithms import centrality, clustering
from assay.index.algorithms.communities import Communities
from assay.index.algorithms.eigenvector import EigenvectorCentrality
from assay.index.algorithms.smoothing import smoothed
from assay.index.algorithms.structure import METHODS, structure_vectors
from assay.index.graph import algorithms, updates
from assay.index.graph.context_similarity import CANDIDATES, with_context
from assay.index.graph.edge_weights import check_weights, similarities_of
from assay.index.graph.given_edges import given_edges
from assay.index.graph.hybrid_edges import HYBRID, join_by_words, vectors_of_texts
from assay.index.graph.query import nearest_to
from assay.index.graph.reading import NetworkxGraph
from assay.index.graph.saved import read_graph, write_graph
from assay.index.graph.symmetric_edges import SYMMETRISE, Edges, symmetric_edges
from assay.index.knn.nearest_neighbors import Distinct, NearestNeighbors, Search, nearest_neighbors
from assay.index.layout.umap import umap_layout
from assay.index.vectors.checks import (
    Vectors,
    as_ids,
    as_vectors,
    check_metric,
    check_width,
    id_order,
)
from assay.index.vectors.exact import Progress
from assay.index.vectors.forms import as_queries
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import MOST_ROUNDS, NEIGHBORS, SEED, Whole, check_parameters
from assay.storage.notebook import Shown, short_numbers

ROBUST = (None, "context")


class SimilarityGraph(NetworkxGraph, Shown):
    r"""Undirected graph of nearest neighbors, built by `from_vectors`.

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
        Positions of the k most similar rows of each row, best first, -1 where there are fewer.
    similarities : float32[n, k]
        Their similarities, -inf where there are fewer.
    ids : ndarray of str, or None
        The id of every node; None where positions serve as ids.
    sample_ids : polars Series of str, or None
        The same.
    metric, k, symmetrise, weighting
        As given; `weighting` is what was given as `weights`.
    vectors : float32[n, d] or None
        The vectors, which `insert` and `remove` need and `save` leaves out. Set it to None to free
        their memory.
    centroids_ : float32[lists, d] or None
        Means of the block join's cells, of use to `VectorIndex`.
    cells_ : int32[n] or None
        The cell of every row, -1 for rows of length 0 under the cosine.
    report_ : dict
        method, n, k, metric, symmetrise, recall with its 95% interval (recall_low, recall_high),
        rounds of the join, probes (cells that a row met, on average), blocks (cells), duplicates (rows that equal an earlier row),
        zero_rows (of length 0 under the cosine), seed, edges, robust, out_of_core. After `insert` or `remove`
        also inserted and removed, touched (rows whose lists changed), updates since it was built
        and parent: n, edges and recall of the graph before.

    Notes
    -----
    It reads as a graph of networkx whose nodes are the ids that were given (else positions):
    ``graph.nodes``, ``graph.edges``, ``graph[u]``, ``graph.neighbors(u)``, ``nx.Graph(graph)``. The
    functions that the networkx backend of this package covers take it as it is, as in
    ``nx.pagerank(graph)``, and key what they return by its nodes.

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
        weights: str = "similarity",
        ids: Any = None,
        vectors: Vectors | None = None,
        centroids: Vectors | None = None,
        cells: NDArray[np.int32] | None = None,
        report: dict[str, Any] | None = None,
        edges: Edges | None = None,
    ) -> None:
        check_metric(metric)
        check_parameters(symmetrise=(symmetrise, *SYMMETRISE))
        check_weights(weights, metric)
        self._neighbors = neighbors
        self.metric = metric
        self.symmetrise = symmetrise
        self.weighting = weights
        self.k = neighbors.shape[1]
        self.vectors = vectors
        self.centroids_ = centroids
        self.cells_ = cells
        self.report_ = {} if report is None else report
        self._distances = distances
        self.sample_ids = as_ids(ids, len(neighbors))
        self.numbered = ids is not None and pl.Series(ids).dtype.is_integer()
        self.indptr, self.indices, self.weights = (
            symmetric_edges(neighbors, distances, metric, symmetrise, weights)
            if edges is None
            else edges
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
        weights: str = "similarity",
        robust: str | None = None,
        random_state: int = 0,
        threads: int | None = None,
        progress: Progress | None = None,
        memory_limit: int | None = None,
        scratch: str | Path | None = None,
        found: tuple[Distinct, Search] | None = None,
    ) -> Self:
        r"""Join every row of `X` to its nearest rows.

        Equal rows are searched once and then each gets its nearest rows, its copies among them.
        Neighbors are ordered by distances in float64, equal ones by id, so that the graph is the
        same for any number of threads and, where ids are given, any order of the rows.

        Parameters
        ----------
        X : array-like, shape (n, d)
            Vectors. Zero rows have no direction: under the cosine they get no edges.
        ids : sequence of str or int, length n, optional
            Unique ids (default: positions).
        k : int, default 15
            Neighbors per row; 15 keeps nearly all of most pools in one component.
        metric : {'cosine', 'l2', 'ip'}, default 'cosine'
        method : {'auto', 'exact', 'block_join', 'ivf', 'hnsw', 'nn_descent'}, default 'auto'
            'auto' is exact where n n d <= 2e10 for n distinct rows (a second or two) or where
            target_recall is 1, else the block join. 'ivf' and 'hnsw' search the FAISS indexes;
            'nn_descent' is that of FAISS and may stay below the target.
        target_recall : float, default 0.95
            Approximate methods search until the lower end of the 95% interval of the recall,
            measured on 1,000 rows, reaches it; the block join plans its work for it.
        symmetrise : {'union', 'mutual'}, default 'union'
            'mutual' has cleaner edges but falls apart into many components.
        weights : {'similarity', 'self_tuning', 'fuzzy'}, default 'similarity'
            Weights of the edges; see `edge_weights.directed_weights`.
        robust : {None, 'context'}, default None
            'context' takes as neighbors those of the 50 nearest rows that share most other
            neighbors, and as similarity their cosine times their context; see
            `context_neighbors`. Of use where vectors are noisy; for the cosine only.
        random_state : int, default 0
            Chooses, with the ids, which rows train and which measure the recall.
        threads : int, optional
            Default: the cores this process may use. Does not change the result.
        progress : callable, optional
            Called as progress(stage, done, total).
        memory_limit : int, optional
            Bytes. Where twice the vectors and 40 bytes per neighbor take more, the block join
            works on copies of vectors and codes in files, with only the lists in memory. Give the
            vectors as `numpy.memmap`, so that they too are read in parts.
        scratch : path, optional
            Folder of these files (default: that for temporary files).
        found : (Distinct, Search), optional
            What `assay.index.knn.shards` found; nothing is searched then.

        Raises
        ------
        InputError, NonFiniteError, IdError, ConfigError
            What is wrong with the vectors, the ids or the parameters.

        Notes
        -----
        Exact: n n d / 2 products of int8 numbers (of few rows n n d multiply-adds of BLAS), see
        `exact_join`. Block join: see `block_join`; it grows nearly linearly
        with n. Memory: at most about twice the vectors given ('ivf' and 'hnsw': three times), 40
        bytes per neighbor of each row, and 100 MB. Graphs are built one at a time in a process.
        """
        check_parameters(
            k=(k, NEIGHBORS),
            symmetrise=(symmetrise, *SYMMETRISE),
            robust=(robust, *ROBUST),
            random_state=(random_state, *SEED),
        )
        check_weights(weights, metric)
        if robust and metric != "cosine":
            raise ConfigError(f"robust={robust!r} needs metric='cosine', not {metric!r}.")
        X = as_vectors(X, ids=ids)
        named = as_ids(ids, len(X))
        near = nearest_neighbors(
            X,
            named,
            k=max(k, CANDIDATES) if robust else k,
            metric=metric,
            method=method,
            target_recall=target_recall,
            random_state=random_state,
            threads=threads,
            progress=progress,
            memory_limit=memory_limit,
            scratch=scratch,
            found=found,
        )
        if robust:
            near = with_context(near, k, threads)
        report = near.report | {"symmetrise": symmetrise, "robust": robust}
        return cls._of(replace(near, report=report), X, named, metric, symmetrise, weights)

    @classmethod
    def from_texts(
        cls,
        texts: Any,
        *,
        ids: Any = None,
        vectors: Any = None,
        kind: str = HYBRID,
        k: int = 10,
        **settings: Any,
    ) -> Self:
        r"""Join every text to its nearest texts, by vectors and by rare words.

        Vectors of 128 numbers say of what kind a text is, words which one it is; in a hybrid graph a text
        is joined to `k` texts by each. An edge weighs half the sum of the two cosines, 0 for that which
        does not list the pair. `neighbors` and `similarities` stay those of the vectors, so that methods
        which go by lists, such as semantic deduplication, are the same with both kinds.

        Parameters
        ----------
        texts : sequence of str or None, length n
        ids : sequence of str or int, length n, optional
            Unique ids (default: positions).
        vectors : array-like, shape (n, d), optional
            The texts' vectors; those of `HashedTextEmbedder`, fitted on the texts, by default.
        kind : {'hybrid', 'dense'}, default 'hybrid'
            'dense': by vectors only.
        k : int, default 10
            Neighbors of each text by vectors, and as many by words.
        **settings
            Further parameters of `from_vectors`. A hybrid graph leaves `metric`, `symmetrise`, `weights`
            and `robust` at their defaults.

        Raises
        ------
        InputError, NonFiniteError, IdError, ConfigError
            What is wrong with the texts, the vectors, the ids or the parameters.

        Notes
        -----
        Beside `from_vectors`: an `assay.index.SparseIndex` of the texts, which lies in memory, and a search
        of each text in it. A hybrid graph can't be updated; it is built again.

        Examples
        --------
        >>> texts = ["red bird sings", "red bird flies", "old stone wall", "stone wall falls"]
        >>> graph = SimilarityGraph.from_texts(texts, vectors=[[1, 0], [0, 1], [0, 1], [1, 0]], k=1)
        >>> graph.neighbors.ravel().tolist(), sorted(map(sorted, graph.edges))
        ([3, 2, 1, 0], [[0, 1], [0, 3], [1, 2], [2, 3]])
        """
        X = vectors_of_texts(texts, ids, vectors, kind, k, settings)
        graph = cls.from_vectors(X, ids=ids, k=k, **settings)
        if kind == HYBRID:
            join_by_words(graph, texts, ids, k, settings.get("threads"))
        return graph

    @classmethod
    def from_edges(
        cls,
        edges: Any,
        *,
        ids: Any,
        vectors: Any = None,
        attribute_weight: str | None = None,
        k: int = 50,
    ) -> Self:
        r"""Join rows by edges of their own: citations, links, replies, transfers.

        Edges are made undirected; of one that is given more than once the heaviest counts, and an edge
        of a row with itself counts for nothing. All graph scores, selectors and functions of networkx
        take the graph. Its `metric` is 'ip': a weight is a similarity without bound.

        Parameters
        ----------
        edges : frame with the columns source, target and, optionally, weight
            Ends are ids; two columns of any name are the ends. Weights are above 0; without any,
            every edge weighs 1.
        ids : sequence of str or int, length n
            Unique ids of all rows, those without an edge among them.
        vectors : array-like, shape (n, d), optional
            The rows' attributes, for `attribute_weight`.
        attribute_weight : {None, 'gaussian'}, default None
            'gaussian' weighs an edge by how alike its ends are,
            :math:`\exp(-\gamma \lVert x_i - x_j \rVert^2)` with gamma one over the median of the squared
            distances over all edges, in place of a weight of its own.
        k : int, default 50
            The most neighbors that `neighbors` lists of a row: the heaviest, ties by id.

        Raises
        ------
        ColumnError, InputError, IdError, ConfigError
            The edges, ids or vectors can't be used, or more than 5 % of the edges name rows that `ids`
            does not have.

        Notes
        -----
        `report_` counts the edges given, unknown, loops and repeated, and the isolated rows. Time and
        memory O(n + edges (log edges + d)).

        References
        ----------
        Yang, Fountoulakis, "Weighted flow diffusion for local graph clustering with node attributes",
        2023 (the weights).

        Examples
        --------
        >>> import polars as pl
        >>> edges = pl.DataFrame({"source": ["a", "b", "b"], "target": ["b", "a", "c"]})
        >>> graph = SimilarityGraph.from_edges(edges, ids=["a", "b", "c", "d"])
        >>> graph.degrees().tolist(), graph.number_of_edges()
        ([1, 2, 1, 0], 2)
        """
        check_parameters(k=(k, NEIGHBORS), attribute_weight=(attribute_weight, None, "gaussian"))
        named = as_ids(ids, len(ids))
        assert named is not None
        X = None if vectors is None else as_vectors(vectors, ids=ids)
        joined = given_edges(edges, named, X, attribute_weight, k)
        graph = cls(
            neighbors=joined.neighbors,
            distances=joined.distances,
            metric="ip",
            ids=ids,
            report=joined.report,
            edges=joined.edges,
        )
        graph.report_["edges"] = graph.number_of_edges()
        return graph

    @classmethod
    def _of(
        cls,
        neighbors: NearestNeighbors,
        X: Vectors,
        ids: pl.Series | None,
        metric: str,
        symmetrise: str,
        weights: str,
    ) -> Self:
        graph = cls(
            neighbors=neighbors.neighbors,
            distances=neighbors.distances,
            metric=metric,
            symmetrise=symmetrise,
            weights=weights,
            vectors=X,
            centroids=neighbors.centroids,
            cells=neighbors.cells,
            report=neighbors.report,
        )
        # they were checked before the search
        graph.sample_ids = ids
        graph.report_["edges"] = graph.number_of_edges()
        return graph

    def _of_update(self, update: updates.Update) -> Self:
        """Return the updated graph, built with this graph's settings."""
        return self._of(*update, self.metric, self.symmetrise, self.weighting)

    def lists(self) -> NearestNeighbors:
        """Return the neighbors as the search behind this graph returned them."""
        return NearestNeighbors(
            self._neighbors, self._distances, self.centroids_, self.report_, self.cells_
        )

    @cached_property
    def _ordered_by_id(self) -> algorithms.OrderedGraph:
        return algorithms.ordered_by_id(self)

    @cached_property
    def ids(self) -> NDArray[np.object_] | None:
        return None if self.sample_ids is None else self.sample_ids.to_numpy()

    @cached_property
    def similarities(self) -> NDArray[np.float32]:
        return similarities_of(self._distances, self.metric)

    @property
    def robust(self) -> str | None:
        """How similarities were corrected for hubs; "edges" where they are given edges; else None."""
        return self.report_.get("robust")

    def distances(self) -> NDArray[np.float32]:
        """Return float32[n, k]: how far each of `neighbors` is, inf where there are fewer."""
        return self._distances

    def layout(
        self,
        *,
        dims: int = 2,
        random_state: int = 0,
        epochs: int | None = None,
        placed: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """Return coordinates that keep neighbors close, for a map; see `assay.index.layout.umap`."""
        return umap_layout(
            self._neighbors,
            self._distances,
            ids=self.sample_ids,
            dims=dims,
            random_state=random_state,
            epochs=epochs,
            placed=placed,
        )

    def smooth(self, X: Any, steps: int = 2) -> NDArray[np.float32]:
        """Return vectors of the nodes, each the mean of itself and its neighbors, `steps` times.

        Of use with given edges: linked rows come to lie together; see
        `assay.index.algorithms.smoothing.smoothed`.

        Parameters
        ----------
        X : array-like, shape (n, d)
            In order of position.
        steps : int, default 2

        Raises
        ------
        InputError
            There is not one vector for each node.

        Examples
        --------
        >>> edges = {"source": ["a"], "target": ["b"]}
        >>> graph = SimilarityGraph.from_edges(edges, ids=["a", "b", "c"])
        >>> graph.smooth([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]).round(2).tolist()
        [[0.7099999785423279, 0.7099999785423279], [0.7099999785423279, 0.7099999785423279], [1.0, 0.0]]
        """
        check_parameters(steps=(steps, Whole(1, MOST_ROUNDS)))
        vectors = as_vectors(X, ids=self.sample_ids)
        if len(vectors) != len(self):
            raise InputError(
                f"X has {len(vectors)} rows for {len(self)} nodes; give one vector for each, in order "
                "of position."
            )
        return smoothed(self.to_scipy(), vectors, steps)

    def structure(self, dimensions: int = 64, method: str = "spectral") -> NDArray[np.float32]:
        """Return float32[n, dimensions]: where each node stands in the graph.

        Of use with given edges, beside vectors of content; see
        `assay.index.algorithms.structure.structure_vectors`. The order of rows changes it by no more than
        rounding where nodes have ids.

        Parameters
        ----------
        dimensions : int, default 64
        method : {'spectral', 'netmf'}, default 'spectral'
            'netmf' goes by walks of 10 steps, and costs the square of the nodes, at most 50,000 at once.

        Examples
        --------
        >>> edges = {"source": ["a", "b", "c", "c"], "target": ["b", "c", "a", "d"]}
        >>> graph = SimilarityGraph.from_edges(edges, ids=["a", "b", "c", "d"])
        >>> S = graph.structure(4)
        >>> (S @ S.T).diagonal().astype(float).round(2).tolist()
        [0.34, 0.34, 0.41, 0.37]
        """
        check_parameters(dimensions=(dimensions, Whole(1, 1_024)), method=(method, *METHODS))
        order = id_order(self.sample_ids, len(self))
        vectors = structure_vectors(self.to_scipy(), dimensions, method, order=order)
        return vectors.astype(np.float32)

    def degrees(self) -> NDArray[np.int64]:
        """Return the number of edges of every node, in order of position."""
        return np.diff(self.indptr)

    def query(
        self, vector: ArrayLike, k: int | None = None
    ) -> tuple[list[Hashable], NDArray[np.float32]]:
        """Return the nodes nearest to a vector, best first, and their similarities.

        Parameters
        ----------
        vector : array-like, shape (d,)
        k : int, optional
            How many; the graph's k by default.

        Raises
        ------
        ConfigError
            The graph has no vectors: it was loaded, or they were dropped.

        Examples
        --------
        >>> graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0]], ids=["a", "b", "c"], k=1, metric="l2")
        >>> graph.query([4.0], k=2)[0]
        ['c', 'b']
        """
        if self.vectors is None:
            raise ConfigError(
                "This graph has no vectors to compare with. Set graph.vectors to them, in order of "
                "position, or ask a VectorIndex."
            )
        queries = as_vectors(as_queries(vector), what="queries")
        if len(queries) != 1:
            raise InputError(f"Give one vector, not {len(queries)}; a VectorIndex answers many.")
        check_parameters(k=(k, NEIGHBORS, None))
        query = check_width(queries, self.vectors.shape[1])[0]
        places, distances = nearest_to(
            self.vectors, query, k or self.k, self.metric, self.sample_ids
        )
        names = self.node_names
        return [names[i] for i in places.tolist()], similarities_of(distances, self.metric)

    def hubness(self) -> NDArray[np.int64]:
        """Count how often each row appears in other rows' neighbor lists; see `centrality.hubness`."""
        return centrality.hubness(self._neighbors)

    def connected_components(self) -> NDArray[np.int32]:
        """Label the components in order of their first node; see `centrality`."""
        return centrality.connected_components(self.indptr, self.indices)

    def core_number(self) -> NDArray[np.int32]:
        """Return every node's core number; see `centrality.core_number`."""
        return centrality.core_number(self.indptr, self.indices)

    def triangles(self) -> NDArray[np.int64]:
        """Count the triangles around every node; see `clustering.triangles`."""
        return clustering.triangles(self.indptr, self.indices)

    def clustering(self) -> NDArray[np.float64]:
        """Return every node's clustering coefficient; see `clustering.clustering`."""
        return clustering.clustering(self.indptr, self.indices)

    def pagerank(
        self, alpha: float = 0.85, tol: float = 1e-8, personalization: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Return every node's PageRank over the weights; see `centrality.pagerank`.

        Sums run in order of id, so that the order of the rows can't change a bit.
        """
        return algorithms.pagerank(self, alpha, tol, personalization)

    def personalized_pagerank(
        self, ids: ArrayLike, alpha: float = 0.85, tol: float = 1e-8
    ) -> NDArray[np.float64]:
        """Return every node's PageRank for walks that start at the nodes `ids`."""
        return algorithms.personalized_pagerank(self, ids, alpha, tol)

    def eigenvector_centrality(
        self, per_component: bool = True, tol: float = 1e-8
    ) -> EigenvectorCentrality:
        """Return the eigenvector centrality over the weights; see `eigenvector`."""
        return algorithms.eigenvector_centrality(self, per_component, tol)

    def label_propagation(self, random_state: int = 0) -> NDArray[np.int32]:
        """Label communities by label propagation; see `label_propagation`."""
        return algorithms.label_propagation(self, random_state)

    def communities(self, resolution: float = 1.0, random_state: int = 0) -> Communities:
        """Label communities of high modularity; see `communities.communities`."""
        return algorithms.communities(self, resolution, random_state)

    def neighborhood(self, ids: ArrayLike, size: int, method: str = "flow") -> NDArray[np.int64]:
        """Return the positions of the nodes `ids`, then of those that belong with them most.

        `size` in all, best first; see `flow_diffusion.neighborhood`. Where ids are not in order,
        the first call keeps a copy of the graph in order of id: 8 bytes per entry.
        """
        return algorithms.neighborhood(self._ordered_by_id, self.positions(ids), size, method)

    def positions(self, ids: ArrayLike) -> NDArray[np.int64]:
        """Return the positions of the nodes `ids`, or raise `IdError`; without ids, they are ids."""
        return algorithms.positions(self, ids)

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
            No vectors, or a graph that can't be updated: made with `robust` (its longer lists are not
            kept), hybrid, or of given edges.
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
        return self._of_update(updates.insert(self, X_new, ids, vectors, threads))

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
            No vectors, no row left, or a graph that can't be updated.
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
        return self._of_update(updates.remove(self, ids, vectors, threads))

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
        return self._of_update(updates.update(self, X, rows, before, ids, threads))

    def save(self, directory: str | Path) -> None:
        """Write the graph to the folder `directory`, which is made where it is not there."""
        arrays: dict[str, NDArray[Any] | None] = {
            "indptr": self.indptr,
            "indices": self.indices,
            "weights": self.weights,
            "neighbors": self._neighbors,
            "distances": self._distances,
            "centroids": self.centroids_,
            "cells": self.cells_,
        }
        header = {
            **({"numbered": True} if self.numbered else {}),
            "metric": self.metric,
            "symmetrise": self.symmetrise,
            "weighting": self.weighting,
            "report": self.report_,
        }
        write_graph(Path(directory), arrays, self.sample_ids, header)

    @classmethod
    def load(cls, directory: str | Path, *, mapped: bool = False) -> Self:
        """Read a graph that `save` wrote, checking that its parts fit together.

        With `mapped` its arrays stay in their files, read-only: for graphs larger than memory.
        """
        arrays, ids, header = read_graph(Path(directory), mapped)
        graph = cls(
            neighbors=arrays["neighbors"],
            distances=arrays["distances"],
            metric=header["metric"],
            symmetrise=header["symmetrise"],
            weights=header.get("weighting", "similarity"),
            centroids=arrays.get("centroids"),
            cells=arrays.get("cells"),
            report=header["report"],
            edges=(arrays["indptr"], arrays["indices"], arrays["weights"]),
        )
        # ids were checked when the graph was built
        graph.sample_ids, graph.numbered = ids, bool(header.get("numbered"))
        return graph

    def _notebook_rows(self) -> Iterator[tuple[str, Any]]:
        yield "rows", len(self)
        yield "edges", self.number_of_edges()
        yield from short_numbers({k: v for k, v in self.report_.items() if k not in ("n", "edges")})

    def __repr__(self) -> str:
        return (
            f"SimilarityGraph(n={len(self)}, edges={self.number_of_edges()}, k={self.k}, "
            f"metric={self.metric!r})"
        )
