"""Which selector should be the default without labels?

    python benchmarks/default_selector.py --kept FOLDER [--sets NAME ...] [--seeds 0 1 2]

Ten labeled sets. A seed splits a set into a pool (at most 15,000 rows) and rows to test
(at most 4,000), builds the graph of 15 neighbors that a run builds, and lets every candidate choose
100, 300, 1,000 rows and 10 % without labels. Two judges, ridge and logistic regression on the same
vectors, learn the labels of what was chosen and are tested on the rest; the baseline is the mean of
four random subsets. The candidate was chosen on the sets of `CHOOSE` alone and is reported on those
of `REPORT`.

`--kept` holds vectors and points, outside the repository.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
from common.report import table, write
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from subsets.pools import data
from threadpoolctl import threadpool_limits

from assay.index import SimilarityGraph
from assay.index.embedding.image import ImageEmbedder
from assay.index.embedding.text import HashedTextEmbedder
from assay.selection.selectors.coverage_centric import CoverageCentricSelector
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.selection.selectors.hierarchical import HierarchicalBalancedSelector
from assay.selection.selectors.stratified import StratifiedSelector

TEXTS = {
    "Stack Overflow titles": "stackoverflow_titles",
    "newsgroups": "20newsgroups",
    "TREC questions": "trec_questions",
    "AG news": "ag_news_test",
    "assistant queries": "clinc150",
    "paper titles": "mag",
    "medical abstracts": "ohsumed_single_23",
    "citations": "sci-cite",
}
CHOOSE = ("Stack Overflow titles", "newsgroups", "TREC questions", "AG news", "CIFAR-10 vectors")
REPORT = ("assistant queries", "paper titles", "medical abstracts", "citations", "CIFAR-10 images")
SIZES = ("100", "300", "1000", "10%")
SEEDS = range(5)
DRAWS = 4
POOL, TEST = 15_000, 4_000
Rows = np.ndarray


def load(name: str, kept: Path) -> tuple[np.ndarray, Rows]:
    """Return the vectors and classes of a set, at most POOL + TEST rows."""
    path = kept / f"{name}.npz"
    if path.exists():
        with np.load(path) as stored:
            return stored["X"], stored["y"]
    rng = np.random.default_rng(0)
    if name in TEXTS:
        frame = data("text_pool.parquet").filter(source=TEXTS[name]).drop_nulls("label")
        frame = frame.unique("text", keep="first", maintain_order=True)
        frame = frame[np.sort(rng.permutation(len(frame))[: POOL + TEST])]
        X = HashedTextEmbedder().fit(frame["text"]).encode(frame["text"])
    elif name == "CIFAR-10 images":
        frame = data("cifar10_jpeg.parquet")
        frame = frame[np.sort(rng.permutation(len(frame))[: POOL + TEST])]
        X = ImageEmbedder().fit(frame["jpeg"]).encode(frame["jpeg"])
    else:
        frame = data("cifar10_vectors.parquet")
        frame = frame[np.sort(rng.permutation(len(frame))[: POOL + TEST])]
        X = frame["vec"].to_numpy().astype(np.float32)
    y = frame["label"].cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    np.savez(path, X=X, y=y)
    return X, y


def variant(graph: SimilarityGraph, **settings: str) -> SimilarityGraph:
    """Return the graph of the same neighbor lists with other edges or weights."""
    return SimilarityGraph(
        neighbors=graph.neighbors,
        distances=np.float32(1.0) - graph.similarities,
        metric="cosine",
        **settings,
    )


def density_corrected(graph: SimilarityGraph) -> SimilarityGraph:
    """Return the graph with weights 2 s_ij - r_i - r_j, shifted so that the least is 0 (CSLS)."""
    from types import SimpleNamespace

    local = np.where(np.isfinite(graph.similarities), graph.similarities, 0).mean(axis=1)
    rows = np.repeat(np.arange(len(local)), np.diff(graph.indptr))
    corrected = 2 * graph.weights - local[rows] - local[graph.indices]
    corrected = (corrected - corrected.min()) / np.ptp(corrected)
    return SimpleNamespace(
        indptr=graph.indptr, indices=graph.indices, weights=corrected.astype(np.float32),
        neighbors=graph.neighbors, similarities=graph.similarities, ids=None, metric="cosine",
    )  # fmt: skip


Chooser = Callable[[int, int], Rows]


def candidates(X: np.ndarray, graph: SimilarityGraph) -> dict[str, Chooser]:
    """Return every candidate as a function of the budget and the seed."""

    def greedy(make: type, given: SimilarityGraph) -> Chooser:
        return lambda k, seed: make(budget=k).fit(graph=given).indices_

    return {
        "facility location": greedy(FacilityLocationSelector, graph),
        "facility location, mutual neighbors": greedy(
            FacilityLocationSelector, variant(graph, symmetrise="mutual")
        ),
        "facility location, self-tuning weights": greedy(
            FacilityLocationSelector, variant(graph, weights="self_tuning")
        ),
        "facility location, density-corrected": greedy(
            FacilityLocationSelector, density_corrected(graph)
        ),
        "ccs on density": lambda k, seed: (
            CoverageCentricSelector(budget=k, random_state=seed).fit(graph=graph).indices_
        ),
        "hierarchical": lambda k, seed: (
            HierarchicalBalancedSelector(budget=k, random_state=seed).fit(X).indices_
        ),
        "stratified": lambda k, seed: (
            StratifiedSelector(budget=k, random_state=seed).fit(X).indices_
        ),
    }


def judged(X: np.ndarray, y: Rows, T: np.ndarray, t: Rows) -> dict[str, float]:
    """Return the accuracy in per cent of both judges."""
    if len(np.unique(y)) < 2:
        return dict.fromkeys(("ridge", "logistic"), 100 * float((t == y[0]).mean()))
    ridge = RidgeClassifierCV(alphas=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0)).fit(X, y)
    logistic = LogisticRegression(C=10.0, max_iter=100, tol=1e-3).fit(X, y)
    return {
        name: 100 * float((judge.predict(T) == t).mean())
        for name, judge in (("ridge", ridge), ("logistic", logistic))
    }


def measure(name: str, seed: int, kept: Path) -> pl.DataFrame:
    """Return the points of one set and seed."""
    path = kept / f"{name}-{seed}.parquet"
    if path.exists():
        return pl.read_parquet(path)
    started = process_time()
    X, y = load(name, kept)
    order = np.random.default_rng([seed, 100]).permutation(len(X))
    tested = min(TEST, len(X) // 4)
    pool, test = order[tested:][:POOL], order[:tested]
    P, T = X[pool], X[test]
    graph = SimilarityGraph.from_vectors(P, k=15)
    choosers = candidates(P, graph)
    rng = np.random.default_rng([seed, 200])
    points = []
    for size in SIZES:
        k = len(P) // 10 if size == "10%" else int(size)
        subsets = [("random", rng.permutation(len(P))[:k]) for _ in range(DRAWS)]
        for candidate, choose in choosers.items():
            subsets.append((candidate, np.asarray(choose(k, seed))))
        for candidate, rows in subsets:
            score = judged(P[rows], y[pool][rows], T, y[test])
            classes = np.bincount(y[pool][rows], minlength=y.max() + 1) / len(rows)
            true = np.bincount(y[pool], minlength=y.max() + 1) / len(pool)
            points.append(
                {
                    "set": name, "seed": seed, "size": size, "candidate": candidate, **score,
                    "hubs": float(graph_hubs(graph)[rows].mean()),
                    "density": float(graph.similarities[rows].mean()),
                    "shift": float(np.abs(classes - true).sum() / 2),
                    "classes": int((classes > 0).sum()),
                    "rows": pl.Series(rows),
                }
            )  # fmt: skip
    result = pl.DataFrame(points)
    result.write_parquet(path)
    print(f"{name}, seed {seed}: {process_time() - started:.0f} s", file=sys.stderr, flush=True)
    return result


def graph_hubs(graph: SimilarityGraph) -> np.ndarray:
    """Return how many lists each row is in."""
    lists = graph.neighbors[graph.neighbors >= 0]
    return np.bincount(lists, minlength=len(graph.neighbors))


def gaps(points: pl.DataFrame) -> pl.DataFrame:
    """Return points over random with their standard error over the seeds, by set, size and judge."""
    cell = ["set", "seed", "size"]
    random = points.filter(candidate="random").group_by(cell).agg(
        pl.col("ridge").mean().alias("ridge 0"), pl.col("logistic").mean().alias("logistic 0")
    )  # fmt: skip
    return (
        points.filter(pl.col("candidate") != "random")
        .join(random, on=cell)
        .with_columns(ridge=pl.col("ridge") - pl.col("ridge 0"),
                      logistic=pl.col("logistic") - pl.col("logistic 0"))
        .unpivot(index=[*cell, "candidate"], on=["ridge", "logistic"], variable_name="judge")
        .group_by("set", "size", "candidate", "judge")
        .agg(gap=pl.col("value").mean(), error=pl.col("value").std() / pl.len().sqrt())
    )  # fmt: skip


def summary(cells: pl.DataFrame, sets: tuple[str, ...]) -> str:
    """Return one row per candidate over some of the sets."""
    rows = (
        cells.filter(pl.col("set").is_in(sets))
        .group_by("candidate")
        .agg(
            mean=pl.col("gap").mean(), least=pl.col("gap").min(), better=(pl.col("gap") > 0).sum(),
            below=(pl.col("gap") < -pl.col("error")).sum(),
            below2=(pl.col("gap") < -2 * pl.col("error")).sum(), cells=pl.len(),
        )
        .sort("least", descending=True)
    )  # fmt: skip
    return table(
        ["candidate", "mean", "least", "better", "below by 1 s.e.", "below by 2 s.e.", "cells"],
        [
            [r["candidate"], f"{r['mean']:+.2f}", f"{r['least']:+.2f}", r["better"], r["below"],
             r["below2"], r["cells"]]
            for r in rows.iter_rows(named=True)
        ],
    )  # fmt: skip


def by_set(cells: pl.DataFrame, candidate: str) -> str:
    """Return the points over random of one candidate: ridge / logistic, per set and size."""
    found = {
        (r["set"], r["size"], r["judge"]): r["gap"]
        for r in cells.filter(candidate=candidate).iter_rows(named=True)
    }
    return table(
        [candidate, *SIZES],
        [
            [name, *(
                f"{found[name, size, 'ridge']:+.1f} / {found[name, size, 'logistic']:+.1f}"
                for size in SIZES
            )]
            for name in (*CHOOSE, *REPORT)
        ],
    )  # fmt: skip


def causes(points: pl.DataFrame) -> str:
    """Return what is chosen of Stack Overflow titles: hubs, and how far class shares move."""
    rows = (
        points.filter(set="Stack Overflow titles")
        .group_by("candidate", "size")
        .agg(pl.col("hubs", "shift").mean())
    )
    found = {(r["candidate"], r["size"]): r for r in rows.iter_rows(named=True)}
    names = sorted({name for name, _ in found})
    return table(
        ["candidate", *SIZES],
        [
            [
                name,
                *(f"{found[name, s]['hubs']:.0f} / {found[name, s]['shift']:.3f}" for s in SIZES),
            ]
            for name in names
        ],
    )


def report(points: pl.DataFrame) -> str:
    """Return the report."""
    cells, seeds = gaps(points), points["seed"].n_unique()
    return f"""# The default without labels

