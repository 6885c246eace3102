"""The graph by int8 codes against exact search by BLAS and against pynndescent, side by side.

    python benchmarks/graph_join.py [--runs 3] [--million]

15 Euclidean neighbors of all rows, one thread, CPU seconds of whole calls, compilation left out; in turns,
medians. Recall is that of 1,000 rows that are searched exactly. pynndescent takes the first of its
settings that reaches the recall asked for. Texts are the documents of `text_pool.parquet` by the default
embedder, under the cosine. Data: `ASSAY_TEST_DATA`, else `shared/data` beside the repository. Needs
pynndescent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from common import fast_blas  # noqa: F401
from common.data import data_folder
from common.process import output_alone
from common.report import table, verdict, write
from common.timing import timed
from graphs.vectors import K, cifar10, generated, resnet18
from threadpoolctl import threadpool_limits

from assay.index import embed
from assay.index.knn.nearest_neighbors import nearest_neighbors
from assay.index.vectors._tiles import KINDS
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.codes import tile_kind
from assay.index.vectors.exact import BlockScan, rank_candidates

TARGETS = (0.95, 0.985)
# neighbors and the share of updates at which it ends
SETTINGS = ((16, 0.01), (24, 0.001), (30, 0.001), (40, 0.001), (60, 0.001))
METRICS = {"l2": "euclidean", "cosine": "cosine"}
EXACT_UP_TO = 60_000
SAMPLE = 1_000


def texts() -> Vectors:
    """Return the vectors of the text pool's documents, those of length 0 left out."""
    found = embed(pl.read_parquet(data_folder() / "text_pool.parquet")["text"])
    X = np.asarray(found, dtype=np.float32)
    return np.ascontiguousarray(X[(X != 0).any(axis=1)])


SETS: dict[str, tuple[Callable[[], Vectors], str]] = {
    "CIFAR-10 60k x 192": (cifar10, "l2"),
    "texts x 128": (texts, "cosine"),
    "generated 200k x 128": (partial(generated, 200_000), "l2"),
    "ADBench ResNet18 5k x 512": (resnet18, "l2"),
}


class Race:
    """One set of vectors, and the truth about some of its rows."""

    def __init__(self, X: Vectors, metric: str, runs: int) -> None:
        self.X, self.metric, self.runs = X, metric, runs
        self.rows = np.sort(np.random.default_rng(1).permutation(len(X))[:SAMPLE])
        keys, _ = exact_knn(X[self.rows], BlockScan(X, metric), K, itself=self.rows)
        self.worst = keys[:, -1:] + 1e-9 * np.abs(keys[:, -1:]) + 1e-12

    def own(self, method: str, target: float) -> Any:
        """Return the lists of this package."""
        return nearest_neighbors(
            self.X, k=K, metric=self.metric, method=method, target_recall=target, threads=1
        ).neighbors

    def blas(self) -> Any:
        """Return exact lists by blocks of BLAS."""
        searched = BlockScan(self.X, self.metric)
        return exact_knn(searched.X, searched, K, itself=np.arange(len(self.X)))[1]

    def peer(self, width: int, delta: float) -> Any:
        """Return the lists of pynndescent."""
        import pynndescent

        name = METRICS[self.metric]
        made = pynndescent.NNDescent(
            self.X, n_neighbors=width, delta=delta, metric=name, n_jobs=1, random_state=0
        )
        return made.neighbor_graph[0][:, 1 : K + 1]

    def recall(self, lists: Any) -> float:
        """Return the share of true neighbors that lists hold."""
        order = np.arange(len(self.X), dtype=np.int32)
        keys, _ = rank_candidates(
            self.X[self.rows], self.X, lists[self.rows].astype(np.int64), K,
            metric=self.metric, rank=order,
        )  # fmt: skip
        return float((keys <= self.worst).mean())

    def setting(self, target: float) -> tuple[int, float]:
        """Return the first setting of pynndescent that reaches a recall, or the last."""
        for width, delta in SETTINGS:
            if self.recall(self.peer(width, delta)) >= target:
                break
        return width, delta

    def run(self, ways: dict[str, Callable[[], Any]]) -> dict[str, tuple[float, float]]:
        """Run some ways in turns; return the median time and the recall of each."""
        spent: dict[str, list[float]] = {name: [] for name in ways}
        found = {}
        for _ in range(self.runs):
            for name, way in ways.items():
                found[name], cost = timed(way)
                spent[name].append(cost.cpu)
        return {name: (median(spent[name]), self.recall(found[name])) for name in ways}


