"""Outliers on the sets of ADBench, the contamination factor, and the time of all label-free scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from common.data import data_folder
from common.report import table
from common.timing import timed
from graphs.vectors import generated
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from assay.index import SimilarityGraph
from assay.selection.algorithms.contamination import estimate_contamination
from judges.goals import Floats, Section, goal, rank_mean, say, scored, scorers

K = 15
ROWS = 12_000
PEERS = ("scikit-learn LOF", "scikit-learn IsolationForest", "kNN-10 distance")
# scores that say how odd a row is, whatever they were made for
COMBINATIONS = (("outlierness", "mahalanobis"), ("outlierness", "mahalanobis", "lof"))
Results = dict[str, dict[str, float]]


def adbench(limit: int) -> dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return standardized rows and which are anomalies, at most `limit` rows of each set."""
    found = {}
    for path in sorted((data_folder() / "adbench").glob("*.parquet")):
        frame = pl.read_parquet(path)
        frame = frame.sample(min(limit, frame.height), seed=0)
        X = frame.drop("y").to_numpy().astype(np.float64)
        spread = X.std(axis=0)
        X = (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1)
        found[path.stem] = (
            np.ascontiguousarray(X, dtype=np.float32),
            frame["y"].to_numpy().astype(bool),
        )
    return found


def peers(X: NDArray[np.float32]) -> dict[str, Floats]:
    """Return scikit-learn's scores, higher = further out."""
    lof = LocalOutlierFactor(n_neighbors=20).fit(X)
    forest = IsolationForest(random_state=0).fit(X)
    distances, _ = NearestNeighbors(n_neighbors=11).fit(X).kneighbors(X)
    found = (-lof.negative_outlier_factor_, -forest.score_samples(X), distances[:, -1])
    return dict(zip(PEERS, found, strict=True))


def oddness(X: NDArray[np.float32]) -> dict[str, Floats]:
    """Return every label-free scorer's scores, higher = harder, and rank means."""
    graph = SimilarityGraph.from_vectors(X, k=K, metric="l2")
    found = {f"assay {x}": -scored(x, X, None, graph) for x in scorers(labels=False)}
    for names in COMBINATIONS:
        parts = [found[f"assay {x}"] for x in names if f"assay {x}" in found]
        if len(parts) == len(names):
            found[f"assay rank mean: {' + '.join(names)}"] = rank_mean(parts)
    return found


