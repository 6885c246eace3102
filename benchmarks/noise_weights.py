"""What weights against label noise are worth: `weigh = "noise"` beside other ways to use noisy labels.

    python benchmarks/noise_weights.py [--rows 15000] [--seeds 3]

Labels that people gave (CIFAR-10N). A ridge classifier (320 random ReLU features) is trained on all rows
with their noisy labels, on all rows with the weights of the plan, on rows drawn by these weights, on the
best 70 % by self-confidence, and on the clean labels; the clean test split judges.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from common import fast_blas  # noqa: F401
from common.report import machine, table, verdict, write
from subsets.models import relu_features, ridge
from subsets.pools import Task, cifar, data

from assay.index import SimilarityGraph
from assay.selection import SelectionPlan, SelfConfidence
from assay.selection.contract.budgets import ShortfallWarning

NAMES = ("all rows", "weights", "drawn by weights", "best 70 %", "clean labels")


def accuracies(task: Task, noisy: np.ndarray, clean: np.ndarray, seed: int) -> list[float]:
    """Return the test accuracy of each way, in the order of `NAMES`, last the share dropped."""
    n = len(noisy)
    graph = SimilarityGraph.from_vectors(task.X, k=15)
    plan = SelectionPlan(budget=n, selector="random", weigh="noise", random_state=seed)
    with warnings.catch_warnings():
        # rows left out are missing from a budget of all rows
        warnings.simplefilter("ignore", ShortfallWarning)
        plan.fit(task.X, noisy, graph=graph)
    rows, weights = plan.indices_, plan.weights_
    confidence = SelfConfidence(random_state=seed).fit(task.X, noisy, graph=graph).scores_
    best = np.argsort(-confidence, kind="stable")[: int(0.7 * n)]
    drawn = np.random.default_rng(seed).choice(rows, n, p=weights / weights.sum())
    features = relu_features(np.vstack([task.X, task.T]), seed)
    train, test = features[:n], features[n:]

    def judged(which: np.ndarray, labels: np.ndarray, w: np.ndarray | None = None) -> float:
        A, y = train[which], labels[which]
        if w is None:
            coefficients = ridge(A, y, 10)
        else:
            root = np.sqrt(w * len(w) / w.sum()).astype(np.float32)[:, None]
            gram = ((A * root).T @ (A * root)).astype(np.float64)
            gram[np.diag_indices(len(gram))] += 10.0
            right = ((A * root).T @ (np.eye(10, dtype=np.float32)[y] * root)).astype(np.float64)
            coefficients = np.linalg.solve(gram, right)
        return 100 * float(((test @ coefficients).argmax(axis=1) == task.t).mean())

    all_rows = np.arange(n)
    return [
        judged(all_rows, noisy), judged(rows, noisy, weights), judged(drawn, noisy),
        judged(best, noisy), judged(all_rows, clean), plan.report_["noise"]["rate"],
        1 - len(rows) / n,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    people = data("cifar10n_labels.parquet").sort("idx")[: options.rows]
    task = cifar(slice(0, options.rows))
    clean = people["clean"].to_numpy().astype(np.int64)
    lines, gains = [], {}
    for kind in ("worse", "random1", "aggre"):
        noisy = people[kind].to_numpy().astype(np.int64)
        runs = [accuracies(task, noisy, clean, seed) for seed in range(options.seeds)]
        means = np.mean(runs, axis=0)
        gains[kind] = means[1] - means[0]
        wrong = float((noisy != clean).mean())
        lines.append(
            [kind, f"{wrong:.3f}", f"{means[5]:.3f}", f"{means[6]:.3f}"]
            + [f"{m:.1f}" for m in means[:5]]
        )
    head = ["labels", "wrong", "estimated", "dropped", *NAMES]
    goal = ["weights over all rows, labels `worse`", "1.5", f"{gains['worse']:.1f}", verdict(gains["worse"] >= 1.5)]  # fmt: skip
    write(
        "noise_weights.md",
        f"""# Weights against label noise

`python benchmarks/noise_weights.py --rows {options.rows} --seeds {options.seeds}`

Labels that people gave to CIFAR-10 images (CIFAR-10N), {options.rows:,} rows; test accuracy in percent of a
ridge classifier on the given vectors and 320 random ReLU features, means over {options.seeds} seeds. `weights`
are those of a plan with `weigh = "noise"` over the whole pool.

{table(head, lines)}

| goal | points | measured | |
| --- | ---: | ---: | ---: |
| {" | ".join(goal)} |

{machine()}
""",
    )


if __name__ == "__main__":
    main()
