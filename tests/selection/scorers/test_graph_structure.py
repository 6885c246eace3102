"""Scores of the graph's structure, against networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np

from assay.index import SimilarityGraph
from assay.selection.scorers.graph import ClusteringCoefficient, Degree, Eigenvector

GRAPH = SimilarityGraph.from_vectors(np.random.default_rng(0).normal(size=(300, 3)), k=5)
PLAIN = nx.from_scipy_sparse_array(GRAPH.to_scipy())


def test_degree_and_clustering() -> None:
    degrees = Degree().fit(graph=GRAPH)
    assert degrees.scores_.tolist() == [PLAIN.degree(node) for node in range(300)]
    assert degrees.report_["largest"] == degrees.scores_.max()
    scores = ClusteringCoefficient().fit(graph=GRAPH).scores_
    np.testing.assert_allclose(scores, [nx.clustering(PLAIN, node) for node in range(300)])


def test_eigenvector_is_that_of_each_component() -> None:
    found = Eigenvector().fit(graph=GRAPH)
    components = list(nx.connected_components(PLAIN))
    assert found.report_["components"] == len(components)
    for nodes in components:
        rows = sorted(nodes)
        _values, vectors = np.linalg.eigh(nx.to_numpy_array(PLAIN, nodelist=rows))
        expected = abs(vectors[:, -1]) * np.sqrt(len(rows) / 300)
        np.testing.assert_allclose(found.scores_[rows], expected, atol=1e-5)
    share = found.scores_**2
    np.testing.assert_allclose(found.report_["participation"], 1 / (share**2).sum(), rtol=1e-6)
