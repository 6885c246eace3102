from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import wraps
from typing import Any

import networkx as nx
import numpy as np
import pytest

from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx.backend import dispatcher
from assay.index.nx.functions import NATIVE
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
    "networkx.algorithms.link_analysis.tests.test_hits",
    "networkx.algorithms.centrality.tests.test_katz_centrality",
    "networkx.algorithms.shortest_paths.tests.test_unweighted",
    "networkx.algorithms.shortest_paths.tests.test_generic",
    "networkx.algorithms.traversal.tests.test_bfs",
)

# they compare with the very partition that networkx's Louvain draws from a seed
DRAWN = [
    f"--deselect=algorithms/community/tests/test_louvain.py::{name}"
    for name in (
        "test_karate_club_partition",
        "test_multigraph",
        "test_none_weight_param",
        "test_undirected_selfloops",
    )
]

# what functions are called with besides the graph
ARGUMENTS: dict[str, dict[str, Any]] = {
    "bfs_edges": {"source": 5},
    "bfs_layers": {"sources": [5, 70]},
    "bfs_predecessors": {"source": 5},
    "bfs_successors": {"source": 5},
    "bidirectional_shortest_path": {"source": 5, "target": 31},
    "descendants_at_distance": {"source": 5, "distance": 3},
    "has_path": {"source": 5, "target": 100},
    "k_corona": {"k": 3},
    "k_truss": {"k": 4},
    "leiden_communities": {"seed": 0},
    "louvain_communities": {"seed": 0},
    "node_connected_component": {"n": 5},
    "single_source_shortest_path": {"source": 5},
    "single_source_shortest_path_length": {"source": 5},
    "single_target_shortest_path": {"target": 5},
    "single_target_shortest_path_length": {"target": 5},
}


def call(name: str, graph: Any, **options: Any) -> Any:
    """Call the function of networkx of that name; generators become lists."""
    result = nx.utils.backends._registered_algorithms[name](graph, **options)
    return list(result) if isinstance(result, Iterator) else result


@pytest.fixture(scope="module")
def graph() -> SimilarityGraph:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(20 * i, 1, (60, 3)) for i in range(3)])
    return SimilarityGraph.from_vectors(X, k=4, metric="l2")


@pytest.fixture(scope="module")
def converted(graph: SimilarityGraph) -> nx.Graph:
    return graph.to_networkx()


