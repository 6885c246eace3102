"""Builds one graph in a process of its own and tells time, memory and recall as JSON.

python -m graphs.memory ROWS
"""

from __future__ import annotations

import json
import sys

from common.process import peak_bytes
from common.timing import timed

from assay.index import SimilarityGraph
from graphs.vectors import K, generated


def main() -> None:
    """Build it."""
    rows = int(sys.argv[1])
    # compiles
    SimilarityGraph.from_vectors(generated(20_000), k=K, metric="l2", method="block_join")
    X = generated(rows)
    graph, spent = timed(
        lambda: SimilarityGraph.from_vectors(
            X, k=K, metric="l2", method="block_join", target_recall=0.98, threads=1
        )
    )
    peak = peak_bytes()
    report = graph.report_
    arrays = (graph.indptr, graph.indices, graph.weights, graph.neighbors, graph.distances())
    told = {
        "cpu": spent.cpu,
        "wall": spent.wall,
        "peak": peak,
        "recall": [report["recall"], report["recall_low"], report["recall_high"]],
        "bytes": sum(array.nbytes for array in arrays),
        "bytes_csr": sum(array.nbytes for array in arrays[:3]),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
