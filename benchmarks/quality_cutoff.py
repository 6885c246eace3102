"""Which cutoff and allocation should coverage-centric selection have by default?

    python benchmarks/quality_cutoff.py [--kept FOLDER]

The default was chosen here, on pools that `quality.py` reports on separately or not at all: the
first 20,000 CIFAR-10 images (judged on the first 5,000 to test) and titles of Stack Overflow, clean
and with 20 % of the labels changed, seeds 100 and 101. Models, logs and judges are those of
`quality.py`; the perceptron judges the first seed, with difficulties of its own log. Difficulty is
AUM from either log, 1 - label agreement, or negated density on the graph of 10 neighbors.

A rule says what share of the pool is cut off. "Published": 0, 10 or 30 % where 50, above 10, or
10 % and less are kept. "c of the pruned": c times the share of the pool that is pruned. The budget
is shared out evenly over strata of difficulty, or in proportion to their sizes (a random subset of
what the cutoff leaves), or the same share is cut off in every class before a random subset.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
from common.report import machine, table, write
from quality import KEEP, LINEAR, NOISES, OWN, PERCEPTRON, kept
from subsets.models import Floats, Rows, log, mlp, relu_features, ridge
from subsets.pools import Task, cifar, texts
from threadpoolctl import threadpool_limits

from assay.selection.scorers.graph import KNNDensity
from assay.selection.scorers.label_agreement import LabelAgreement
from assay.selection.selectors.coverage_centric import CoverageCentricSelector

SEEDS = (100, 101)
RANDOM, EVEN, PROPORTIONAL, CLASSES = "random", "even", "proportional", "in every class"
AGREEMENT, DENSITY = "label agreement", "kNN density"
CHOSEN = "a third of the pruned, at most 0.3"
MLP_KEEP = (0.5, 0.2, 0.05)
RULES: dict[str, Callable[[float], float]] = {
    "nothing": lambda share: 0.0,
    "published": lambda share: 0.0 if share >= 0.5 else 0.1 if share > 0.1 else 0.3,
    CHOSEN: lambda share: min(0.3, (1 - share) / 3),
    "0.3 of the pool": lambda share: min(0.3, 1 - share),
    **{
        f"{part:g} of the pruned": partial(lambda part, share: part * (1 - share), part)
        for part in (0.2, 0.4, 0.5)
    },
}


def choose(allocation: str, cutoff: float, difficulty: Floats, y: Rows, k: int, seed: int) -> Rows:
    """Return k rows after a cutoff."""
    if allocation == EVEN:
        selector = CoverageCentricSelector(budget=k, cutoff=cutoff, random_state=seed)
        return np.asarray(selector.fit(scores=difficulty).indices_)
    n = len(y)
    order = np.argsort(difficulty, kind="stable")
    if allocation == CLASSES:
        by_class = order[np.argsort(y[order], kind="stable")]
        sizes = np.bincount(y)
        place = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        left = by_class[place < np.repeat(sizes - (cutoff * sizes).astype(int), sizes)]
    else:
        left = order[: n - int(cutoff * n)]
    return np.random.default_rng(seed).permutation(left)[:k]


def measure(task: Task, noise: float, seed: int) -> pl.DataFrame:
    """Return points over random per rule, allocation, share kept, log and judge."""
    started, found = process_time(), []
    n, y = len(task.y), task.noisy(noise, seed)
    features, tested = relu_features(task.X, seed), relu_features(task.T, seed)
    difficulties = {
        LINEAR: log(features, y, task.classes, seed, linear=True)["aum"],
        PERCEPTRON: log(task.X, y, task.classes, seed, linear=False)["aum"],
        AGREEMENT: -LabelAgreement().fit(graph=task.graph, y=y).scores_,
        DENSITY: -KNNDensity().fit(graph=task.graph).scores_,
    }

    def accuracy(rows: Rows, judge: str) -> float:
        if judge == "MLP":
            network = mlp(task.X[rows], y[rows], task.classes, seed)
            guess = network.probabilities(task.T).argmax(axis=1)
        else:
            model = ridge(features[rows], y[rows], task.classes)
            guess = (tested @ model.astype(np.float32)).argmax(axis=1)
        return 100 * float((guess == task.t).mean())

    judges = tuple(OWN) if seed == SEEDS[0] else ("ridge",)
    for keep, judge in product(KEEP, judges):
        if judge == "MLP" and keep not in MLP_KEEP:
            continue
        k = int(keep * n)
        drawn = [np.random.default_rng([seed, draw]).permutation(n)[:k] for draw in range(2)]
        random = float(np.mean([accuracy(rows, judge) for rows in drawn]))
        for name, rule, allocation in product(difficulties, RULES, (EVEN, PROPORTIONAL, CLASSES)):
            if judge == "MLP" and (OWN[judge] != name or allocation == CLASSES):
                continue
            if name in (AGREEMENT, DENSITY) and allocation != EVEN:
                continue
            rows = choose(allocation, RULES[rule](keep), difficulties[name], y, k, seed)
            told = {"task": task.name, "noise": noise, "seed": seed, "keep": keep, "judge": judge}
            told |= {"log": name, "rule": rule, "allocation": allocation}
            found.append({**told, "gap": accuracy(rows, judge) - random})
    took = process_time() - started
    print(f"{task.name}, noise {noise:g}, seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)
    return pl.DataFrame(found)


def rule_table(results: pl.DataFrame) -> str:
    """Return points over random per rule and allocation: per share kept, their mean and least."""
    rates = results["keep"].unique().sort(descending=True).to_list()
    cell = ["task", "noise", "judge", "log", "keep"]
    cells = results.group_by("allocation", "rule", *cell, maintain_order=True).agg(
        pl.col("gap").mean()
    )
    rows = []
    for (allocation, rule), part in cells.group_by("allocation", "rule", maintain_order=True):
        by_rate = dict(part.group_by("keep").agg(pl.col("gap").mean()).iter_rows())
        rows.append(
            [
                allocation,
                rule,
                *(f"{by_rate[keep]:+.2f}" for keep in rates),
                f"{part['gap'].mean():+.2f}",
                f"{part['gap'].min():+.2f}",
            ]
        )
    rates_told = [f"{100 - 100 * keep:.0f} % pruned" for keep in rates]
    return table(["allocation", "cut off", *rates_told, "mean", "least"], rows)


def summary(results: pl.DataFrame) -> str:
    """Return the mean and the least points over random of each rule, with difficulties of a log."""
    cell = ["rule", "allocation", "task", "noise", "judge", "log", "keep"]
    cells = (
        results.filter(pl.col("log").is_in([LINEAR, PERCEPTRON]))
        .group_by(cell, maintain_order=True)
        .agg(pl.col("gap").mean())
    )
    found = cells.group_by("allocation", "rule", maintain_order=True).agg(
        mean=pl.col("gap").mean(), least=pl.col("gap").min()
    )
    rows = [
        [row["allocation"], row["rule"], f"{row['mean']:+.2f}", f"{row['least']:+.2f}"]
        for row in found.filter(pl.col("allocation") != CLASSES)
        .sort("least", descending=True)
        .to_dicts()
    ]
    return table(["allocation", "cut off", "mean", "least"], rows)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept", type=Path)
    folder = parser.parse_args().kept
    with threadpool_limits(1):
        pools = {
            "tuning-cifar": cifar(slice(0, 20_000), slice(0, 5_000)),
            "tuning-titles": texts("stackoverflow_titles", "Stack Overflow titles"),
        }
        results = pl.concat(
            [
                kept(folder, f"{name}-{noise:g}-{seed}", partial(measure, task, noise, seed))
                for seed, (name, task), noise in product(SEEDS, pools.items(), NOISES)
            ]
        )
    parts = [
        "# Coverage-centric selection: the choice of the default cutoff\n",
        f"`python benchmarks/quality_cutoff.py` on {machine()}\n",
        __doc__.split("\n\n", 2)[2].strip() + "\n",
        f"Chosen where difficulties are given as scores: {CHOSEN}, shared out evenly. Of the rules "
        "with even shares it costs least in its worst case: more gains more on images and with "
        "noise and costs accuracy on clean titles, less leaves label errors in. "
        "For label agreement the published cutoffs stay, as a deeper cut gains with noise what it "
        "costs without. For density nothing is cut: every cutoff costs accuracy. How the choice "
        "does elsewhere is in [quality.md](quality.md).\n\nThe tables hold points over a random "
        "subset, means over seeds and logs; `least` is the worst cell before that mean over logs and "
        "shares.\n",
        f"## All pools, judges and noises, AUM\n\n{summary(results)}\n",
    ]
    for title, judge in product(results["task"].unique(maintain_order=True), OWN):
        for names in ((LINEAR, PERCEPTRON), (AGREEMENT,), (DENSITY,)):
            for noise in NOISES:
                part = results.filter(
                    pl.col("log").is_in(names), task=title, noise=noise, judge=judge
                )
                if not part.is_empty():
                    told = "AUM" if LINEAR in names else names[0]
                    head = f"## {title}, {judge} judge, {told}, {100 * noise:.0f} % noise"
                    parts.append(f"{head}\n\n{rule_table(part)}\n")
    write("quality_cutoff.md", "\n".join(parts))


if __name__ == "__main__":
    main()
