"""The native functions by name, with the signatures of networkx.

Results, errors and their conditions are networkx's, whose documentation applies; see
`assay.index.nx.info` for what differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.index.nx import centralities, cores, groups, paths, triangles

NATIVE: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        centralities.pagerank,
        centralities.eigenvector_centrality,
        centralities.hits,
        centralities.katz_centrality,
        centralities.degree_centrality,
        cores.core_number,
        cores.k_core,
        cores.k_shell,
        cores.k_crust,
        cores.k_corona,
        cores.k_truss,
        groups.connected_components,
        groups.number_connected_components,
        groups.is_connected,
        groups.node_connected_component,
        groups.louvain_communities,
        groups.leiden_communities,
        paths.single_source_shortest_path_length,
        paths.single_target_shortest_path_length,
        paths.all_pairs_shortest_path_length,
        paths.single_source_shortest_path,
        paths.single_target_shortest_path,
        paths.all_pairs_shortest_path,
        paths.bidirectional_shortest_path,
        paths.has_path,
        paths.shortest_path,
        paths.shortest_path_length,
        paths.bfs_edges,
        paths.bfs_predecessors,
        paths.bfs_successors,
        paths.bfs_layers,
        paths.descendants_at_distance,
        triangles.triangles,
        triangles.clustering,
        triangles.average_clustering,
        triangles.transitivity,
        triangles.square_clustering,
    )
}
