"""Which rows should be labeled next? Learning curves over ten rounds; prints tables and writes them.

    python benchmarks/active_learning.py

In every round 25 rows of a pool are labeled, and logistic regression (scikit-learn) on all labels
is judged on rows of its own. Ways to choose them: at random; by pure margin; k-center; BADGE and
TypiClust as published, but for their embeddings, which are those of the pool; the authors' codes are
not used; and `NextBatchSelector` as `assay next` runs it. Each of five seeds draws another 4,000
rows as the pool. The blend was chosen on newsgroups and the census table; the power of the
neighbors' disagreement later, by three of the seeds, on newsgroups and Stack Overflow titles. All
four sets are reported. Data is read from the folder `ASSAY_TEST_DATA`, else from `shared/data` beside the
repository.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
import polars as pl
from common.report import RESULTS, machine, save, table, write
from matplotlib import pyplot
from sklearn.linear_model import LogisticRegression
from subsets.models import Floats, Rows, Singles
from subsets.pools import data

from assay.index import SimilarityGraph
from assay.index.embedding.table import TableEmbedder
from assay.index.embedding.text import HashedTextEmbedder
from assay.selection import KCenterSelector, NextBatchSelector

POOL, TEST, BATCH, ROUNDS, SEEDS = 4_000, 3_000, 25, 10, 5
FITTED = 12_000
NEIGHBORS = 20
# two-sided, 95%, four degrees of freedom
T_QUANTILE = 2.776
PENALTY = 0.1
OURS = "next_batch"
CHOSEN_ON = ("newsgroups", "Stack Overflow titles", "census table")


@dataclass
class Task:
    """A pool to label, and rows to be judged on; vectors of length 1, and standardized by one factor."""

    unit: Singles
    X: Singles
    y: Rows
    T: Singles
    t: Rows
    graph: SimilarityGraph

    @property
    def classes(self) -> int:
        return int(self.t.max()) + 1

    def typicality(self) -> Floats:
        distances = np.sqrt(np.maximum(2 * self.graph.distances(), 0))
        return np.asarray(1 / np.maximum(distances.mean(axis=1), 1e-6), dtype=np.float64)


Way = Callable[[Task, Rows, Floats, np.random.Generator], Rows]


def numbers(labels: pl.Series) -> Rows:
    """Return classes as numbers, in the order of their names."""
    names = labels.unique().sort()
    codes = labels.replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64)
    return codes.to_numpy()


def split(n: int) -> tuple[Rows, Rows]:
    """Return the rows that pools are drawn from, and those to be judged on."""
    order = np.random.default_rng(0).permutation(n)
    return np.sort(order[TEST : TEST + FITTED]), np.sort(order[:TEST])


def texts(source: str) -> tuple[Singles, Rows, Singles, Rows]:
    frame = data("text_pool.parquet").filter(source=source).drop_nulls("label")
    frame = frame.unique("text", keep="first", maintain_order=True)
    train, test = split(frame.height)
    embedder = HashedTextEmbedder(dimensions=128).fit(frame["text"][train])
    y = numbers(frame["label"])
    return (
        embedder.encode(frame["text"][train]), y[train],
        embedder.encode(frame["text"][test]), y[test],
    )  # fmt: skip


def images() -> tuple[Singles, Rows, Singles, Rows]:
    frame = data("cifar10_vectors.parquet")
    train, test = split(frame.height)
    X, y = frame["vec"].to_numpy().astype(np.float32), frame["label"].to_numpy().astype(np.int64)
    return X[train], y[train], X[test], y[test]


def census() -> tuple[Singles, Rows, Singles, Rows]:
    frame = data("tabular_adult.parquet")
    train, test = split(frame.height)
    columns, y = frame.drop("income", "split"), numbers(frame["income"])
    embedder = TableEmbedder().fit(columns[train])
    return embedder.encode(columns[train]), y[train], embedder.encode(columns[test]), y[test]


SETS = {
    "newsgroups": lambda: texts("20newsgroups"),
    "Stack Overflow titles": lambda: texts("stackoverflow_titles"),
    "CIFAR-10 vectors": images,
    "census table": census,
}


def task(X: Singles, y: Rows, T: Singles, t: Rows, seed: int) -> Task:
    """Draw the pool of a seed."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(X))[:POOL])
    unit, judged = (
        np.ascontiguousarray(Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-9))
        for Z in (X[rows], T)
    )
    center, spread = unit.mean(axis=0), unit.std(axis=0).mean()
    graph = SimilarityGraph.from_vectors(unit, k=NEIGHBORS)
    return Task(unit, (unit - center) / spread, y[rows], (judged - center) / spread, t, graph)


