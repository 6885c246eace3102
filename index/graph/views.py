"""A similarity graph read as networkx reads its own graphs: lazily, from the arrays."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from networkx.classes.coreviews import AdjacencyView
from networkx.classes.reportviews import DegreeView, EdgeView, NodeView
from numpy.typing import NDArray


class Arrays(Protocol):
    """What the views need of a graph."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    @property
    def node_names(self) -> Sequence[Hashable]: ...

    @property
    def node_places(self) -> Any: ...


class Row(Mapping[Hashable, dict[str, float]]):
    """The neighbors of a node, each with its edge's attributes."""

    def __init__(self, graph: Arrays, place: int) -> None:
        self._graph = graph
        self._entries = slice(int(graph.indptr[place]), int(graph.indptr[place + 1]))

    def __getitem__(self, node: Hashable) -> dict[str, float]:
        other = place_of(self._graph, node)
        row = self._graph.indices[self._entries]
        at = int(np.searchsorted(row, other))
        if at == len(row) or row[at] != other:
            raise KeyError(node)
        return {"weight": float(self._graph.weights[self._entries][at])}

    def __iter__(self) -> Iterator[Hashable]:
        names = self._graph.node_names
        return (names[other] for other in self._graph.indices[self._entries].tolist())

    def __len__(self) -> int:
        return self._entries.stop - self._entries.start

    def items(self) -> Any:
        values = self._graph.weights[self._entries].tolist()
        return [(name, {"weight": weight}) for name, weight in zip(self, values, strict=True)]


class Rows(Mapping[Hashable, Row]):
    """Node -> its neighbors."""

    def __init__(self, graph: Arrays) -> None:
        self._graph = graph

    def __getitem__(self, node: Hashable) -> Row:
        return Row(self._graph, place_of(self._graph, node))

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._graph.node_names)

    def __len__(self) -> int:
        return len(self._graph.node_names)


class Attributes(Mapping[Hashable, dict[str, str]]):
    """Node -> its attributes: `sample_id`."""

    def __init__(self, graph: Arrays) -> None:
        self._graph = graph

    def __getitem__(self, node: Hashable) -> dict[str, str]:
        place_of(self._graph, node)
        return {"sample_id": str(node)}

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._graph.node_names)

    def __len__(self) -> int:
        return len(self._graph.node_names)


class Degrees(DegreeView):  # type: ignore[misc]
    """Degrees by node, as networkx has them; as an array they stand in order of position."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        counts: NDArray[Any] = np.diff(self._graph.indptr)
        return counts if dtype is None else counts.astype(dtype)

    def tolist(self) -> list[int]:
        """Return the degrees in order of position."""
        listed: list[int] = np.diff(self._graph.indptr).tolist()
        return listed


def place_of(graph: Arrays, node: Hashable) -> int:
    """Return the position of a node, or raise `KeyError`."""
    places = graph.node_places
    if not isinstance(places, range):
        return int(places[node])
    if isinstance(node, int | np.integer) and 0 <= int(node) < len(places):
        return int(node)
    raise KeyError(node)


def adjacency_view(rows: Rows) -> Any:
    """Return networkx's read-only view of the neighbors of every node."""
    return AdjacencyView(rows)


def node_view(graph: Any) -> Any:
    """Return networkx's view of the nodes."""
    return NodeView(graph)


def edge_view(graph: Any) -> Any:
    """Return networkx's view of the edges."""
    return EdgeView(graph)
