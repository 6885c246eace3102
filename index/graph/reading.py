"""How a graph of arrays reads as one of networkx: nodes, edges, neighbors, degrees, copies."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from assay.index.graph.edge_weights import similarities_of
from assay.storage.disk.pages import mapping, release

if TYPE_CHECKING:
    import networkx as nx


class NeighborTable(np.ndarray[Any, Any]):
    """The neighbors of every row as an array of positions, which networkx may call for one node."""

    graph: NetworkxGraph | None = None

    def __call__(self, node: Hashable) -> Iterator[Hashable]:
        """Yield the nodes that `node` is joined to."""
        import networkx

        if self.graph is None or node not in self.graph:
            raise networkx.NetworkXError(f"The node {node} is not in the graph.")
        return iter(self.graph.adj[node])


class NetworkxGraph:
    """An undirected graph in arrays that functions and users of networkx may read as one of theirs.

    Attributes
    ----------
    indptr, indices, weights : arrays
        Edges in compressed rows, every edge in both.
    sample_ids : polars Series of str, or None
    numbered : bool
        Whether the ids were given as whole numbers, which then are the nodes.
    metric : str
        What the distances of the lists of neighbors mean.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    sample_ids: pl.Series | None
    numbered: bool
    metric: str
    _neighbors: NDArray[np.int32]
    _distances: NDArray[np.float32]

    def to_scipy(self) -> sparse.csr_array:
        """Return the weighted adjacency matrix over the same memory: don't write to it."""
        n = len(self)
        return sparse.csr_array((self.weights, self.indices, self.indptr), shape=(n, n))

    @property
    def neighbors(self) -> NeighborTable:
        """int32[n, k] of positions; called with a node, as in networkx, the nodes joined to it."""
        table = self._neighbors.view(NeighborTable)
        table.graph = self
        return table

    def lists_of(
        self, rows: slice | NDArray[np.integer]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return `neighbors` and `similarities` of some rows; of mapped arrays only these are read."""
        near, far = np.array(self._neighbors[rows]), np.array(self._distances[rows])
        for array in (self._neighbors, self._distances):
            release(mapping(array))
        return near, similarities_of(far, self.metric)

    def to_networkx(self) -> nx.Graph:
        """Return a networkx graph of the same nodes with `sample_id`, and edges with `weight`.

        It takes some 370 bytes per edge; most functions take this graph as it is.
        """
        import networkx

        graph = networkx.Graph()
        names = self.node_names
        graph.add_nodes_from((name, {"sample_id": str(name)}) for name in names)
        upper = sparse.triu(self.to_scipy(), format="coo")
        edges = zip(upper.row.tolist(), upper.col.tolist(), upper.data.tolist(), strict=True)
        graph.add_weighted_edges_from((names[u], names[v], weight) for u, v, weight in edges)
        return graph

    @cached_property
    def node_names(self) -> Sequence[Hashable]:
        """The nodes: the ids that were given, else positions."""
        if self.sample_ids is None:
            return range(len(self))
        ids = self.sample_ids.cast(pl.Int128) if self.numbered else self.sample_ids
        return ids.to_list()

    @cached_property
    def node_places(self) -> Any:
        """Node -> its position, as a dict, or the range of nodes that are their own positions."""
        names = self.node_names
        return names if isinstance(names, range) else {name: i for i, name in enumerate(names)}

    @property
    def graph(self) -> dict[str, Any]:
        """Attributes of the graph: none."""
        return {}

    @cached_property
    def _adj(self) -> Any:
        from assay.index.graph.views import Rows

        return Rows(self)

    @cached_property
    def _node(self) -> Any:
        from assay.index.graph.views import Attributes

        return Attributes(self)

    @property
    def adj(self) -> Any:
        """networkx's view of the neighbors of every node, with weights."""
        from assay.index.graph.views import adjacency_view

        return adjacency_view(self._adj)

    @property
    def nodes(self) -> Any:
        """networkx's view of the nodes."""
        from assay.index.graph.views import node_view

        return node_view(self)

    @property
    def edges(self) -> Any:
        """networkx's view of the edges."""
        from assay.index.graph.views import edge_view

        return edge_view(self)

    @property
    def degree(self) -> Any:
        """networkx's view of the degrees, by node; `degrees` is an array."""
        from assay.index.graph.views import Degrees

        return Degrees(self)

    def adjacency(self) -> Iterator[tuple[Hashable, Any]]:
        """Yield every node with its neighbors and their weights."""
        return iter(self._adj.items())

    def has_node(self, node: object) -> bool:
        """Return whether a node is in the graph."""
        return node in self

    def has_edge(self, u: Hashable, v: Hashable) -> bool:
        """Return whether two nodes are joined."""
        return u in self and v in self._adj[u]

    def get_edge_data(self, u: Hashable, v: Hashable, default: Any = None) -> Any:
        """Return the attributes of an edge: its weight."""
        return self._adj[u][v] if self.has_edge(u, v) else default

    def nbunch_iter(self, nbunch: Any = None) -> Iterator[Hashable]:
        """Yield the nodes among `nbunch`: all where it is None, one where it is a node."""
        if nbunch is None:
            return iter(self)
        if isinstance(nbunch, Hashable) and nbunch in self:
            return iter([nbunch])
        return (node for node in nbunch if node in self)

    def subgraph(self, nodes: Any) -> nx.Graph:
        """Return a networkx graph of some nodes and the edges among them; unknown ones are left out."""
        import networkx

        names, places = self.node_names, self.node_places
        place = (
            node if isinstance(places, range) else places[node] for node in self.nbunch_iter(nodes)
        )
        wanted = np.unique(np.fromiter(place, np.int64))
        part = sparse.triu(self.to_scipy()[wanted][:, wanted], format="coo")
        kept = [names[i] for i in wanted.tolist()]
        graph = networkx.Graph()
        graph.add_nodes_from((name, {"sample_id": str(name)}) for name in kept)
        edges = zip(part.row.tolist(), part.col.tolist(), part.data.tolist(), strict=True)
        graph.add_weighted_edges_from((kept[u], kept[v], weight) for u, v, weight in edges)
        return graph

    def order(self) -> int:
        """Return the number of nodes."""
        return len(self)

    def size(self, weight: str | None = None) -> float:
        """Return the number of edges, or the sum of their weights."""
        return float(self.weights.sum() / 2) if weight == "weight" else self.number_of_edges()

    def is_directed(self) -> bool:
        return False

    def is_multigraph(self) -> bool:
        return False

    def number_of_nodes(self) -> int:
        return len(self)

    def number_of_edges(self) -> int:
        return len(self.indices) // 2

    def __len__(self) -> int:
        return len(self._neighbors)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.node_names)

    def __getitem__(self, node: Hashable) -> Any:
        return self.adj[node]

    def __contains__(self, node: object) -> bool:
        places = self.node_places
        if isinstance(places, range):
            return isinstance(node, int | np.integer) and 0 <= int(node) < len(self)
        try:
            return node in places
        except TypeError:
            return False
