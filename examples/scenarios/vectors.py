"""Own embeddings and networkx: the graph, what networkx says of it, and a subset that covers it.

    python vectors.py                  # 2,000 vectors
    python vectors.py --rows 250000

Follows docs/site/start/vectors.md.
"""

from __future__ import annotations

import json
from argparse import Namespace

import networkx as nx
import numpy as np
import polars as pl
from _shell import assay, start

from assay.index import SimilarityGraph, VectorIndex
from assay.selection import FacilityLocationSelector, KCenterSelector, PageRank

CLUSTERS = 20


def make_vectors(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors around the centers of clusters of unequal size, and the cluster of each."""
    rng = np.random.default_rng(0)
    sizes = rng.dirichlet(np.full(CLUSTERS, 2.0))
    cluster = rng.choice(CLUSTERS, rows, p=sizes)
    centers = rng.normal(size=(CLUSTERS, 64))
    X = centers[cluster] + 0.6 * rng.normal(size=(rows, 64))
    return X.astype(np.float32), cluster


def main(options: Namespace) -> None:
    """Do what somebody does who has embeddings, in the current folder."""
    rows: int = options.rows
    X, cluster = make_vectors(rows)
    ids = [f"v{i}" for i in range(rows)]

    # the graph, whose nodes are the ids
    graph = SimilarityGraph.from_vectors(X, ids=ids, k=15, metric="cosine")
    assert graph.report_["recall"] > 0.95
    assert len(graph.nodes) == rows
    assert "v0" in graph
    near = list(graph.neighbors("v0"))
    assert graph.has_edge("v0", near[0])
    assert graph["v0"][near[0]]["weight"] > 0
    within = [cluster[0] == cluster[int(name[1:])] for name in near]
    assert np.mean(within) > 0.9

    # what networkx knows of it: on the arrays where it is native, converted where it is not
    ranks = nx.pagerank(graph)
    assert abs(sum(ranks.values()) - 1) < 1e-6
    own = PageRank().fit(graph=graph).scores_
    np.testing.assert_allclose([ranks[name] for name in ids], own, rtol=1e-3, atol=1e-9)
    cores = nx.core_number(graph)
    assert set(cores) == set(ids)
    communities = nx.community.louvain_communities(graph, seed=0)
    pure = sum(np.bincount(cluster[[int(v[1:]) for v in c]]).max() for c in communities) / rows
    assert pure > 0.9, pure
    path = nx.shortest_path(graph, "v0", near[-1])
    assert path[0] == "v0"
    ball = graph.subgraph(["v0", *near])
    assert ball.number_of_nodes() == len(near) + 1
    plain = nx.Graph(ball)
    assert set(plain) == {"v0", *near}
    assert nx.density(plain) > 0

    # rows that cover the graph, and rows that are far apart
    budget = rows // 20
    covering = FacilityLocationSelector(budget=budget).fit(graph=graph, ids=ids)
    apart = KCenterSelector(budget=budget, random_state=0).fit(X, ids=ids)
    rng = np.random.default_rng(1)

    def coverage(chosen: np.ndarray) -> float:
        """Return the mean similarity of a row to the nearest chosen one."""
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        return float(
            np.mean(
                [(part @ unit[chosen].T).max(axis=1).mean() for part in np.array_split(unit, 64)]
            )
        )

    by_chance = np.mean([coverage(rng.choice(rows, budget, replace=False)) for _ in range(3)])
    assert coverage(covering.indices_) > by_chance
    assert len(set(cluster[covering.indices_])) == CLUSTERS
    assert len(apart.indices_) == budget

    # neighbors of a vector that is not in the pool
    index = VectorIndex.from_vectors(X, ids=ids)
    similarities, names = index.query(X[0] + 0.01, k=5)
    assert names.ravel()[0] == "v0"
    assert similarities.ravel()[0] > 0.99

    # the same from files, kept in a store
    np.save("vectors.npy", X)
    pl.DataFrame({"id": ids, "cluster": cluster}).write_parquet("rows.parquet")
    told = json.loads(
        assay(
            "curate --pool rows.parquet --id id --vector vectors.npy --keep cluster "
            f"--budget {budget} --select facility_location --store store --json"
        )
    )
    assert told["selected"] == budget
    assert all(row["chosen"] for row in told["shares"]["cluster"])
    print(f"{budget:,} of {rows:,} vectors; louvain finds {len(communities)} communities")


if __name__ == "__main__":
    start(main, __doc__, rows=2000)
