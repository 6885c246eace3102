"""Exact searches by int8 codes against the same searches by BLAS, for each of their users.

    python benchmarks/code_searches.py [--runs 3]

One thread, CPU seconds of whole calls (codes are made in them), compilation left out, in turns, medians.
Both ways must find the same keys and rows, which is checked. Texts are the documents of
`text_pool.parquet` by the default embedder, under the cosine; generated vectors are those of
`graph.py`. Writes `results/code_searches.md`. Data: `ASSAY_TEST_DATA`, else `shared/data` beside the
repository.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from statistics import median

import numpy as np
from common import fast_blas  # noqa: F401
from common.report import table, write
from common.timing import timed
from graph_join import texts
from graphs.vectors import cifar10, generated
from threadpoolctl import threadpool_limits

from assay.index.vectors._tiles import KINDS
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_search import CodedRows, Lists, codes_pay
from assay.index.vectors.codes import tile_kind
from assay.index.vectors.exact import BlockScan, block_knn, row_squares

ADOPTED = 1.3


def by_codes(Q: Vectors, X: Vectors, metric: str, k: int) -> Lists:
    rank = np.arange(len(X), dtype=np.int32)
    return CodedRows(X, row_squares(X), metric, rank).knn(Q, k, np.full(len(Q), -1))


def by_blas(Q: Vectors, X: Vectors, metric: str, k: int) -> Lists:
    return block_knn(Q, BlockScan(X, metric), k, np.full(len(Q), -1))


def medians(runs: int, *ways: Callable[[], Lists]) -> list[float]:
    """Return the CPU seconds of each way, which take turns and must agree."""
    spent: list[list[float]] = [[] for _ in ways]
    for run in range(runs + 1):
        results = []
        for way, seconds in zip(ways, spent, strict=True):
            found, cost = timed(way)
            results.append(found)
            if run:
                seconds.append(cost.cpu)
        for found in results[1:]:
            np.testing.assert_array_equal(found[0], results[0][0])
            np.testing.assert_array_equal(found[1], results[0][1])
    return [median(seconds) for seconds in spent]


def some(X: Vectors, count: int, seed: int) -> Vectors:
    """Return random rows."""
    return np.ascontiguousarray(X[np.random.default_rng(seed).permutation(len(X))[:count]])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    threadpool_limits(1)
    text, image = texts(), cifar10()
    low = generated(50_000, 16)
    cases = [
        ("flat search, texts", some(text, 1_000, 0), text, "cosine", 10),
        ("flat search, CIFAR-10", some(image, 1_000, 0), image, "l2", 10),
        ("flat search, CIFAR-10, inner product", some(image, 1_000, 0), image, "ip", 10),
        ("flat search, 16 columns", some(low, 1_000, 0), low, "l2", 10),
        ("flat search, 50 neighbors", some(image, 1_000, 0), image, "l2", 50),
        ("flat search, 100 neighbors", some(image, 1_000, 0), image, "l2", 100),
        ("flat search, 200 queries", some(image, 200, 0), image, "l2", 10),
        ("flat search, 20 queries", some(image, 20, 0), image, "l2", 10),
        ("nearest of 5,000 chosen rows", some(text, 40_000, 0), some(text, 5_000, 1), "cosine", 1),
        ("nearest of 5,000 known rows", some(image, 20_000, 0), some(image, 5_000, 1), "l2", 5),
        ("TAROT's nearest of 2,000 targets", some(image, 20_000, 0), some(image, 2_000, 1),
         "cosine", 1),
        ("assignment to 1,024 centroids", some(text, 40_000, 0), some(text, 1_024, 1), "cosine", 1),
        ("assignment to 256 centroids", some(text, 40_000, 0), some(text, 256, 1), "cosine", 1),
        ("assignment to 50 centroids", some(text, 40_000, 0), some(text, 50, 1), "cosine", 1),
    ]  # fmt: skip
    lines = []
    for name, Q, X, metric, k in cases:
        ways = [lambda way=way: way(Q, X, metric, k) for way in (by_blas, by_codes)]  # noqa: B023
        blas, codes = medians(runs, *ways)
        used = codes_pay(BlockScan(X, metric), len(Q), k) and not name.startswith("assign")
        size = f"{len(Q):,} among {len(X):,} x {X.shape[1]}"
        lines.append(
            [name, size, metric, str(k), f"{blas:.3f}", f"{codes:.3f}", f"{blas / codes:.2f}",
             "codes" if used else "BLAS"]
        )  # fmt: skip
        print(lines[-1], flush=True)
    kind = next(name for name, number in KINDS.items() if number == tile_kind())
    head = ["search", "rows", "metric", "k", "BLAS", "codes", "times", "in use"]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    text_of = (
        "# Exact searches by codes\n\n"
        f"`python benchmarks/code_searches.py`. CPU seconds, one thread, medians of {runs}; keys and rows\n"
        f"are equal in every line. {platform.machine()}, tiles: `{kind}`, load {load}. Codes are in use from\n"
        f"500 queries among 4,096 rows on, for up to 32 neighbors.\n\n" + table(head, lines) + NOTES
    )
    write("code_searches.md", text_of)


NOTES = """

Who searches that way: `VectorIndex` (flat, or a filter that leaves at most 50,000 rows), and through it the
weights of chosen rows, distances to known rows, round robin and transport layers; TAROT; the
measured recall of graphs.

Left as they are:

- Assignment to centroids. Making the codes costs as much as comparing a row with some hundred
  centroids, and k-means in two steps compares with at most about 90.
- Few queries, and lists of more than 32 neighbors: codes cost more than they save.
- Rows in mapped files, which BLAS reads from beginning to end.
- IVF search, and the pairs of semantic duplicates, which are read from the graph (built by codes
  already; only rows with more copies than neighbors are compared with keepers): not measured.
"""


if __name__ == "__main__":
    main()
