"""What sources of labeled rows would add, as told beforehand and as it turns out.

    python benchmarks/source_value.py [--seeds 3]

A buyer has 1,000 rows of CIFAR-10, mostly of four classes, and is offered 40 sources of 400 rows: classes in
random shares, up to 60 % wrong labels, up to 80 % rows that the buyer has, up to 80 % repeated rows. What each
adds is told from 500 validation rows, and turns out as the gain in accuracy of a logistic regression on
5,000 others.
"""

from __future__ import annotations

import argparse

import numpy as np
import polars as pl
from common import fast_blas  # noqa: F401
from common.report import machine, table, verdict, write
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from subsets.pools import Task, cifar

from assay.selection import source_value

SOURCES, ROWS, HAD, ASKED, JUDGED = 40, 400, 1_000, 500, 5_000
MEASURES = ("gain", "knn_shapley", "coverage", "novelty", "vendi")
GOAL = 0.7


def accuracy(X: np.ndarray, y: np.ndarray, T: np.ndarray, t: np.ndarray) -> float:
    """Return how often a logistic regression is right."""
    return float(LogisticRegression(C=0.05, max_iter=200).fit(X, y).score(T, t))


def measure(task: Task, seed: int) -> list[float]:
    """Return the rank correlation of each measure with the gains that turn out."""
    rng = np.random.default_rng(seed)
    classes = task.classes

    def draw(shares: np.ndarray, n: int) -> np.ndarray:
        weights = shares[task.y] / np.bincount(task.y, minlength=classes)[task.y]
        return rng.choice(len(task.y), n, replace=False, p=weights / weights.sum())

    mine = draw(np.where(np.arange(classes) < 4, 0.2, 0.2 / (classes - 4)), HAD)
    X, y, names = [task.X[mine]], [task.y[mine]], ["mine"] * HAD
    for source in range(SOURCES):
        rows = draw(rng.dirichlet(np.full(classes, 0.5)) + 1e-3, ROWS)
        wrong, had, repeated = rng.uniform(0, [0.6, 0.8, 0.8]) * (rng.random(3) < 0.5)
        rows[: int(had * ROWS)] = rng.choice(mine, int(had * ROWS))
        own = rows[int(had * ROWS) :]
        own[: int(repeated * len(own))] = rng.choice(own, int(repeated * len(own)))
        labels = task.y[rows].copy()
        bad = rng.random(ROWS) < wrong
        labels[bad] = rng.integers(0, classes, bad.sum())
        X.append(task.X[rows])
        y.append(labels)
        names += [f"s{source:02}"] * ROWS
    order = rng.permutation(len(task.t))
    asked, judged = order[:ASKED], order[ASKED : ASKED + JUDGED]
    T, t = task.T[judged], task.t[judged]
    start = accuracy(X[0], y[0], T, t)
    truth = pl.DataFrame(
        {
            "source": [f"s{source:02}" for source in range(SOURCES)],
            "truth": [
                accuracy(np.vstack([X[0], more]), np.concatenate([y[0], labels]), T, t) - start
                for more, labels in zip(X[1:], y[1:], strict=True)
            ],
        }
    )
    told = source_value(
        np.vstack(X),
        names,
        wanted=task.T[asked],
        y=np.concatenate(y),
        wanted_y=task.t[asked],
        had=["mine"],
    )
    both = told.frame.join(truth, on="source")
    return [float(spearmanr(both[name], both["truth"]).statistic) for name in MEASURES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    task = cifar(slice(0, 20_000))
    found = np.array([measure(task, seed) for seed in range(options.seeds)])
    means = found.mean(axis=0)
    lines = [
        [f"`{name}`", f"{mean:.2f}", f"{low:.2f} to {high:.2f}"]
        for name, mean, low, high in zip(
            MEASURES, means, found.min(axis=0), found.max(axis=0), strict=True
        )
    ]
    write(
        "source_value.md",
        f"""# What a source adds

`python benchmarks/source_value.py --seeds {options.seeds}`

A buyer has {HAD:,} rows of CIFAR-10, mostly of four classes, and is offered {SOURCES} sources of {ROWS} rows: classes in
random shares, and in half of the sources each up to 60 % wrong labels, up to 80 % rows that the buyer has,
up to 80 % repeated rows. `assay value` measures them on {ASKED} validation rows; what they add turns out as
the gain in accuracy of a logistic regression on {JUDGED:,} others. Rank correlation, over {options.seeds} draws:

{table(["measure", "mean", "range"], lines)}

| `gain` with what turns out | goal | measured | |
| --- | ---: | ---: | --- |
| rank correlation | {GOAL} | {means[0]:.2f} | {verdict(bool(means[0] >= GOAL))} |

{machine()}
""",
    )


if __name__ == "__main__":
    main()
