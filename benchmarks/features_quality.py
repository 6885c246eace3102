"""How accurate are classifiers on the columns that each ranker keeps? Prints Markdown tables.

    python benchmarks/features_quality.py [--sets colon,ALLAML] [--methods ...] [--kept FOLDER]

Columns are chosen on the training part of each fold only (5 stratified folds, two shuffles), then a
linear SVM (C = 1) and a 5-nearest-neighbor classifier are trained on the standardized columns
kept. Reported is the mean accuracy of the two on the held-out parts, in percent. The standard error
of a mean over sets is that of folds within sets (the two shuffles share their data, so it is a
little too small). The data folder is `ASSAY_TEST_DATA`, else `shared/data` beside the repository;
it holds `featsel/<name>.npz` with X (or the parts of a CSR matrix) and y. With `--kept`, accuracies
are stored there by set and method, and those that are there are not measured again.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import polars as pl
from common.data import data_folder
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from assay.selection import registry
from assay.selection.rankers.ecfs import ECFS
from assay.selection.rankers.inf_fs import InfFS
from assay.selection.tables.matrix import to_matrix
from assay.selection.tables.relevance import normalized_mutual_information

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Results = dict[str, list[Floats | None]]
Scores = Callable[[Floats, Codes], Floats]

SETS = "colon,leukemia,ALLAML,Prostate-GE,lymphoma,madelon,Yale,warpPIE10P,BASEHOCK"
COUNTS = (10, 50, 100, 200)
ALPHAS = (0.5, 0.8, 0.9, 0.95, 1.0)
LEFT_OUT = {
    "quick_selection": {"BASEHOCK"},
    "ecfs, alpha=cv": {"BASEHOCK"},
    "mutual_info_classif": set(SETS.split(",")),
}
"""Sets on which a method would take too long; what is stored of them is shown all the same."""
BASELINES = ("fisher", "f_classif", "mutual information, histogram")
AUTHORS = "ecfs, the authors' default"


def _ranked_by(make: Callable[[], Any]) -> Scores:
    def scores(X: Floats, y: Codes) -> Floats:
        return -make().fit(X, y).ranking_.astype(np.float64)

    return scores


def methods() -> dict[str, Scores]:
    """Return every method that is compared: a name, and what scores the columns of X."""
    found: dict[str, Scores] = {}
    for entry in registry.entries("ranker"):
        made = registry.get(entry.name, "ranker")
        found[entry.name] = _ranked_by(lambda made=made: made(n_features_to_select=max(COUNTS)))
    found["ecfs, alpha=cv"] = _ranked_by(lambda: ECFS(alpha="cv"))
    for alpha in ALPHAS:
        found[f"ecfs, alpha={alpha}"] = _ranked_by(lambda alpha=alpha: ECFS(alpha=alpha))
    found[AUTHORS] = _ranked_by(lambda: ECFS(alpha=0.5, relevance="fslib", normalize=False))
    found["inf_fs, supervised"] = _ranked_by(lambda: InfFS(supervised=True))
    found["mutual information, histogram"] = normalized_mutual_information
    found["variance"] = lambda X, y: X.var(axis=0)
    found["random"] = lambda X, y: np.random.default_rng(0).random(X.shape[1])
    return found


def load(name: str) -> tuple[Floats, Codes]:
    """Return X and y of a set."""
    with np.load(data_folder() / "featsel" / f"{name}.npz") as stored:
        if "indptr" in stored:
            parts = (stored["data"], stored["indices"], stored["indptr"])
            X = csr_array(parts, shape=stored["shape"]).toarray().astype(np.float64)
        else:
            X = stored["X"].astype(np.float64)
        return X, stored["y"].astype(np.int64)


class Fold:
    """One split of a set, which remembers how accurate the classifiers are on which columns."""

    def __init__(self, X: Floats, y: Codes, train: Codes, test: Codes) -> None:
        self.X, self.y = X[train], y[train]
        center, scale = self.X.mean(axis=0), self.X.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        self.Z, self.Z_test = (self.X - center) / scale, (X[test] - center) / scale
        self.y_test = y[test]
        self._known: dict[bytes, float] = {}

    def accuracies(self, scores: Floats) -> list[float]:
        """Return the mean accuracy of the two classifiers on the best columns, for each count."""
        order = np.argsort(-scores, kind="stable")
        return [self._accuracy(np.sort(order[:count])) for count in COUNTS]

    def _accuracy(self, columns: Codes) -> float:
        key = columns.tobytes()
        if key not in self._known:
            found = [
                model.fit(self.Z[:, columns], self.y).score(self.Z_test[:, columns], self.y_test)
                for model in (LinearSVC(dual="auto", random_state=0), KNeighborsClassifier(5))
            ]
            self._known[key] = 100 * float(np.mean(found))
        return self._known[key]


def measure(name: str, wanted: list[str], kept: Path | None) -> dict[str, Floats]:
    """Return accuracies[fold, count] per method on one set."""
    every = methods()
    result: dict[str, Floats] = {}
    missing = []
    for method in wanted:
        path = None if kept is None else kept / f"{name}.{method}.npy"
        if path is not None and path.exists():
            result[method] = np.load(path)
        else:
            missing.append(method)
    if missing:
        X, y = load(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            folds = [
                Fold(X, y, *fold)
                for seed in (0, 1)
                for fold in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)
            ]
            for method in missing:
                began = perf_counter()
                found = [fold.accuracies(every[method](fold.X, fold.y)) for fold in folds]
                result[method] = np.array(found)
                print(f"{name}: {method} ({perf_counter() - began:.0f} s)", file=sys.stderr)
                if kept is not None:
                    np.save(kept / f"{name}.{method}.npy", result[method])
    return result


def mean_and_error(per_set: list[Floats]) -> tuple[Floats, Floats]:
    """Return mean over sets and its standard error, from values[fold, ...] of each set."""
    means = np.array([values.mean(axis=0) for values in per_set])
    errors = np.array([values.std(axis=0, ddof=1) / np.sqrt(len(values)) for values in per_set])
    return means.mean(axis=0), np.sqrt(np.square(errors).sum(axis=0)) / len(per_set)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table, all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare(names: list[str], wanted: list[str], kept: Path | None = None) -> Results:
    """Return, for every method, accuracies[fold, count] of every set, None where it is left out."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
    results = [
        measure(name, [m for m in wanted if _measured(name, m, kept)], kept) for name in names
    ]
    return {method: [one.get(method) for one in results] for method in wanted}


