from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import networkx as nx
import numpy as np
import pytest

from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx import functions as networkx_algorithms
from assay.index.nx.backend import dispatcher
from assay.index.nx.graph import CSRGraph
from assay.index.nx.info import FUNCTIONS, get_info

# networkx's own tests of the functions that run natively, and of graphs with edges of their own
MODULES = (
    "networkx.algorithms.link_analysis.tests.test_pagerank",
    "networkx.algorithms.centrality.tests.test_eigenvector_centrality",
    "networkx.algorithms.centrality.tests.test_degree_centrality",
    "networkx.algorithms.tests.test_core",
    "networkx.algorithms.tests.test_cluster",
    "networkx.algorithms.components.tests.test_connected",
    "networkx.algorithms.approximation.tests.test_kcomponents",
)


@pytest.fixture(scope="module")
def graph() -> SimilarityGraph:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(20 * i, 1, (60, 3)) for i in range(3)])
    return SimilarityGraph.from_vectors(X, ids=[f"s{i}" for i in range(180)], k=4, metric="l2")


@pytest.fixture(scope="module")
def converted(graph: SimilarityGraph) -> nx.Graph:
    return graph.to_networkx()


def run_networkx_tests(*modules: str, timeout: int) -> str:
    settings = {"NETWORKX_TEST_BACKEND": "assay", "NETWORKX_FALLBACK_TO_NX": "True"}
    # without this project's settings, which hold where the virtual environment lies inside it
    options = ["-c", os.devnull, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--pyargs", *modules],
        env={**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=os.path.dirname(nx.__file__),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    return done.stdout


def test_networkx_own_tests_of_the_native_functions_pass() -> None:
    assert " passed" in run_networkx_tests(*MODULES, timeout=300)


@pytest.mark.slow
def test_all_of_networkx_own_algorithm_tests_pass() -> None:
    assert " passed" in run_networkx_tests("networkx.algorithms", timeout=1_800)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pagerank", {"tol": 1e-13, "max_iter": 1_000}),
        ("pagerank", {"tol": 1e-13, "max_iter": 1_000, "weight": None}),
        ("pagerank", {"tol": 1e-13, "max_iter": 1_000, "personalization": {3: 1, 100: 2}}),
        ("eigenvector_centrality", {"tol": 1e-14, "max_iter": 20_000}),
        ("eigenvector_centrality", {"tol": 1e-14, "max_iter": 20_000, "weight": "weight"}),
        ("core_number", {}),
        ("degree_centrality", {}),
        ("triangles", {}),
        ("triangles", {"nodes": [5, 9, 999]}),
        ("clustering", {}),
        ("clustering", {"nodes": [5]}),
    ],
)
def test_functions_of_nodes_equal_networkx(
    graph: SimilarityGraph, converted: nx.Graph, name: str, options: dict[str, Any]
) -> None:
    expected = getattr(nx, name)(converted, **options)
    found = getattr(nx, name)(graph, **options)
    assert list(found) == list(expected)
    assert all(type(value) in (int, float) for value in found.values())
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-8)


@pytest.mark.parametrize(
    "name", ["number_connected_components", "is_connected", "average_clustering", "transitivity"]
)
def test_functions_of_graphs_equal_networkx(
    graph: SimilarityGraph, converted: nx.Graph, name: str
) -> None:
    found = getattr(nx, name)(graph)
    assert found == pytest.approx(getattr(nx, name)(converted), abs=1e-14)
    assert type(found) in (int, float, bool)


def test_components_single_nodes_and_zeros(graph: SimilarityGraph, converted: nx.Graph) -> None:
    assert list(nx.connected_components(graph)) == list(nx.connected_components(converted))
    assert nx.triangles(graph, 7) == nx.triangles(converted, 7)
    assert nx.clustering(graph, 7) == nx.clustering(converted, 7)
    for zeros in (True, False):
        found = nx.average_clustering(graph, [1, 2, 3], count_zeros=zeros)
        assert found == nx.average_clustering(converted, [1, 2, 3], count_zeros=zeros)
    with pytest.raises(nx.NetworkXError, match="not a node"):
        nx.triangles(graph, 10_000)


def test_native_functions_run_without_conversion_and_configuration(
    graph: SimilarityGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: SimilarityGraph) -> None:
        raise AssertionError("converted")

    monkeypatch.setattr(SimilarityGraph, "to_networkx", refuse)
    assert not nx.config.fallback_to_nx
    for name in FUNCTIONS:
        result = getattr(nx, name)(graph)
        assert result is not None
        if name == "connected_components":
            assert sum(map(len, result)) == 180
    with pytest.raises(AssertionError, match="converted"):
        nx.diameter(graph)


def test_everything_else_falls_back_by_conversion(
    graph: SimilarityGraph, converted: nx.Graph
) -> None:
    assert nx.betweenness_centrality(graph) == nx.betweenness_centrality(converted)
    assert nx.clustering(graph, weight="weight") == nx.clustering(converted, weight="weight")
    # by position, as decorators of networkx may pass them
    assert nx.clustering(graph, None, "weight") == nx.clustering(converted, None, "weight")
    assert nx.pagerank(graph, dangling={0: 1}) == nx.pagerank(converted, dangling={0: 1})
    both = nx.compose_all([graph, graph])
    assert nx.utils.graphs_equal(both, converted)
    assert converted.nodes[3]["sample_id"] == "s3"
    with pytest.raises(NotImplementedError, match="set_node_attributes"):
        nx.set_node_attributes(graph, 1, "seen")