`python benchmarks/default_selector.py --kept FOLDER`, {seeds} seeds; points of accuracy over random
subsets. A cell is a set, a size and a judge; the standard error is that over the seeds.

## Chosen on: {", ".join(CHOOSE)}

{summary(cells, CHOOSE)}

`stratified` was chosen for its least: where the other candidates lose, they lose many points.

## Reported on: {", ".join(REPORT)}

{summary(cells, REPORT)}

## By set: ridge / logistic

{by_set(cells, "stratified")}

{by_set(cells, "facility location")}

## Why facility location loses on Stack Overflow titles

In how many lists of 15 neighbors a chosen row stands, on average / total variation between the
classes of the chosen rows and of the pool. What is chosen are hubs (the average row stands in 15
lists). Class shares move about as much as those of random subsets, so unequal classes are not the
cause.

{causes(points)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", default=[*CHOOSE, *REPORT])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    options = parser.parse_args()
    with threadpool_limits(1):
        for seed in options.seeds:
            for name in options.sets:
                measure(name, seed, options.kept)
    parts = [
        pl.read_parquet(options.kept / f"{name}-{seed}.parquet")
        for seed in options.seeds
        for name in (*CHOOSE, *REPORT)
    ]
    write("default_selector.md", report(pl.concat(parts)))


if __name__ == "__main__":
    main()
