"""The networkx backend "assay": functions of networkx take a similarity graph as it is.

The functions in `nx.info.FUNCTIONS` run on the graph's arrays. Every other function gets the
graph converted to one of networkx, each time anew; where several are called, convert it once with
``graph.to_networkx()``. Calls that change their graph are refused, since they would change the
copy; functions that change it only with certain arguments (``barycenter`` with ``attr``) work with
the others. None of this needs any configuration.

Native here, beside other backends by their own lists (README of graphblas-algorithms, ``get_info`` of
the other two; later versions may have more):

===================================================  ===========  ====================  ==========
functions                                            nx-parallel  graphblas-algorithms  nx-cugraph
===================================================  ===========  ====================  ==========
PageRank, eigenvector and Katz centrality, HITS      no           yes                   yes
degree centrality                                    no           yes                   yes
BFS, layers, unweighted shortest paths               all pairs    has_path              yes
connected components                                 no           no                    yes
clustering, transitivity, triangles                  no           yes                   yes
square clustering                                    yes          yes                   no
core numbers; k-truss                                no; no       no; yes               yes; yes
k-core, -shell, -crust and -corona subgraphs         no           no                    no
Louvain and Leiden communities                       no           no                    Louvain
===================================================  ===========  ====================  ==========

Converted here, and native in one of them: betweenness, closeness vitality, weighted shortest paths,
local efficiency, reciprocity, ancestors and descendants, cuts and boundaries, tournaments, generators.

Examples
--------
>>> import networkx as nx
>>> from assay.index.graph.similarity_graph import SimilarityGraph
>>> graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0], [7.0]], k=1, metric="l2")
>>> nx.core_number(graph)
{0: 1, 1: 1, 2: 1, 3: 1}
>>> nx.diameter(graph.to_networkx().subgraph([0, 1]))
1
>>> nx.shortest_path(graph, 2, 3)
[2, 3]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import networkx as nx

from assay.index.graph.similarity_graph import SimilarityGraph
from assay.index.nx.functions import NATIVE
from assay.index.nx.graph import CSRGraph
from assay.index.nx.info import FUNCTIONS

# below this many nodes converting a graph of networkx costs more than it saves
_WORTHWHILE = 1_000


class Dispatcher:
    """What networkx calls; see "Backends and configs" in its documentation."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name in FUNCTIONS:
            return partial(_run, name)
        algorithm = _registered(name)
        if algorithm is None:
            raise AttributeError(name)
        return partial(_run_converted, algorithm)

    def convert_from_nx(
        self,
        graph: Any,
        *,
        edge_attrs: dict[Hashable, Any] | None = None,
        preserve_edge_attrs: bool = False,
        **_: Any,
    ) -> Any:
        """Return `graph` in arrays; NotImplementedError where it can't be held."""
        if isinstance(graph, CSRGraph | SimilarityGraph):
            return graph
        if preserve_edge_attrs or (edge_attrs and len(edge_attrs) > 1):
            raise NotImplementedError("Only one edge attribute is converted.")
        attribute, default = next(iter((edge_attrs or {}).items()), (None, None))
        return CSRGraph.from_networkx(graph, attribute, 1.0 if default is None else default)

    def convert_to_nx(self, obj: Any, **_: Any) -> Any:
        """Return a graph of this backend as one of networkx, anything else as it is."""
        return obj.to_networkx() if isinstance(obj, CSRGraph | SimilarityGraph) else obj

    def can_run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | str:
        """Say whether the backend can run the function with these arguments, or why not."""
        arguments = [*args, *kwargs.values()]
        arguments += [g for listed in arguments if isinstance(listed, list | tuple) for g in listed]
        if any(isinstance(graph, SimilarityGraph) for graph in arguments):
            algorithm = _registered(name)
            if algorithm is not None and _changes_its_graph(algorithm, args, kwargs):
                return "it changes the graph; convert it first with graph.to_networkx()"
            return True
        if name not in FUNCTIONS:
            return "only similarity graphs are converted to graphs of networkx"
        return _obstacle(name, args, kwargs) or True

    def should_run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | str:
        """Say whether converting a graph of networkx pays."""
        graph = args[0] if args else kwargs["G"]
        if FUNCTIONS[name].linear:
            return "conversion costs more than it saves"
        return len(graph) >= _WORTHWHILE or "conversion costs more than it saves"


def _registered(name: str) -> Any:
    """Return networkx's own function of that name that dispatches to backends, or None."""
    if name.endswith("__new__"):
        return None
    return nx.utils.backends._registered_algorithms.get(name)


def _changes_its_graph(algorithm: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether networkx's function changes its graph when it is called with these arguments."""
    mutates = algorithm.mutates_input
    if isinstance(mutates, bool):
        return mutates
    for name, place in mutates.items():
        # "not copy": changes it where `copy` is false; any other name: where it isn't None
        turned = name.startswith("not ")
        parameter = name.removeprefix("not ")
        value = (
            args[place] if len(args) > place else kwargs.get(parameter, True if turned else None)
        )
        if (not value) if turned else value is not None:
            return True
    return False


def _obstacle(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Say what about the arguments the native function leaves to networkx."""
    signature = inspect.signature(NATIVE[name])
    try:
        # networkx may pass any argument by position
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    bound.apply_defaults()
    native, graph = FUNCTIONS[name], bound.arguments["G"]
    if graph.is_multigraph():
        return "multigraphs are not supported"
    if not native.directed and graph.is_directed():
        return "directed graphs are not supported"
    for parameter in native.defaults:
        if bound.arguments[parameter] != signature.parameters[parameter].default:
            return f"{parameter} is not supported"
    if name == "pagerank" and not 0 <= bound.arguments["alpha"] < 1:
        return "an alpha of 1 is not supported"
    if not native.loops and _has_loops(graph):
        return "edges from a node to itself are not supported"
    return None


def _has_loops(graph: Any) -> bool:
    if isinstance(graph, SimilarityGraph):
        return False
    if isinstance(graph, CSRGraph):
        return bool(graph.loops.any())
    return any(node in neighbors for node, neighbors in graph.adjacency())


def _run(name: str, *args: Any, **kwargs: Any) -> Any:
    if _obstacle(name, args, kwargs):
        return _run_converted(_registered(name), *args, **kwargs)
    return NATIVE[name](*args, **kwargs)


def _run_converted(algorithm: Any, *args: Any, **kwargs: Any) -> Any:
    return algorithm(
        *map(_converted, args), **{name: _converted(value) for name, value in kwargs.items()}
    )


def _converted(value: Any) -> Any:
    if isinstance(value, CSRGraph | SimilarityGraph):
        return value.to_networkx()
    if isinstance(value, list | tuple) and any(isinstance(v, SimilarityGraph) for v in value):
        return [_converted(v) for v in value]
    return value


dispatcher = Dispatcher()
