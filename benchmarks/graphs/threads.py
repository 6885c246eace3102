"""Builds one graph with one thread and with two in turn, and tells the seconds of each as JSON.

python -m graphs.threads ROWS ROUNDS
"""

from __future__ import annotations

import json
import sys

from common.timing import timed

from assay.index import SimilarityGraph
from graphs.vectors import K, generated


def main() -> None:
    """Build it once for each number of threads, and then in turn."""
    rows, rounds = map(int, sys.argv[1:])
    X = generated(rows)

    def build(threads: int) -> float:
        _, spent = timed(
            lambda: SimilarityGraph.from_vectors(
                X, k=K, metric="l2", method="block_join", target_recall=0.98, threads=threads
            )
        )
        return spent.wall

    turns = [[build(threads) for threads in (1, 2)] for _ in range(rounds + 1)]
    print(json.dumps(turns[1:]))


if __name__ == "__main__":
    main()