def run_networkx_tests(*modules: str, timeout: int) -> str:
    settings = {"NETWORKX_TEST_BACKEND": "assay", "NETWORKX_FALLBACK_TO_NX": "True"}
    # without this project's settings, which hold where the virtual environment lies inside it
    options = ["-c", os.devnull, "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *DRAWN, "--pyargs", *modules],
        env={**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=os.path.dirname(nx.__file__),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
    return done.stdout


def test_networkx_own_tests_of_the_native_functions_pass() -> None:
    assert " passed" in run_networkx_tests(*MODULES, timeout=900)


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
        result = call(name, graph, **ARGUMENTS.get(name, {}))
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
    assert converted.nodes[3]["sample_id"] == "3"
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
    assert dispatcher.can_run("pagerank", (graph,), {"color": 1}) is not True
    assert dispatcher.can_run("diameter", (graph,), {}) is not True
    assert dispatcher.should_run("pagerank", (graph,), {}) is not True
    assert dispatcher.should_run("pagerank", (), {"G": nx.empty_graph(1_000)}) is True
    with pytest.raises(AttributeError):
        dispatcher.no_such_function  # noqa: B018


def test_signatures_are_those_of_networkx() -> None:
    import inspect

    for name in FUNCTIONS:
        algorithm = nx.utils.backends._registered_algorithms[name]
        ours = inspect.signature(NATIVE[name]).parameters
        theirs = inspect.signature(algorithm.orig_func).parameters
        assert list(ours) == list(theirs)
        assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]
    assert NATIVE.keys() == FUNCTIONS.keys() == get_info()["functions"].keys()
    assert "assay" in nx.pagerank.backends


def test_importing_networkx_loads_nothing_of_the_backend_but_its_description() -> None:
    code = (
        "import sys, networkx\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'numba', 'polars')])\n"
        "print(sorted(m for m in sys.modules if m.startswith('assay.index.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "['assay.index.nx', 'assay.index.nx.info']"]


EXACT = sorted(
    set(ARGUMENTS) - {"bidirectional_shortest_path", "leiden_communities", "louvain_communities"}
)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("name", EXACT)
def test_walks_and_subgraphs_equal_networkx(name: str, directed: bool) -> None:
    if directed and not FUNCTIONS[name].directed:
        pytest.skip("left to networkx")
    original = nx.gnp_random_graph(150, 0.04, seed=1, directed=directed)
    found = call(name, CSRGraph.from_networkx(original), **ARGUMENTS[name])
    expected = call(name, original, **ARGUMENTS[name])
    if isinstance(expected, nx.Graph):
        assert isinstance(found, nx.Graph)
        assert nx.utils.graphs_equal(found, expected)
    elif name == "bfs_layers":
        assert list(map(set, found)) == list(map(set, expected))
    elif name == "single_target_shortest_path":
        assert {node: len(path) for node, path in found.items()} == {
            node: len(path) for node, path in expected.items()
        }
        assert all(nx.is_path(original, path) for path in found.values())
    else:
        assert found == expected


def test_subgraphs_keep_weights_and_ids(graph: SimilarityGraph, converted: nx.Graph) -> None:
    for name, options in (
        ("k_core", {"k": 4}),
        ("k_shell", {}),
        ("k_crust", {}),
        ("k_truss", {"k": 4}),
    ):
        found = call(name, graph, **options)
        assert nx.utils.graphs_equal(found, call(name, converted, **options))
        assert all(found.nodes[node]["sample_id"] == str(node) for node in found)


def test_scores_of_links_and_squares_equal_networkx(
    graph: SimilarityGraph, converted: nx.Graph
) -> None:
    assert nx.square_clustering(graph) == pytest.approx(nx.square_clustering(converted))
    assert nx.square_clustering(graph, [3, 4]) == pytest.approx(
        nx.square_clustering(converted, [3, 4])
    )
    for options in (
        {},
        {"weight": "weight"},
        {"beta": dict.fromkeys(range(180), 2.0)},
        {"normalized": False},
    ):
        expected = nx.katz_centrality(converted, alpha=0.05, **options)
        assert nx.katz_centrality(graph, alpha=0.05, **options) == pytest.approx(expected)
    with pytest.raises(nx.PowerIterationFailedConvergence):
        nx.katz_centrality(graph, alpha=5.0)
    linked = nx.gnp_random_graph(60, 0.1, seed=0, directed=True)
    held = CSRGraph.from_networkx(linked)
    for found, expected in zip(nx.hits(held), nx.hits(linked), strict=True):
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["louvain_communities", "leiden_communities"])
def test_communities_are_at_least_as_modular_as_those_of_networkx(
    name: str, graph: SimilarityGraph, converted: nx.Graph
) -> None:
    found = call(name, graph, seed=0)
    assert sorted(node for group in found for node in group) == list(range(180))
    theirs = nx.community.louvain_communities(converted, seed=0)
    assert (
        nx.community.modularity(converted, found)
        >= nx.community.modularity(converted, theirs) - 1e-6
    )
    assert all(nx.is_connected(converted.subgraph(group)) for group in found)
    assert call(name, graph, seed=0) == found
    looped = nx.Graph([(0, 0), (0, 1)])
    assert dispatcher.can_run("louvain_communities", (looped,), {}) is not True
    assert dispatcher.can_run("louvain_communities", (graph,), {"max_level": 1}) is True


def test_functions_that_may_change_their_graph_run_where_they_do_not(
    graph: SimilarityGraph, converted: nx.Graph
) -> None:
    component = max(nx.connected_components(converted), key=len)
    small = SimilarityGraph.from_vectors(np.arange(6.0)[:, None] ** 2, k=2, metric="l2")
    assert nx.barycenter(small) == nx.barycenter(small.to_networkx())
    assert len(nx.forceatlas2_layout(graph, max_iter=2, seed=0)) == 180
    assert nx.relabel_nodes(graph, {0: "first"}).number_of_nodes() == 180
    assert len(component) > 1
    for function, options in (
        (nx.barycenter, {"attr": "distance"}),
        (nx.forceatlas2_layout, {"store_pos_as": "pos"}),
        (nx.relabel_nodes, {"mapping": {0: 1}, "copy": False}),
    ):
        with pytest.raises(NotImplementedError, match=function.__name__):
            function(small, **options)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_core_numbers_of_digraphs_equal_networkx(seed: int, share: float) -> None:
    # in and out degree together reach 2 (n - 1)
    original = nx.gnp_random_graph(40, share, seed=seed, directed=True)
    assert nx.core_number(CSRGraph.from_networkx(original)) == nx.core_number(original)
    star = nx.star_graph(300).to_directed()
    assert nx.core_number(star, backend="assay") == nx.core_number(star)


@pytest.mark.parametrize("pays", [False, True])
def test_core_numbers_of_digraphs_by_automatic_dispatch(
    monkeypatch: pytest.MonkeyPatch, pays: bool
) -> None:
    ran: list[str] = []
    native = NATIVE["core_number"]

    @wraps(native)
    def counted(*args: Any, **kwargs: Any) -> Any:
        ran.append("core_number")
        return native(*args, **kwargs)

    graphs = [nx.star_graph(300).to_directed(), nx.complete_graph(60, nx.DiGraph)]
    graphs.append(nx.gnp_random_graph(60, 0.4, seed=1, directed=True))
    expected = [nx.core_number(graph, backend="networkx") for graph in graphs]
    monkeypatch.setitem(NATIVE, "core_number", counted)
    if pays:
        monkeypatch.setattr(type(dispatcher), "should_run", lambda *_: True)
    with nx.config(backend_priority=["assay"]):
        assert [nx.core_number(graph) for graph in graphs] == expected
    # a linear function is converted for only if the dispatcher says that it pays
    assert len(ran) == (len(graphs) if pays else 0)
