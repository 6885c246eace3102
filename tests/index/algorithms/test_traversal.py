from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.algorithms.clustering import square_clustering, truss_edges
from assay.index.algorithms.traversal import breadth_first
from assay.index.nx.graph import CSRGraph
from assay.storage.errors import ConfigError, InputError


@st.composite
def graphs(draw: st.DrawFn) -> nx.Graph:
    n = draw(st.integers(1, 14))
    pairs = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    graph = nx.empty_graph(n)
    graph.add_edges_from((a, b) for a, b in draw(st.lists(pairs, max_size=40)) if a != b)
    return graph


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_distances_equal_those_of_networkx(graph: nx.Graph, data: st.DataObject) -> None:
    held = CSRGraph.from_networkx(graph)
    source = data.draw(st.integers(0, len(graph) - 1))
    depth = data.draw(st.none() | st.integers(0, 4))
    nodes, distances, parents = breadth_first(held.indptr, held.indices, source, depth=depth)
    expected = nx.single_source_shortest_path_length(graph, source, depth)
    assert dict(zip(nodes.tolist(), distances.tolist(), strict=True)) == expected
    assert (np.diff(distances) >= 0).all()
    assert parents[0] == -1
    assert all(graph.has_edge(*edge) for edge in zip(nodes[1:], parents[1:], strict=True))


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 6))
def test_squares_and_trusses_equal_those_of_networkx(graph: nx.Graph, k: int) -> None:
    held = CSRGraph.from_networkx(graph)
    shares = square_clustering(held.indptr, held.indices)
    assert shares.tolist() == pytest.approx(list(nx.square_clustering(graph).values()))
    kept = truss_edges(held.indptr, held.indices, k)
    row = np.repeat(np.arange(len(graph)), np.diff(held.indptr))
    edges = {
        frozenset(edge)
        for edge in zip(row[kept].tolist(), held.indices[kept].tolist(), strict=True)
    }
    assert edges == {frozenset(edge) for edge in nx.k_truss(graph, k).edges}


def test_sources_and_depths_that_can_not_be() -> None:
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0])
    with pytest.raises(InputError, match="from 0 to 1"):
        breadth_first(indptr, indices, [2])
    with pytest.raises(ConfigError, match="depth"):
        breadth_first(indptr, indices, [0], depth=-1)