def fitted(task: Task, labeled: Rows) -> tuple[Floats, Floats]:
    """Return the class probabilities of the pool and of the rows to be judged on."""
    y = task.y[labeled]
    parts = np.zeros((len(task.X), task.classes)), np.zeros((len(task.T), task.classes))
    if len(np.unique(y)) == 1:
        for part in parts:
            part[:, y[0]] = 1
        return parts
    model = LogisticRegression(C=PENALTY, max_iter=200, tol=1e-3).fit(task.X[labeled], y)
    for part, rows in zip(parts, (task.X, task.T), strict=True):
        part[:, model.classes_] = model.predict_proba(rows)
    return parts


def open_rows(task: Task, labeled: Rows) -> Rows:
    return np.setdiff1d(np.arange(len(task.X)), labeled)


def random(task: Task, labeled: Rows, _: Floats, rng: np.random.Generator) -> Rows:
    return rng.choice(open_rows(task, labeled), BATCH, replace=False)


def margin(task: Task, labeled: Rows, P: Floats, rng: np.random.Generator) -> Rows:
    """The rows whose two likeliest classes are closest; at random before the first label."""
    if not len(labeled):
        return random(task, labeled, P, rng)
    free = rng.permutation(open_rows(task, labeled))
    second, first = np.partition(P[free], -2, axis=1)[:, -2:].T
    return free[np.argsort(first - second, kind="stable")[:BATCH]]


def k_center(task: Task, labeled: Rows, _: Floats, rng: np.random.Generator) -> Rows:
    """Sener and Savarese's greedy core-set, from the labeled rows on."""
    covered = np.isin(np.arange(len(task.X)), labeled)
    if not len(labeled):
        # as published, the first center is a random row
        first = rng.integers(len(task.X))
        covered[first] = True
        rest = KCenterSelector(budget=BATCH - 1).fit(task.unit, covered=covered).indices_
        return np.append(rest, first)
    return KCenterSelector(budget=BATCH).fit(task.unit, covered=covered).indices_


def badge(task: Task, labeled: Rows, P: Floats, rng: np.random.Generator) -> Rows:
    """k-means++ on the gradients of the last layer by the likeliest label."""
    if not len(labeled):
        return random(task, labeled, P, rng)
    slopes = P.copy()
    slopes[np.arange(len(P)), P.argmax(axis=1)] -= 1
    lengths = (slopes**2).sum(axis=1) * (task.X**2).sum(axis=1)
    free = np.isin(np.arange(len(P)), open_rows(task, labeled))
    chosen = [int(np.argmax(np.where(free, lengths, -1)))]
    nearest = np.full(len(P), np.inf)
    while len(chosen) < BATCH:
        last = chosen[-1]
        product = (slopes @ slopes[last]) * (task.X @ task.X[last])
        nearest = np.minimum(nearest, np.maximum(lengths + lengths[last] - 2 * product, 0))
        weights = np.where(free, nearest, 0)
        weights[chosen] = 0
        chosen.append(int(rng.choice(len(P), p=weights / weights.sum())))
    return np.array(chosen)


def typiclust(task: Task, labeled: Rows, _: Floats, rng: np.random.Generator) -> Rows:
    """The most typical row of the largest clusters that hold fewest labels."""
    clusters = min(len(labeled) + BATCH, 500)
    seed = int(rng.integers(2**31))
    model = faiss.Kmeans(
        task.unit.shape[1], clusters, niter=10, seed=seed, min_points_per_centroid=1
    )
    model.train(task.unit)
    of_row = model.index.search(task.unit, 1)[1].ravel()
    sizes = np.bincount(of_row, minlength=clusters)
    had = np.bincount(of_row[labeled], minlength=clusters)
    typical = task.typicality()
    typical[labeled] = -1
    chosen: list[int] = []
    while len(chosen) < BATCH:
        # clusters of fewer than five rows come last
        for cluster in np.lexsort((-sizes, had, sizes < 5)):
            rows = np.flatnonzero(of_row == cluster)
            row = int(rows[np.argmax(typical[rows])]) if len(rows) else -1
            if row >= 0 and typical[row] > 0:
                chosen.append(row)
                typical[row] = -1
                had[cluster] += 1
                break
    return np.array(chosen)


