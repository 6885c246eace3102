"""How many rows a model gets wrong that it got right before, by how much of its selection is replaced.

    python benchmarks/negative_flips.py [--seeds 5]

A random selection of 2,000 rows loses a share of its rows to other random ones: what the ledger's
`negative_flips` says, beside the accuracies of the judge before and after.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import fast_blas  # noqa: F401
from common.report import machine, table, write
from subsets.pools import Task, cifar, texts

from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.evaluation.negative_flips import NegativeFlips

SHARES = (0.1, 0.3, 1.0)
ROWS = 2_000
JUDGED = 5_000


def measure(task: Task, seed: int) -> list[float]:
    """Return the flips for each share in percent, then the accuracies before and with all replaced."""
    rng = np.random.default_rng(seed)
    order, noise = rng.permutation(len(task.y)), rng.random(len(task.y))
    before, others = order[:ROWS], order[ROWS : 2 * ROWS]
    flips = NegativeFlips(lambda rows: task.X[rows], task.y, before, noise, JUDGED, seed)
    found = []
    for share in SHARES:
        new = int(share * ROWS)
        found.append(100 * flips(np.concatenate([before[new:], others[:new]]))["negative_flips"])
    asked = np.argsort(noise)[:JUDGED]
    judge = RidgeJudge(lambda rows: task.X[rows], task.y, asked, seed)
    for rows in (before, others):
        found.append(100 * float(judge.right(judge.fit(rows), asked).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    tasks = (
        cifar(slice(0, 20_000)),
        texts("20newsgroups", "newsgroups"),
        texts("stackoverflow_titles", "Stack Overflow titles"),
    )
    lines = []
    for task in tasks:
        means = np.mean([measure(task, seed) for seed in range(options.seeds)], axis=0)
        lines.append([task.name, *(f"{m:.1f}" for m in means)])
    head = ["pool", *(f"{share:.0%} replaced" for share in SHARES), "right before", "right after"]
    write(
        "negative_flips.md",
        f"""# Negative flips

`python benchmarks/negative_flips.py --seeds {options.seeds}`

Percent of {JUDGED:,} rows of the pool that a judge got right with one random selection of {ROWS:,} rows, and
gets wrong with one that shares all but the replaced rows with it; means over {options.seeds} seeds. `right
after`: with all rows replaced. A churn of a tenth spares most of the flips, at equal accuracy.

{table(head, lines)}

{machine()}
""",
    )


if __name__ == "__main__":
    main()