def test_stricter_stopping_rules_keep_networkx_errors(graph: SimilarityGraph) -> None:
    for function in (nx.pagerank, nx.eigenvector_centrality):
        with pytest.raises(nx.PowerIterationFailedConvergence):
            function(graph, max_iter=0)
    with pytest.raises(ZeroDivisionError):
        nx.pagerank(graph, personalization={0: 0})
    exact = nx.pagerank(graph, tol=1e-14)
    assert sum(abs(value - exact[i]) for i, value in nx.pagerank(graph).items()) < 5e-6


def test_empty_and_edgeless_graphs() -> None:
    empty = CSRGraph.from_networkx(nx.Graph())
    assert nx.pagerank(empty) == nx.core_number(empty) == nx.triangles(empty) == {}
    assert list(nx.connected_components(empty)) == []
    assert nx.number_connected_components(empty) == 0
    for function in (nx.eigenvector_centrality, nx.is_connected):
        with pytest.raises(nx.NetworkXPointlessConcept):
            function(empty)
    alone = nx.empty_graph(4)
    assert nx.eigenvector_centrality(CSRGraph.from_networkx(alone)) == dict.fromkeys(range(4), 0.5)
    assert nx.degree_centrality(CSRGraph.from_networkx(nx.empty_graph(1))) == {0: 1}


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_conversion_there_and_back(seed: int, directed: bool) -> None:
    original = nx.gnp_random_graph(25, 0.1, seed=seed, directed=directed)
    original.add_edge(3, 3)
    rng = np.random.default_rng(seed)
    for _, _, edge in original.edges(data=True):
        edge["length"] = float(rng.random())
    original = nx.relabel_nodes(original, {i: f"n{i}" for i in range(0, 25, 2)})
    held = CSRGraph.from_networkx(original, "length")
    assert nx.utils.graphs_equal(dispatcher.convert_to_nx(held), original)
    assert held.number_of_edges() == original.number_of_edges()
    assert held.is_directed() is directed
    for node in original:
        assert node in held
        assert set(held.neighbors(node)) == set(original[node])
    assert "unknown" not in held
    assert [] not in held
    shared = nx.degree_centrality(original)
    assert nx.degree_centrality(held) == shared
    plain = original.copy()
    plain.remove_edge(3, 3)
    assert nx.core_number(CSRGraph.from_networkx(plain)) == nx.core_number(plain)
    expected = nx.pagerank(original, weight="length", tol=1e-13, max_iter=999)
    found = nx.pagerank(original, weight="length", tol=1e-13, backend="assay")
    assert found == pytest.approx(expected, abs=1e-10)


def test_what_can_not_be_held_is_declined() -> None:
    class Mirrored(nx.Graph):
        def neighbors(self, node: Any) -> Any:
            return iter(())

    class Ringed(nx.Graph):
        def __getitem__(self, node: Any) -> Any:
            return {}

    texts = nx.Graph([(0, 1, {"weight": "heavy"})])
    for odd in (Mirrored(), Ringed(), nx.MultiGraph(), {0: [1]}):
        with pytest.raises(NotImplementedError):
            CSRGraph.from_networkx(odd)
    with pytest.raises(NotImplementedError, match="'weight' is not a number"):
        CSRGraph.from_networkx(texts, "weight")
    with pytest.raises(NotImplementedError):
        dispatcher.convert_from_nx(nx.Graph(), preserve_edge_attrs=True)
    negative = nx.Graph([(0, 1, {"weight": -1.0})])
    with pytest.raises(NotImplementedError):
        nx.pagerank(negative, backend="assay")


def test_can_run_reads_arguments_by_position() -> None:
    graph = nx.path_graph(4)
    assert dispatcher.can_run("clustering", (graph, None, None), {}) is True
    assert dispatcher.can_run("clustering", (graph, None, "weight"), {}) is not True
    assert dispatcher.can_run("clustering", (graph,), {"weight": "weight"}) is not True
    assert dispatcher.can_run("clustering", (graph.to_directed(),), {}) is not True
    assert dispatcher.can_run("eigenvector_centrality", (graph, 9, 1e-6, {0: 1}), {}) is not True
    assert dispatcher.can_run("pagerank", (graph, 1.0), {}) is not True
    assert dispatcher.can_run("pagerank", (nx.MultiGraph(),), {}) is not True
    assert dispatcher.can_run("pagerank", (graph,), {"colour": 1}) is not True
    assert dispatcher.can_run("diameter", (graph,), {}) is not True
    assert dispatcher.should_run("pagerank", (graph,), {}) is not True
    assert dispatcher.should_run("pagerank", (), {"G": nx.empty_graph(1_000)}) is True
    with pytest.raises(AttributeError):
        dispatcher.no_such_function  # noqa: B018


def test_signatures_are_those_of_networkx() -> None:
    import inspect

    for name in FUNCTIONS:
        ours = inspect.signature(getattr(networkx_algorithms, name)).parameters
        theirs = inspect.signature(getattr(nx, name).orig_func).parameters
        assert list(ours) == list(theirs)
        assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]
    assert set(get_info()["functions"]) == set(FUNCTIONS)
    assert "assay" in nx.pagerank.backends


def test_importing_networkx_loads_nothing_of_the_backend_but_its_description() -> None:
    code = (
        "import sys, networkx\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'numba', 'polars')])\n"
        "print(sorted(m for m in sys.modules if m.startswith('assay.index.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['assay.index.nx.info']"]
