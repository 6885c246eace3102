"""How well a learning curve of up to 2,000 rows tells the accuracy at twice and four times as many.

    python benchmarks/learning_curve.py [--seeds 3]

The truth is the same judge on the same held-out rows, trained on 4,000 and 8,000 random ones.
"""

from __future__ import annotations

import argparse

import numpy as np
from common import fast_blas  # noqa: F401
from common.report import machine, table, verdict, write
from subsets.pools import Task, cifar, texts

from assay.selection.evaluation.budget_curve import learning_curve

BUDGETS = (4_000, 8_000)
# points that the curve may be off at four times its largest subset
GOALS = {"newsgroups": 0.5, "Stack Overflow titles": 0.5, "CIFAR-10 vectors": 0.2}


def measure(task: Task, seed: int) -> list[float]:
    """Return what the curve tells and the truth for each budget, and the curve's own budget."""
    X, y = np.vstack([task.X, task.T]), np.concatenate([task.y, task.t])
    curve = learning_curve(X, y, random_state=seed)
    found = []
    for budget in BUDGETS:
        truth = learning_curve(X, y, largest=budget, repeats=3, random_state=seed)
        last = truth.frame.filter(rows=budget)["accuracy"].item()
        found += [100 * curve.accuracy(budget), 100 * last]
    return [*found, curve.budget(0.95), curve.reach]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    tasks = (
        texts("20newsgroups", "newsgroups"),
        texts("stackoverflow_titles", "Stack Overflow titles"),
        cifar(slice(0, 20_000)),
    )
    lines, goals = [], []
    for task in tasks:
        runs = np.array([measure(task, seed) for seed in range(options.seeds)])
        means = runs.mean(axis=0)
        off = float(np.abs(runs[:, 2] - runs[:, 3]).mean())
        lines.append(
            [task.name, *(f"{m:.1f}" for m in means[:4]), f"{off:.2f}", f"{means[4]:,.0f}"]
        )
        goal = GOALS[task.name]
        goals.append([f"{task.name}, at 8,000 rows", goal, f"{off:.2f}", verdict(off <= goal)])
    head = ["pool", "4,000: told", "truth", "8,000: told", "truth", "off by (mean)", "95%-of-best"]
    write(
        "learning_curve.md",
        f"""# Learning curves

`python benchmarks/learning_curve.py --seeds {options.seeds}`

Accuracy in percent of the ridge judge, told by the law a + b n^-c through subsets of 125 to 2,000 random
rows, beside the same judge trained on as many rows (3 orders), on the same held-out rows. Means over
{options.seeds} seeds. The last column is the budget that `95%-of-best` means (best: at 8,000 rows).
That residuals of the law count in proportion to the rows was chosen on these three pools.

{table(head, lines)}

{table(["goal", "points", "measured", ""], goals)}

{machine()}
""",
    )


if __name__ == "__main__":
    main()
