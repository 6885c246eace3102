"""What networkx asks about this backend whenever it is imported: loads nothing else."""

from __future__ import annotations

from typing import Any

# name -> what differs from networkx's own function
FUNCTIONS = {
    "average_clustering": "Weights and directed graphs are left to networkx.",
    "clustering": "Weights and directed graphs are left to networkx.",
    "connected_components": "",
    "core_number": "",
    "degree_centrality": "",
    "eigenvector_centrality": (
        "Solved by ARPACK to a residual that does not depend on the number of nodes; directed "
        "graphs and `nstart` are left to networkx."
    ),
    "is_connected": "",
    "number_connected_components": "",
    "pagerank": (
        "Stops when the sum of absolute changes is at most `tol` and 1e-6, not n * tol; `dangling` "
        "is left to networkx."
    ),
    "transitivity": "Directed graphs are left to networkx.",
    "triangles": "",
}


def get_info() -> dict[str, Any]:
    """Describe the backend in the form that networkx asks for."""
    return {
        "backend_name": "assay",
        "project": "assay",
        "package": "assay",
        "short_summary": "Similarity graphs in compressed sparse rows.",
        "functions": {
            name: {"additional_docs": docs} if docs else {} for name, docs in FUNCTIONS.items()
        },
    }