def judged(limit: int, *, doubled: bool) -> Results:
    """Return the AUROC of every score on every set; doubled: half of the rows are there twice."""
    results: Results = {}
    for name, (X, odd) in adbench(limit).items():
        say(f"{name}{', doubled' if doubled else ''}")
        if doubled:
            again = np.random.default_rng(0).permutation(len(X))[: len(X) // 2]
            X, odd = np.vstack([X, X[again]]), np.concatenate([odd, odd[again]])
        for score, values in (oddness(X) | peers(X)).items():
            results.setdefault(score, {})[name] = float(roc_auc_score(odd, values))
    return results


def summary(plain: Results, doubled: Results) -> str:
    """Return mean and worst AUROC of every score."""
    rows = []
    for name in sorted(plain, key=lambda x: -np.mean(list(plain[x].values()))):
        told = [name]
        for results in (plain, doubled):
            values = list(results[name].values())
            least = min(results[name], key=results[name].__getitem__)
            told += [f"{np.mean(values):.3f}", f"{min(values):.3f} ({least})"]
        rows.append(told)
    head = ["score", "mean", "worst", "mean, half doubled", "worst, half doubled"]
    return table(head, rows)


def against_peers(results: Results, told: str) -> list[tuple[str, str, str, str]]:
    """Return the goals of mean and worst AUROC."""
    goals = []
    ours = [name for name in results if name.startswith("assay")]
    for what, of in (("mean", np.mean), ("worst", np.min)):

        def value(name: str, of: Any = of) -> float:
            return float(of(list(results[name].values())))

        mine, theirs = max(ours, key=value), max(PEERS, key=value)
        goals.append(
            goal(
                f"2. ADBench, {what} AUROC, {told}",
                f">= {value(theirs):.3f} ({theirs})",
                f"{value(mine):.3f} ({mine.removeprefix('assay ')})",
                value(mine) >= value(theirs),
            )
        )
    return goals


def contamination_table(limit: int) -> tuple[str, list[tuple[str, str, str, str]]]:
    """Return what the contamination factor's posterior says of the sets."""
    aim = "2. contamination factor, mean error of the posterior mean"
    rows, errors, fixed = [], [], []
    for name, (X, odd) in adbench(limit).items():
        say(f"contamination, {name}")
        found, spent = timed(lambda X=X: posterior(X))
        mean, low, high = found
        errors.append(abs(mean - odd.mean()))
        fixed.append(abs(0.1 - odd.mean()))
        rows.append(
            [name, f"{odd.mean():.3f}", f"{mean:.3f}", f"{low:.3f} to {high:.3f}",
             f"{errors[-1]:.3f}", f"{fixed[-1]:.3f}", f"{spent.cpu:.1f}"]
        )  # fmt: skip
    mine, theirs = float(np.mean(errors)), float(np.mean(fixed))
    head = ["set", "true", "posterior mean", "80%", "error", "error of a fixed 10%", "CPU s"]
    rows.append(["mean", "", "", "", f"{mine:.3f}", f"{theirs:.3f}", ""])
    return table(head, rows), [
        goal(aim, f"< {theirs:.3f} (a fixed 10%)", f"{mine:.3f}", mine < theirs)
    ]


def posterior(X: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return mean, 10th and 90th percentile of the contamination factor, from three detectors."""
    graph = SimilarityGraph.from_vectors(X, k=K, metric="l2")
    detectors = [-scored(x, X, None, graph) for x in ("outlierness", "lof", "mahalanobis")]
    found = estimate_contamination(*detectors)
    return found.mean, *found.interval(0.8)


def times(rows: int) -> tuple[str, list[tuple[str, str, str, str]]]:
    """Return the time of every label-free score, given the graph."""
    say(f"times, {rows:,} rows")
    small = generated(500, 64)
    near = SimilarityGraph.from_vectors(small, k=K)
    X = generated(rows, 64)
    graph, built = timed(lambda: SimilarityGraph.from_vectors(X, k=K))
    lines, total, wall = [], 0.0, 0.0
    for name in scorers(labels=False):
        scored(name, small, None, near)
        _, spent = timed(lambda name=name: scored(name, X, None, graph))
        total, wall = total + spent.cpu, wall + spent.wall
        lines.append([name, f"{spent.cpu:.2f}", f"{spent.wall:.2f}"])
    lines.append(["all", f"{total:.2f}", f"{wall:.2f}"])
    text = f"The graph (cosine, {K} neighbors) took {built.cpu:.1f} CPU s.\n\n"
    text += table(["score", "CPU s", "s on the clock"], lines)
    aim = f"6. all {len(lines) - 1} label-free scores, {rows:,} x 64, given the graph"
    return text, [goal(aim, "< 60 s", f"{total:.1f} CPU s, {wall:.1f} s on the clock", total < 60)]


def section(limit: int | None = None) -> tuple[Section, Results, Results]:
    """Measure outlier scores, the contamination factor and time."""
    most = min(limit or ROWS, ROWS)
    plain, doubled = judged(most, doubled=False), judged(most, doubled=True)
    found, about = contamination_table(most)
    spent, timing = times(20_000 if limit else 200_000)
    goals = against_peers(plain, "as they are") + against_peers(doubled, "half of the rows twice")
    text = "\n\n".join(
        (
            "## Outliers",
            f"AUROC for the anomalies of {len(next(iter(plain.values())))} sets, standardized, at most {most:,} rows "
            f"each; scores that are high in dense regions are turned round. Graph: l2, {K} "
            "neighbors. Doubled: half of the rows are there twice.",
            summary(plain, doubled),
            "By set, as they are and with half of the rows twice:",
            by_set(plain, doubled),
            "## Contamination factor",
            found,
            "## Time of label-free scores",
            spent,
        )
    )
    return Section(goals + about + timing, text), plain, doubled


def by_set(plain: Results, doubled: Results) -> str:
    """Return the AUROC of the main scores on every set."""
    names = [
        x
        for x in ("assay isolation", "assay outlierness", "assay mahalanobis", "assay lof", *PEERS)
        if x in plain
    ]
    rows = [
        [which, *(f"{plain[n][which]:.3f} / {doubled[n][which]:.3f}" for n in names)]
        for which in plain[names[0]]
    ]
    return table(["set", *(n.removeprefix("assay ") for n in names)], rows)
