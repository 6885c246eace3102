"""What does a selection gain when the rows that are had already count? Prints a table and writes it.

    python benchmarks/covered.py

100 rows of a pool are labeled: at random, or those that facility location chooses first. 50 more
are chosen: at random, by facility location with the labeled rows excluded (`must_exclude`, which
knows nothing of them), and with them `covered`. The figure is facility location of all 150, as a
share of that of the whole pool, and beside it the
mean cosine of a row to the nearest of the 150. Data is read from the folder `ASSAY_TEST_DATA`, else
from `shared/data` beside the repository; the small pool is the one that ships with assay.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from common.report import machine, table, write
from subsets.models import Rows, Singles
from subsets.pools import data

from assay.examples import example_path
from assay.index import SimilarityGraph, embed
from assay.selection import FacilityLocationSelector, SelectionPlan
from assay.selection.algorithms.set_functions import SetFunction

SEEDS = range(5)
LABELED, BATCH, K = 100, 50, 15
WAYS = ("random", "labeled rows excluded", "labeled rows covered")


def pools() -> Iterator[tuple[str, Singles]]:
    """Yield pools as rows of length 1."""
    for name, texts in (
        ("shipped pool", pl.read_parquet(example_path("pool.parquet"))["text"]),
        ("text pool, 5,000 rows", data("text_pool.parquet")["text"][:5_000]),
    ):
        yield name, embed(texts)
    frame = data("cifar10_vectors.parquet").filter(split="train")[:5_000]
    X = frame["vec"].to_numpy().astype(np.float32)
    X -= X.mean(axis=0)
    yield "CIFAR-10 vectors, 5,000 rows", X / np.linalg.norm(X, axis=1, keepdims=True)


def batches(graph: SimilarityGraph, X: Singles, labeled: Rows, seed: int) -> dict[str, Rows]:
    """Return the next rows to label, chosen in each way."""
    n = len(X)
    free = np.setdiff1d(np.arange(n), labeled)
    excluded = SelectionPlan(budget=BATCH, must_exclude=[str(row) for row in labeled])
    covered = FacilityLocationSelector(budget=BATCH).fit(graph=graph, covered=labeled)
    return {
        WAYS[0]: np.random.default_rng([seed, 1]).choice(free, BATCH, replace=False),
        WAYS[1]: excluded.fit(X, graph=graph).indices_,
        WAYS[2]: covered.indices_,
    }


def main() -> None:
    """Measure every pool and write the report."""
    lines = []
    for name, X in pools():
        graph = SimilarityGraph.from_vectors(X, k=K)
        function: SetFunction = FacilityLocationSelector(budget=1).set_function(graph)
        assert function.whole is not None
        first = FacilityLocationSelector(budget=LABELED).fit(graph=graph).indices_
        for how in ("at random", "by facility location"):
            shares: dict[str, list[float]] = {way: [] for way in WAYS}
            cosines: dict[str, list[float]] = {way: [] for way in WAYS}
            for seed in SEEDS:
                rng = np.random.default_rng(seed)
                labeled = rng.choice(len(X), LABELED, replace=False)
                labeled = labeled if how == "at random" else first
                for way, batch in batches(graph, X, labeled, seed).items():
                    both = np.union1d(labeled, batch)
                    shares[way].append(function.value(both) / function.whole)
                    cosines[way].append(float((X @ X[both].T).max(axis=1).mean()))
            lines.append(
                (
                    f"{name} ({len(X):,} rows)",
                    how,
                    *(f"{np.mean(shares[way]):.3f}" for way in WAYS),
                    *(f"{np.mean(cosines[way]):.3f}" for way in WAYS),
                )
            )
    head = ("pool", "labeled", *WAYS, *(f"cosine: {way}" for way in WAYS))
    report = (
        "# The next batch beside rows that are labeled\n\n"
        "`python benchmarks/covered.py`\n\n"
        f"{LABELED} labeled rows and {BATCH} new ones: facility location of all of them, as a share "
        "of that of the whole pool, and the mean cosine of a row to the nearest of them. Means over "
        f"{len(SEEDS)} seeds.\n\n{table(head, lines)}\n\n{machine()}\n"
    )
    write("covered.md", report)


if __name__ == "__main__":
    main()