def _measured(name: str, method: str, kept: Path | None) -> bool:
    stored = kept is not None and (kept / f"{name}.{method}.npy").exists()
    return stored or name not in LEFT_OUT.get(method, ())


def tables(names: list[str], results: Results) -> str:
    """Return the tables of means over the sets, and of each set, as Markdown."""
    at_50 = COUNTS.index(50)
    whole = {m: [f for f in found if f is not None] for m, found in results.items()}
    means = {m: mean_and_error(found) for m, found in whole.items() if len(found) == len(names)}
    best = max(set(BASELINES) & set(means) or means, key=lambda m: means[m][0][at_50])
    rows, by_set = [], []
    for method in sorted(means, key=lambda m: -means[m][0][at_50]):
        mean, error = means[method]
        pairs = zip(whole[method], whole[best], strict=True)
        gap, gap_error = mean_and_error([mine - its for mine, its in pairs])
        cells = [f"{a:.1f} ± {e:.1f}" for a, e in zip(mean, error, strict=True)]
        rows.append([method, *cells, f"{gap[at_50]:+.1f} ± {gap_error[at_50]:.1f}"])
    partly = [method for method in results if whole[method] and method not in means]
    for method in [*(row[0] for row in rows), *partly]:
        cells = ["" if f is None else f"{f[:, at_50].mean():.1f}" for f in results[method]]
        by_set.append([method, *cells])
    head = ["ranking", *(f"k = {k}" for k in COUNTS), f"k = 50, less {best}"]
    return (
        f"Mean over {len(names)} sets: {', '.join(names)}\n\n{table(head, rows)}\n\n"
        f"Per set, k = 50\n\n{table(['ranking', *names], by_set)}\n\n"
        "Not in the first table, since some sets would take it too long: "
        f"{', '.join(m for m in results if m not in means) or 'none'}."
    )


def known_answers() -> str:
    """Return how the methods do where the answer is known: madelon, adult, mushroom."""
    X, y = load("madelon")
    truth = pl.read_parquet(data_folder() / "featsel" / "madelon_truth.parquet")[
        "informative"
    ].to_numpy()
    rows = []
    for method, scores in methods().items():
        if method in ("variance", "random") or method.startswith("ecfs, alpha=0"):
            continue
        order = np.argsort(-scores(X, y), kind="stable")
        rows.append([method, *(str(int(truth[order[:k]].sum())) for k in (10, 20, 50))])
    text = "Of madelon's 20 informative columns of 500, how many are among the best k:\n\n"
    text += table(["ranking", "k = 10", "k = 20", "k = 50"], rows)
    checks = []
    for name, label in (("adult", "income"), ("mushroom", "cls")):
        frame = pl.read_parquet(data_folder() / f"tabular_{name}.parquet")
        frame = frame.drop([c for c in ("split",) if c in frame.columns])
        matrix = to_matrix(frame, label=label)
        for method in ("ecfs", "fisher", "outrank", "distance_correlation"):
            made = registry.get(method, "ranker")()
            if "discrete_features" in made.get_params():
                made.set_params(discrete_features=matrix.discrete)
            ranking = made.fit(matrix.X, matrix.y).ranking_
            order = np.argsort(ranking)
            named = [matrix.names[j] for j in order]
            checks.append([name, method, ", ".join(named[:4]), ", ".join(named[-2:])])
    text += "\n\nTables with categories (first and last columns):\n\n"
    return text + table(["table", "ranking", "first", "last"], checks)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--methods", help="separated by semicolons; default: all")
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    names = options.sets.split(",")
    missing = [name for name in names if not (data_folder() / "featsel" / f"{name}.npz").exists()]
    if missing:
        sys.exit(f"Not found in {data_folder()}: {', '.join(missing)}. Set ASSAY_TEST_DATA.")
    wanted = options.methods.split(";") if options.methods else list(methods())
    print(tables(names, compare(names, wanted, options.kept)))
    if not options.methods:
        print(f"\n{known_answers()}")


if __name__ == "__main__":
    main()
