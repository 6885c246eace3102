"""What networkx asks about this backend whenever it is imported: loads nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Native:
    """A function of networkx that runs on arrays, and the arguments it leaves to networkx.

    Attributes
    ----------
    differs : str
        How the result differs from networkx's own.
    directed, loops : bool
        Whether directed graphs, and edges from a node to itself, are taken.
    defaults : tuple of str
        Parameters that must keep their default.
    linear : bool
        Whether one pass over the edges is enough, so that converting a graph of networkx costs more
        than it saves.
    """

    differs: str = ""
    directed: bool = True
    loops: bool = True
    defaults: tuple[str, ...] = ()
    linear: bool = False

    @property
    def documentation(self) -> str:
        """Return the differences and what is left to networkx, in sentences."""
        left = [f"`{name}`" for name in self.defaults]
        left += ["directed graphs"] * (not self.directed)
        left += ["edges from a node to itself"] * (not self.loops)
        sentence = f"Left to networkx: {', '.join(left)}." if left else ""
        return " ".join(filter(None, [self.differs, sentence]))


_WALK = Native(linear=True)
_PATHS = Native(defaults=("weight",), linear=True)
_CORE = Native(directed=False, linear=True)
_LEIDEN = "Found by the Leiden algorithm with a seed of its own"

FUNCTIONS = {
    "all_pairs_shortest_path": Native(),
    "all_pairs_shortest_path_length": Native(),
    "average_clustering": Native(directed=False, defaults=("weight",)),
    "bfs_edges": Native(defaults=("sort_neighbors",), linear=True),
    "bfs_layers": _WALK,
    "bfs_predecessors": Native(defaults=("sort_neighbors",), linear=True),
    "bfs_successors": Native(defaults=("sort_neighbors",), linear=True),
    "bidirectional_shortest_path": _WALK,
    "clustering": Native(directed=False, defaults=("weight",)),
    "connected_components": Native(),
    "core_number": Native(),
    "degree_centrality": Native(),
    "descendants_at_distance": _WALK,
    "eigenvector_centrality": Native(
        "Solved by ARPACK to a residual that does not depend on the number of nodes.",
        directed=False,
        defaults=("nstart",),
    ),
    "has_path": _WALK,
    "hits": Native("Starts from all nodes alike, so that it does not depend on a seed."),
    "is_connected": Native(),
    "k_core": _CORE,
    "k_corona": _CORE,
    "k_crust": _CORE,
    "k_shell": _CORE,
    "k_truss": _CORE,
    "katz_centrality": Native(),
    "leiden_communities": Native(
        f"{_LEIDEN}; networkx has none of its own.",
        directed=False,
        loops=False,
        defaults=("max_level",),
    ),
    "louvain_communities": Native(
        f"{_LEIDEN}, which keeps communities connected.",
        directed=False,
        loops=False,
        defaults=("max_level", "threshold"),
    ),
    "node_connected_component": Native(directed=False, linear=True),
    "number_connected_components": Native(),
    "pagerank": Native(
        "Stops when the sum of absolute changes is at most `tol` and 1e-6, not n * tol.",
        defaults=("dangling",),
    ),
    "shortest_path": _PATHS,
    "shortest_path_length": _PATHS,
    "single_source_shortest_path": _WALK,
    "single_source_shortest_path_length": _WALK,
    "single_target_shortest_path": _WALK,
    "single_target_shortest_path_length": _WALK,
    "square_clustering": Native(directed=False),
    "transitivity": Native(directed=False),
    "triangles": Native(),
}


def get_info() -> dict[str, Any]:
    """Describe the backend in the form that networkx asks for."""
    return {
        "backend_name": "assay",
        "project": "assay",
        "package": "assay",
        "short_summary": "Similarity graphs in compressed sparse rows.",
        "functions": {
            name: {"additional_docs": native.documentation} if native.documentation else {}
            for name, native in FUNCTIONS.items()
        },
    }
