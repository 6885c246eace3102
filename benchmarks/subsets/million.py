"""Runs one selector on a saved graph in a process of its own and tells time and memory as JSON.

python -m subsets.million GRAPH {facility_location,d2,ccs} REPEATS
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from common.process import peak_bytes

from assay.index import SimilarityGraph
from assay.selection import registry


def main() -> None:
    """Choose a tenth."""
    folder, name, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
    make = registry.get(name, "selector")
    small = SimilarityGraph.from_vectors(np.random.default_rng(0).normal(size=(200, 4)), k=10)
    # compiles
    make(budget=0.1).fit(graph=small, scores=np.arange(200.0))
    graph = SimilarityGraph.load(folder)
    scores = np.random.default_rng(0).gamma(2.0, size=len(graph))
    loaded = peak_bytes()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        selector = make(budget=0.1).fit(graph=graph, scores=scores)
        seconds.append(time.process_time() - began)
    told = {
        "rows": len(graph),
        "edges": graph.number_of_edges(),
        "chosen": len(selector.indices_),
        "cpu": statistics.median(seconds),
        "peak": peak_bytes(),
        "loaded": loaded,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
