"""Greedy selection in two stages against the same greedy over the whole pool, on real documents.

The graph of 100,000 documents of 21 domains (and of 20,000 of them), 15 neighbors each. Data:
`text_pool.parquet` in the folder named by `ASSAY_TEST_DATA`, else in `../shared/data` beside the
repository.

    python benchmarks/two_stage.py
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
from common.data import documents
from common.report import table, write
from scipy.sparse import csr_matrix

from assay.index import SimilarityGraph, embed
from assay.selection.contract.inputs import GraphView, Inputs
from assay.selection.selectors.greedy import LazyRanking
from assay.selection.selectors.two_stage import TwoStageSelector

SHARDS = (2, 8, 32, 128)
BUDGETS = (100, 1_000, 0.1)
METHODS = ("facility_location", "saturated_coverage", "graph_cut")
# how many rows a shard proposes, in how many rounds, how many proposals a union merges
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"fan_in": 4},
    {"oversampling": 3.0, "rounds": 1},
    {"oversampling": 3.0, "rounds": 4},
    {"oversampling": 3.0},
    {"oversampling": 3.0, "fan_in": 4},
    {"oversampling": 1.5, "rounds": 1},
    {"oversampling": 1.5},
)


def graph_of(rows: int) -> SimilarityGraph:
    """Return the graph of some documents."""
    pool = documents().sample(rows, seed=0)
    return SimilarityGraph.from_vectors(embed(pool["text"], ids=pool["id"]), ids=pool["id"], k=15)


def timed(call: Any) -> tuple[Any, float]:
    """Return what a call gives, and its CPU seconds."""
    began = time.process_time()
    made = call()
    return made, time.process_time() - began


def within(graph: SimilarityGraph, budget: int, shards: int) -> float:
    """Return the objective where a shard sees only the edges between its own rows."""
    inputs = Inputs(graph=graph)
    greedy = TwoStageSelector(budget=budget)._greedy()
    function = greedy.set_function(inputs.graph)
    of_row = TwoStageSelector(budget=budget, shards=shards)._sharded(inputs)
    view: Any = inputs.graph
    n = len(function.own)
    matrix = csr_matrix((view.weights, view.indices, view.indptr), shape=(n, n))
    candidates = []
    for shard in range(shards):
        rows = np.flatnonzero(of_row == shard)
        part = matrix[rows][:, rows].sorted_indices()
        lists = np.empty((len(rows), 0))
        own = greedy.set_function(
            GraphView(part.indptr.astype(np.int64), part.indices, part.data, lists, lists)
        )
        ranking = LazyRanking(own)
        count = min(budget, len(rows))
        ranking.extend(count)
        candidates.append(rows[ranking.order[:count]])
    union = np.sort(np.concatenate(candidates))
    restricted = function.restricted(union)
    ranking = LazyRanking(restricted)
    ranking.extend(budget)
    return restricted.value(ranking.order[:budget])


def lines(graph: SimilarityGraph, method: str, budget: float) -> list[list[str]]:
    """Return a row of the table for every number of shards and share of candidates."""
    n = len(graph)
    count = max(1, int(budget * n)) if isinstance(budget, float) else budget
    found = []
    for shards in SHARDS:
        for setting in SETTINGS:
            selector = TwoStageSelector(
                budget=budget, selector=method, shards=shards, compare=True, **setting
            )
            _, seconds = timed(lambda selector=selector: selector.fit(graph=graph))
            report = selector.report_
            central = report["objective_centralised"]
            oversampling = setting.get("oversampling")
            sub = ""
            if method == "facility_location" and not setting:
                sub = f"{within(graph, count, shards) / central:.4f}"
            found.append(
                [
                    f"{n:,}",
                    method,
                    f"{count:,}",
                    str(shards),
                    "budget" if oversampling is None else f"{oversampling} x share",
                    str(report["rounds"]),
                    str(setting.get("fan_in", "all")),
                    f"{report['candidates']:,}",
                    f"{report['largest_union']:,}",
                    f"{report['objective'] / central:.4f}",
                    f"{report['objective_best_shard'] / central:.4f}",
                    f"{report['objective_random'] / central:.4f}",
                    sub,
                    f"{report['largest_shard_bytes'] / report['largest_shard']:.0f}",
                    f"{seconds:.2f}",
                ]
            )
    return found


def main() -> None:
    """Write the report."""
    rows = []
    for size in (20_000, 100_000):
        graph = graph_of(size)
        methods = METHODS if size == 20_000 else METHODS[:1]
        for method in methods:
            for budget in BUDGETS:
                rows += lines(graph, method, budget)
    frame = pl.DataFrame(
        {
            "method": [row[1] for row in rows],
            "proposes": [row[4] for row in rows],
            "rounds": [row[5] for row in rows],
            "fan_in": [row[6] for row in rows],
            "union": [int(row[8].replace(",", "")) for row in rows],
            "ratio": [float(row[9]) for row in rows],
        }
    )
    by = ("method", "proposes", "rounds", "fan_in")
    told = frame.group_by(by, maintain_order=True).agg(
        pl.col("ratio").min().alias("least"),
        pl.col("ratio").median().alias("median"),
        pl.col("union").max(),
    )
    names = ("method", "each proposes", "rounds", "unions merge")
    head = (
        "rows",
        "method",
        "budget",
        "shards",
        *names[1:],
        "candidates",
        "largest union",
        "ratio",
    )
    more = ("best shard", "random", "own edges only", "bytes a row", "CPU s")
    text = f"""# Greedy in two stages

`python benchmarks/two_stage.py`: 2 shared cores. Real documents of 21 domains, 15 neighbors.

`ratio` is the objective of the two stages over that of the same greedy on the whole pool, `best
shard` that of all that the best shard proposed, by itself, `random` that of a random subset of
equal size. The guarantee, for as many candidates as the budget in one round, is 1/2 (1 - 1/e) =
0.316 of the optimum on average over the shards' seed (Barbosa et al. 2015), and (1 - 1/e)^2 /
min(k, P) whatever the shards (Mirzasoleiman et al. 2013). `rounds`: the budget is taken in so many
parts, and shards know what was taken before (`rounds`; with fewer candidates than budgets the
default is 8). `unions merge`: how many proposals a union merges (`fan_in`). `candidates`: rows that
a shard proposed; `largest union`: rows that one process merges. `own edges only`: the same, where a
shard sees only the edges between its own rows, as when each shard builds a graph of itself. `bytes
a row`: what the worker of the largest shard is sent. `CPU s`: both stages, all shards one after
another, the plain greedy for comparison included; the first line also compiles.

{
        table(
            (*names, "largest union", "least ratio", "median ratio"),
            [
                (*keys, f"{union:,}", f"{least:.4f}", f"{median:.4f}")
                for *keys, least, median, union in told.iter_rows()
            ],
        )
    }

{table((*head, *more), [row for row in rows if row[1] == METHODS[0]])}
"""
    write("two_stage.md", text)


if __name__ == "__main__":
    main()