def next_batch(task: Task, labeled: Rows, _: Floats, rng: np.random.Generator) -> Rows:
    y = np.full(len(task.X), np.nan)
    y[labeled] = task.y[labeled]
    selector = NextBatchSelector(budget=BATCH)
    return selector.fit(task.unit, y if len(labeled) else None, graph=task.graph).indices_


WAYS: dict[str, Way] = {
    "random": random,
    "margin": margin,
    "k-center": k_center,
    "BADGE-like": badge,
    "TypiClust-like": typiclust,
    OURS: next_batch,
}


def curve(task: Task, way: Way, seed: int) -> list[float]:
    """Return the accuracy after every round."""
    rng = np.random.default_rng([seed, 1])
    labeled, P = np.empty(0, dtype=np.int64), np.empty((0, 0))
    found = []
    for _ in range(ROUNDS):
        batch = way(task, labeled, P, rng)
        assert len(set(batch.tolist()) - set(labeled.tolist())) == BATCH
        labeled = np.concatenate([labeled, batch])
        P, Q = fitted(task, labeled)
        found.append(float((Q.argmax(axis=1) == task.t).mean()))
    return found


def interval(differences: Floats) -> float:
    """Return half the 95% interval of a mean of paired differences."""
    return float(T_QUANTILE * differences.std(ddof=1) / np.sqrt(len(differences)))


def verdicts(name: str, curves: dict[str, Floats]) -> tuple[str, str]:
    """Say whether ours is as good as the best baseline, and never below random."""
    areas = {way: found.mean(axis=1) for way, found in curves.items()}
    best = max((way for way in areas if way != OURS), key=lambda way: areas[way].mean())
    apart = areas[OURS] - areas[best]
    noise = interval(apart)
    reached = "reached" if apart.mean() >= -noise else "**not reached**"
    first = f"{best}: {apart.mean():+.4f} ± {noise:.4f}, {reached}"
    below = []
    for number in range(ROUNDS):
        by_round = curves[OURS][:, number] - curves["random"][:, number]
        if by_round.mean() < -interval(by_round):
            below.append(str(number + 1))
    second = "never below" if not below else f"**below in round {', '.join(below)}**"
    return first, second


def main() -> None:
    """Measure every set and write the report and the plot."""
    figure, axes = pyplot.subplots(1, len(SETS), figsize=(16, 4))
    areas, aims, rounds = [], [], []
    for (name, load), axis in zip(SETS.items(), axes, strict=True):
        rows = load()
        tasks = [task(*rows, seed) for seed in range(SEEDS)]
        curves = {}
        for label, way in WAYS.items():
            curves[label] = np.array([curve(t, way, seed) for seed, t in enumerate(tasks)])
            mean = curves[label].mean(axis=0)
            rounds.append((name, label, *(f"{value:.3f}" for value in mean)))
            axis.plot(
                BATCH * np.arange(1, ROUNDS + 1), mean, label=label, lw=3 - 2 * (label != OURS)
            )
            print(name, label, f"{mean.mean():.4f}", flush=True)
        axis.set(title=name, xlabel="labels")
        found = {way: values.mean(axis=1) for way, values in curves.items()}
        areas.append((name, *(f"{found[w].mean():.4f} ± {interval(found[w]):.4f}" for w in WAYS)))
        used = "the blend was chosen on it" if name in CHOSEN_ON else "not used for choosing it"
        aims.append((name, *verdicts(name, curves), used))
    axes[0].set(ylabel="accuracy")
    axes[-1].legend(fontsize=8)
    figure.tight_layout()
    report = (
        "# The next batch to label\n\n`python benchmarks/active_learning.py`\n\n"
        f"Accuracy of logistic regression on what is labeled, over {ROUNDS} rounds of {BATCH} labels, "
        f"{SEEDS} seeds with pools of {POOL:,} rows, judged on {TEST:,} others. `{OURS}` is what "
        "`assay next` runs.\n\n"
        "## Area under the curve\n\nThe mean over the rounds, and the 95% interval of its mean over "
        f"the seeds.\n\n{table(('set', *WAYS), areas)}\n\n{save(figure, 'active_learning.png')}\n\n"
        f"## The aim\n\n`{OURS}` less the best of the others in area, by paired seeds with the 95% "
        "interval; and each round against random rows likewise.\n\n"
        f"{table(('set', 'beside the best', 'beside random', ''), aims)}\n\n"
        "## Round by round\n\n"
        f"{table(('set', 'way', *(str(BATCH * n) for n in range(1, ROUNDS + 1))), rounds)}\n\n"
        f"{machine()}\n"
    )
    write("active_learning.md", report)


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    main()
