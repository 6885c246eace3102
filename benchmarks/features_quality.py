"""How accurate are classifiers on the columns that ECFS keeps? Prints Markdown tables.

    python benchmarks/features_quality.py [--sets colon,ALLAML] [--jobs 2]

Columns are chosen on the training part of each fold only (5 stratified folds, two shuffles), then a
linear SVM (C = 1) and a 5-nearest-neighbour classifier are trained on the standardised columns
kept. Reported is the mean accuracy of the two on the held-out parts, in percent. The standard error
of a mean over sets is that of folds within sets (the two shuffles share their data, so it is a
little too small). The data folder is `ASSAY_TEST_DATA`, else `shared/data` beside the repository;
it holds `featsel/<name>.npz` with X (or the parts of a CSR matrix) and y.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from assay.selection.eigenvector_centrality import ECFS, leading_eigenvector
from assay.selection.relevance import (
    column_relevance,
    fisher_score,
    normalized_mutual_information,
)

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

SETS = "colon,leukemia,ALLAML,Prostate-GE,lymphoma,madelon,Yale,warpPIE10P,BASEHOCK"
COUNTS = (10, 50, 100, 200)
ALPHAS = (0.5, 0.8, 0.9, 0.95, 0.98, 1.0)
BASELINES = ("Fisher score", "f_classif", "mutual information")
AUTHORS = "ECFS, authors' default"


def data_folder() -> Path:
    """Return the folder of data sets."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("ASSAY_TEST_DATA", beside)) / "featsel"


def rankings(X: Floats, y: Codes) -> dict[str, Floats]:
    """Return the scores of every method on one training part."""
    figures = column_relevance(X, y)
    relevance = (1 - 1 / (1 + figures.fisher) + figures.mutual_information) / 2
    spreads = {
        "raw": figures.deviation,
        "scaled": figures.deviation / np.where(figures.span > 0, figures.span, 1.0),
    }
    scores = {
        f"ECFS, alpha {alpha}, {scale} spread": leading_eigenvector(relevance, spread, alpha)
        for alpha in ALPHAS
        for scale, spread in spreads.items()
        if alpha < 1
    }
    scores["ECFS, alpha 1 (no spread)"] = leading_eigenvector(relevance, spreads["raw"], 1.0)
    authors = ECFS(alpha=0.5, relevance="fslib", normalize=False)
    scores[AUTHORS] = authors.fit(X, y).scores_
    scores["ECFS, default"] = ECFS().fit(X, y).scores_
    scores["Fisher score"] = fisher_score(X, y)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores["f_classif"] = np.nan_to_num(f_classif(X, y)[0], nan=0.0)
    scores["mutual information"] = normalized_mutual_information(X, y)
    scores["random"] = np.random.default_rng(0).random(X.shape[1])
    return scores


def accuracies(X: Floats, y: Codes, train: Codes, test: Codes) -> dict[str, list[float]]:
    """Return the mean accuracy of the two classifiers per method and number of columns."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    centre, scale = X[train].mean(axis=0), X[train].std(axis=0)
    Z = (X - centre) / np.where(scale > 0, scale, 1.0)
    known: dict[bytes, float] = {}
    result = {}
    for method, scores in rankings(X[train], y[train]).items():
        order = np.argsort(-scores, kind="stable")
        result[method] = []
        for count in COUNTS:
            columns = np.sort(order[:count])
            key = columns.tobytes()
            if key not in known:
                found = [
                    model.fit(Z[train][:, columns], y[train]).score(Z[test][:, columns], y[test])
                    for model in (
                        LinearSVC(dual="auto", random_state=0),
                        KNeighborsClassifier(5),
                    )
                ]
                known[key] = 100 * float(np.mean(found))
            result[method].append(known[key])
    return result


def measure(name: str, jobs: int) -> dict[str, Floats]:
    """Return accuracies[fold, count] per method on one set."""
    with np.load(data_folder() / f"{name}.npz") as stored:
        if "indptr" in stored:
            parts = (stored["data"], stored["indices"], stored["indptr"])
            X = csr_array(parts, shape=stored["shape"]).toarray().astype(np.float64)
        else:
            X = stored["X"].astype(np.float64)
        y = stored["y"].astype(np.int64)
    warnings.filterwarnings("ignore", message="The least populated class")
    folds = [
        fold
        for seed in (0, 1)
        for fold in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)
    ]
    found = Parallel(n_jobs=jobs)(delayed(accuracies)(X, y, *fold) for fold in folds)
    return {method: np.array([fold[method] for fold in found]) for method in found[0]}


def mean_and_error(per_set: list[Floats]) -> tuple[Floats, Floats]:
    """Return mean over sets and its standard error, from values[fold, ...] of each set."""
    means = np.array([values.mean(axis=0) for values in per_set])
    errors = np.array([values.std(axis=0, ddof=1) / np.sqrt(len(values)) for values in per_set])
    return means.mean(axis=0), np.sqrt(np.square(errors).sum(axis=0)) / len(per_set)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = options.sets.split(",")
    missing = [name for name in names if not (data_folder() / f"{name}.npz").exists()]
    if missing:
        sys.exit(f"Not found in {data_folder()}: {', '.join(missing)}. Set ASSAY_TEST_DATA.")
    results = []
    for name in names:
        started = perf_counter()
        results.append(measure(name, options.jobs))
        print(f"{name} measured ({perf_counter() - started:.0f} s)", file=sys.stderr)

    at_50 = COUNTS.index(50)
    means = {m: mean_and_error([r[m] for r in results]) for m in results[0]}
    best = max(BASELINES, key=lambda m: means[m][0][at_50])
    order = sorted(means, key=lambda m: -means[m][0][at_50])
    rows, by_set = [], []
    for method in order:
        mean, error = means[method]
        gap, gap_error = mean_and_error([r[method] - r[best] for r in results])
        cells = [f"{a:.1f} ± {e:.1f}" for a, e in zip(mean, error, strict=True)]
        rows.append([method, *cells, f"{gap[at_50]:+.1f} ± {gap_error[at_50]:.1f}"])
        by_set.append([method, *(f"{r[method][:, at_50].mean():.1f}" for r in results)])
    print(f"\nMean over {len(names)} sets: {', '.join(names)}\n")
    print(table(["ranking", *(f"k = {k}" for k in COUNTS), f"k = 50, less {best}"], rows))
    print("\nPer set, k = 50\n")
    print(table(["ranking", *names], by_set))


if __name__ == "__main__":
    main()
