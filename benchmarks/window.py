"""Is the best window of difficulties a better choice than even cover of them?

    python benchmarks/window.py [--kept FOLDER]

A pool is pruned to 5 and 10 %, a model is trained on the rest and judged on test rows that nothing
else sees: see `quality.py`, whose judges, logs and label noise are used. Difficulty is AUM of a log
of the perceptron. "Window, always" takes the best window; "window" is the selector with its
defaults, which takes the draw of CCS where the best window is not a point better at explaining the
pool. That rule was set after newsgroups, AG news and titles of Stack Overflow had been looked at
with a prototype; the other pools had no part in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from time import process_time

import numpy as np
import polars as pl
from common.report import machine, table, write
from quality import NOISES, OWN, UNSEEN, kept
from subsets.models import Rows, log, mlp, relu_features, ridge
from subsets.pools import Task, cifar, texts
from threadpoolctl import threadpool_limits

from assay.selection.selectors.coverage_centric import CoverageCentricSelector
from assay.selection.selectors.window import WindowSelector

SEEDS = (0, 1)
KEEP = (0.05, 0.1)
# pools run with the first seed only
ONCE = ("CIFAR-10 vectors",)
RANDOM, AFTER, CCS, ALWAYS, WINDOW = (
    "random", "random after the same cutoff", "CCS", "window, always", "window",
)  # fmt: skip
POOLS: dict[str, tuple[bool, Callable[[], Task]]] = {
    "Newsgroups": (False, partial(texts, "20newsgroups", "Newsgroups")),
    "AG news": (False, partial(texts, "ag_news_test", "AG news")),
    "Stack Overflow titles": (
        False,
        partial(texts, "stackoverflow_titles", "Stack Overflow titles"),
    ),
    "Biochemistry sentences": (True, partial(texts, "chemprot", "Biochemistry sentences")),
    "Questions (TREC)": (True, partial(texts, "trec_questions", "Questions (TREC)")),
    "CIFAR-10 vectors": (
        True,
        partial(cifar, slice(20_000, 30_000), slice(5_000, None), name=UNSEEN),
    ),
}


@cache
def task_of(name: str) -> Task:
    """Return a pool, made once."""
    return POOLS[name][1]()


def measure(name: str, noise: float, seed: int) -> pl.DataFrame:
    """Return one row per share kept, method and judge: the test accuracy in %."""
    task, rows_of, found = task_of(name), {}, []
    n, y = len(task.y), task.noisy(noise, seed)
    difficulty = log(task.X, y, task.classes, seed, linear=False)["aum"]
    features, tested = relu_features(task.X, seed), relu_features(task.T, seed)

    def accuracy(rows: Rows, judge: str) -> float:
        if judge == "MLP":
            network = mlp(task.X[rows], y[rows], task.classes, seed)
            guess = network.probabilities(task.T).argmax(axis=1)
        else:
            model = ridge(features[rows], y[rows], task.classes)
            guess = (tested @ model.astype(np.float32)).argmax(axis=1)
        return 100 * float((guess == task.t).mean())

    for keep in KEEP:
        k = int(keep * n)
        shuffled = np.random.default_rng([seed, 1]).permutation(n)
        even = CoverageCentricSelector(budget=k, random_state=seed).fit(scores=difficulty)
        hardest = np.argsort(-difficulty, kind="stable")
        left = np.sort(hardest[even.report_["cut"] :])
        started = process_time()
        best = WindowSelector(budget=k, random_state=seed).fit(task.X, y, scores=difficulty)
        seconds = process_time() - started
        start = round(best.report_["start"] * n)
        rows_of = {
            RANDOM: shuffled[:k],
            AFTER: shuffled[np.isin(shuffled, left)][:k],
            CCS: even.indices_,
            ALWAYS: hardest[start : start + k],
            WINDOW: best.indices_,
        }
        for method, rows in rows_of.items():
            for judge in OWN:
                found.append(
                    {
                        "pool": name, "noise": noise, "seed": seed, "keep": keep, "rows": n,
                        "method": method, "judge": judge, "accuracy": accuracy(rows, judge),
                        "taken": best.report_["taken"], "start": best.report_["start"],
                        "seconds": seconds,
                    }
                )  # fmt: skip
    print(f"{name}, noise {noise:g}, seed {seed}", file=sys.stderr, flush=True)
    return pl.DataFrame(found)


def report(found: pl.DataFrame) -> str:
    """Return the report."""
    by = ["pool", "noise", "keep", "judge"]
    even = found.filter(method=CCS).select(*by, "seed", even="accuracy")
    cells = (
        found.join(even, on=[*by, "seed"])
        .with_columns(gap=pl.col("accuracy") - pl.col("even"))
        .group_by(*by, "method", maintain_order=True)
        .agg(
            pl.col("accuracy").mean(),
            pl.col("gap").mean(),
            error=pl.col("gap").std() / pl.len().sqrt(),
            window=(pl.col("taken") == "window").sum(),
            start=pl.col("start").mean(),
            runs=pl.len(),
        )
    )
    methods, rows = (RANDOM, AFTER, CCS, ALWAYS, WINDOW), []
    for key, part in cells.group_by(by, maintain_order=True):
        of = {row["method"]: row for row in part.to_dicts()}
        pool, noise, keep, judge = key
        rows.append(
            [
                f"{pool}{' *' if POOLS[str(pool)][0] else ''}, {judge}",
                f"{noise:.0%}", f"{keep:.0%}",
                *(f"{of[method]['accuracy']:.1f}" for method in methods),
                f"{of[WINDOW]['gap']:+.1f}"
                + ("" if of[WINDOW]["error"] is None else f" ± {of[WINDOW]['error']:.1f}"),
                f"{of[WINDOW]['window']} of {of[WINDOW]['runs']}, {of[WINDOW]['start']:.2f}",
            ]
        )  # fmt: skip
    head = [
        "pool, judge", "noise", "kept", *methods, "window less CCS", "taken, mean start"
    ]  # fmt: skip
    summary = []
    for held_out in (False, True):
        names = [name for name, (unseen, _) in POOLS.items() if unseen == held_out]
        for judge in OWN:
            for method in (ALWAYS, WINDOW, AFTER):
                part = cells.filter(pl.col("pool").is_in(names), judge=judge, method=method)
                summary.append(
                    [
                        f"{'had no part' if held_out else 'looked at before'}, {judge}, {method}",
                        f"{part['gap'].mean():+.2f}", f"{part['gap'].min():+.1f}",
                        f"{part['gap'].max():+.1f}",
                        f"{(part['gap'] > 0).sum()} of {len(part)}",
                    ]
                )  # fmt: skip
    slowest = found.sort("rows", "seconds")[-1]
    return "\n\n".join(
        [
            "# The best window of difficulties beside CCS",
            f"`python benchmarks/window.py` on {machine()}.",
            __doc__.split("\n\n", 2)[2].strip(),
            f"Seeds {SEEDS}, of CIFAR-10 the first only; accuracy in %; ± is the standard error of the difference. * had no part. "
            f"Choosing from {slowest['rows'].item():,} rows took {slowest['seconds'].item():.1f} CPU "
            "seconds.",
            "## Points over CCS, over pools, noise and share kept",
            table(["pools, judge, method", "mean", "least", "most", "above"], summary),
            "## Every cell",
            table(head, rows),
            "",
        ]
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept", type=Path)
    folder = parser.parse_args().kept
    with threadpool_limits(1):
        found = [
            kept(folder, f"{name}-{noise:g}-{seed}", partial(measure, name, noise, seed))
            for name in POOLS
            for noise in NOISES
            for seed in (SEEDS[:1] if name in ONCE else SEEDS)
        ]
    write("window.md", report(pl.concat(found)))


if __name__ == "__main__":
    main()
