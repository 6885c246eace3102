"""Graphs of networkx in compressed sparse rows, and similarity graphs as graphs of networkx."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from assay.index.algorithms.centrality import IndexArray
from assay.index.graph.similarity_graph import SimilarityGraph

# what decides which edges a graph has: a subclass with its own is not what its dictionaries say
_ACCESS = ("__getitem__", "__iter__", "__contains__", "adj", "adjacency", "neighbors", "_adj")


class CSRGraph:
    """An immutable graph of networkx whose edges lie in arrays.

    Parameters
    ----------
    nodes : range or sequence of hashable
        Row i of the arrays is nodes[i].
    indptr, indices : arrays
        Edges that leave each node; an undirected graph holds every edge in both rows, one from a
        node to itself once.
    weights : array, optional
        Values of the edge attribute `attribute` (default: edges have no attribute).
    attribute : str, optional
    directed : bool, default False
    sample_ids : sequence of str, optional
        Ids of the samples that the nodes are, kept as the node attribute `sample_id`.

    Examples
    --------
    >>> graph = CSRGraph.from_networkx(nx.path_graph(3))
    >>> graph.indptr.tolist(), graph.indices.tolist(), graph.nodes
    ([0, 1, 3, 4], [1, 0, 2, 1], range(0, 3))
    """

    __networkx_backend__ = "assay"

    def __init__(
        self,
        nodes: Sequence[Hashable],
        indptr: IndexArray,
        indices: IndexArray,
        weights: NDArray[np.floating] | None = None,
        attribute: Hashable = None,
        directed: bool = False,
        sample_ids: Sequence[str] | None = None,
    ) -> None:
        self.nodes = nodes
        self.indptr = indptr
        self.indices = indices
        self.weights = weights
        self.attribute = attribute
        self.directed = directed
        self.sample_ids = sample_ids

    @classmethod
    def of(cls, graph: CSRGraph | SimilarityGraph) -> CSRGraph:
        """Return `graph`, or a view of a similarity graph over the same memory."""
        if isinstance(graph, SimilarityGraph):
            view = cls(graph.node_names, graph.indptr, graph.indices, graph.weights, "weight")
            view.places = graph.node_places
            return view
        return graph

    @classmethod
    def from_networkx(
        cls, graph: Any, attribute: Hashable = None, default: float = 1.0
    ) -> CSRGraph:
        """Copy the edges of a graph of networkx, with one edge attribute or none.

        Raises
        ------
        NotImplementedError
            For what this class does not hold, so that networkx takes its own function: multigraphs,
            attributes that are no numbers, and subclasses that decide otherwise about their edges.
        """
        if not isinstance(graph, nx.Graph) or graph.is_multigraph():
            raise NotImplementedError("Only graphs without parallel edges are converted.")
        base = nx.DiGraph if graph.is_directed() else nx.Graph
        if any(getattr(type(graph), name) is not getattr(base, name) for name in _ACCESS):
            raise NotImplementedError(f"{type(graph).__name__} has edges of its own making.")
        rows = graph._adj
        listed = list(rows)
        plain = all(type(node) is int and node == i for i, node in enumerate(listed))
        nodes = range(len(listed)) if plain else listed
        place = {node: i for i, node in enumerate(listed)}
        indptr = np.zeros(len(listed) + 1, np.int64)
        np.cumsum([len(row) for row in rows.values()], out=indptr[1:])
        ends = (place[other] for row in rows.values() for other in row)
        indices = np.fromiter(ends, np.int32, indptr[-1])
        weights = None
        if attribute is not None:
            values = (e.get(attribute, default) for row in rows.values() for e in row.values())
            try:
                weights = np.fromiter(values, np.float64, indptr[-1])
            except (TypeError, ValueError) as error:
                raise NotImplementedError(f"Some {attribute!r} is not a number.") from error
        return cls(nodes, indptr, indices, weights, attribute, graph.is_directed())

    def to_networkx(self) -> Any:
        """Return the same graph as networkx holds it."""
        graph = nx.DiGraph() if self.directed else nx.Graph()
        graph.add_nodes_from(self.nodes)
        if self.sample_ids is not None:
            ids = dict(zip(self.nodes, self.sample_ids, strict=True))
            nx.set_node_attributes(graph, ids, "sample_id")
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        nodes = self.nodes
        ends = zip(row.tolist(), self.indices.tolist(), strict=True)
        edges = ((nodes[i], nodes[j]) for i, j in ends)
        if self.weights is None:
            graph.add_edges_from(edges)
        else:
            values = zip(edges, self.weights.tolist(), strict=True)
            graph.add_weighted_edges_from(((u, v, w) for (u, v), w in values), self.attribute)
        return graph

    @cached_property
    def places(self) -> Any:
        """Node -> its row, as a dict, or the range of nodes that are their own rows."""
        if isinstance(self.nodes, range):
            return self.nodes
        return {node: i for i, node in enumerate(self.nodes)}

    @cached_property
    def loops(self) -> NDArray[np.bool_]:
        """Which entries are edges from a node to itself."""
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        loops: NDArray[np.bool_] = self.indices == row
        return loops

    def place(self, node: Any) -> int:
        """Return the row of `node`."""
        places = self.places
        place: int = places.index(node) if isinstance(places, range) else places[node]
        return place

    def values(self, attribute: Hashable) -> NDArray[np.float64]:
        """Return the weights that networkx would use for this attribute; 1 where it is missing."""
        if attribute is None or attribute != self.attribute or self.weights is None:
            return np.ones(len(self.indices))
        return self.weights.astype(np.float64)

    def without_loops(self) -> tuple[NDArray[np.int64], IndexArray]:
        """Return indptr and indices of the edges between different nodes."""
        if not self.loops.any():
            return np.asarray(self.indptr, np.int64), self.indices
        starts = np.concatenate([[0], np.cumsum(~self.loops)])
        return starts[self.indptr], self.indices[~self.loops]

    def backward(self) -> tuple[IndexArray, IndexArray]:
        """Return indptr and indices of the edges turned round."""
        if not self.directed:
            return self.indptr, self.indices
        matrix = self.to_scipy().T.tocsr()
        return matrix.indptr, matrix.indices

    def subgraph(self, nodes: NDArray[np.bool_], entries: NDArray[np.bool_]) -> CSRGraph:
        """Return the marked nodes and those of the marked entries that join two of them."""
        row = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        kept = entries & nodes[row] & nodes[self.indices]
        place = np.cumsum(nodes) - 1
        sizes = np.bincount(row[kept], minlength=len(self))[nodes]
        rows = np.flatnonzero(nodes).tolist()
        return CSRGraph(
            [self.nodes[i] for i in rows],
            np.concatenate([[0], np.cumsum(sizes)]),
            place[self.indices[kept]].astype(np.int32),
            None if self.weights is None else self.weights[kept],
            self.attribute,
            self.directed,
            None if self.sample_ids is None else [self.sample_ids[i] for i in rows],
        )

    def to_scipy(self, attribute: Hashable = None) -> sparse.csr_array:
        """Return the adjacency matrix with the weights of `attribute`."""
        entries = (self.values(attribute), self.indices, self.indptr)
        return sparse.csr_array(entries, shape=(len(self), len(self)))

    def is_directed(self) -> bool:
        return self.directed

    def is_multigraph(self) -> bool:
        return False

    def number_of_nodes(self) -> int:
        return len(self)

    def number_of_edges(self) -> int:
        if self.directed:
            return len(self.indices)
        return (len(self.indices) + int(self.loops.sum())) // 2

    def neighbors(self, node: Hashable) -> Iterator[Hashable]:
        i = self.place(node)
        return (self.nodes[j] for j in self.indices[self.indptr[i] : self.indptr[i + 1]].tolist())

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        try:
            return node in self.places
        except TypeError:
            return False


BackendGraph = CSRGraph | SimilarityGraph