def lines_of(name: str, race: Race) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of the tables of joins and of exact searches."""
    joins, exact = [], []
    for target in TARGETS:
        width, delta = race.setting(target)
        found = race.run(
            {
                "ours": partial(race.own, "block_join", target),
                "peer": partial(race.peer, width, delta),
            }
        )
        (mine, recall), (theirs, reached) = found["ours"], found["peer"]
        joins.append(
            [
                name, f"{target:g}", f"{mine:.2f} ({recall:.4f})",
                f"{theirs:.2f} ({reached:.4f}, {width} neighbors)", f"{theirs / mine:.2f}",
                verdict(theirs >= 3 * mine),
            ]
        )  # fmt: skip
        print(*joins[-1], file=sys.stderr, flush=True)
    if len(race.X) <= EXACT_UP_TO:
        ways = {"ours": partial(race.own, "exact", 1.0), "blas": race.blas}
        found = race.run(ways)
        mine, theirs = found["ours"][0], found["blas"][0]
        exact.append(
            [
                name,
                f"{mine:.2f}",
                f"{theirs:.2f}",
                f"{theirs / mine:.2f}",
                verdict(theirs >= 4 * mine),
            ]
        )
    return joins, exact


def million() -> str:
    """Return what a million rows take."""
    told = json.loads(output_alone("graphs.memory", 1_000_000, 1))
    mean, low, high = told["recall"]
    return (
        f"A million generated rows x 128 at .98: {told['cpu']:.1f} CPU-s (aim 25: "
        f"{verdict(told['cpu'] <= 25)}), peak {told['peak'] / 1e9:.2f} GB with the vectors (aim 1.5: "
        f"{verdict(told['peak'] <= 1.5e9)}), recall {mean:.4f} [{low:.4f}, {high:.4f}].\n\n"
    )


def main() -> None:
    """Race on every set and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--million", action="store_true")
    asked = parser.parse_args()
    before = os.getloadavg()
    joins: list[list[str]] = []
    exact: list[list[str]] = []
    with threadpool_limits(1):
        for name, (load, metric) in SETS.items():
            race = Race(load(), metric, asked.runs)
            small = Race(race.X[:4_000], metric, 1)
            for way in (partial(small.own, "block_join", 0.9), partial(small.own, "exact", 1.0)):
                way()
            small.peer(16, 0.01)
            for rows, more in zip((joins, exact), lines_of(name, race), strict=True):
                rows += more
    kind = {number: name for name, number in KINDS.items()}[tile_kind()]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "pynndescent"))
    loads = ", ".join(f"{x:.1f}" for x in (*before, *os.getloadavg()))
    text = "# The graph by int8 codes\n\n"
    text += f"`{' '.join(['python benchmarks/graph_join.py', *sys.argv[1:]])}`: {os.cpu_count()} "
    text += f"shared cores, load before and after {loads}; tiles of {kind}; "
    text += f"Python {platform.python_version()}, {packages}. CPU seconds (recall).\n\n"
    text += table(
        ["data", "recall asked", "assay", "pynndescent", "ratio", "a third of its time"], joins
    )
    text += "\n\nExact search:\n\n"
    text += table(["data", "codes", "BLAS", "ratio", "a quarter of its time"], exact) + "\n\n"
    if asked.million:
        text += million()
    write("graph_join.md", text.rstrip() + "\n")


if __name__ == "__main__":
    main()
