"""How well do models learn from what a method keeps? Prints tables, writes them and plots.

    python benchmarks/quality.py [--kept FOLDER]

A pool is pruned by 50 to 95 %, a model is trained on the rest and judged on test rows that nothing
else sees. Two pools: 50,000 CIFAR-10 images as vectors (10,000 to test) and 20 newsgroups (11,300
posts, 7,500 to test), embedded without labels; both clean and with 20 % of the labels changed to
another class at random. Data is read from the folder `ASSAY_TEST_DATA`, else from `shared/data`
beside the repository.

Judges: ridge regression on the vectors and 320 random ReLU features (penalty 10 everywhere; what
another penalty changes has its own table), and a perceptron with a hidden layer of 256 (500 steps
of SGD). Difficulty is read from a log of 10 epochs on the whole pool, of softmax regression on the
ridge judge's features ("linear log") or of the perceptron ("MLP log"): AUM (margin of the label's
probability, summed over epochs) and EL2N (distance of the probabilities from the label). So either
judge sees difficulties of its own family and of the other.

Seeds change the noise, the features, the log, the choice and the judge. All methods run with their
defaults. "Random after the same cutoff" draws uniformly from the rows that the cutoff of CCS
leaves; "CCS, published cutoffs" cuts 0, 10 or 30 % where 50, above 10, or 10 % and less are kept,
while the default cuts a third of what is pruned, at most 30 %: the same where 90 % or more are
pruned. That was chosen on the first 20,000 CIFAR-10 images, judged on the first 5,000 to test, and
on titles of Stack Overflow, with other seeds (`quality_cutoff.py`). Newsgroups and the other 30,000
and 5,000 images, which have their own table, had no part in the sweep; but a first rule, 0.3 of what
is pruned without a bound, was looked at on them with two seeds, and slope and bound were set after.

With `--kept` the figures of each pool, noise and seed are kept in a folder and read from there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import polars as pl
from common.report import machine, save, table, verdict, write
from matplotlib import pyplot
from subsets.models import RIDGE, Floats, Rows, log, mlp, relu_features, ridge
from subsets.pools import Task, cifar, texts
from threadpoolctl import threadpool_limits

from assay.selection import registry
from assay.selection.scorers.label_agreement import LabelAgreement

SEEDS = (0, 1, 2, 3, 4)
NOISES = (0.0, 0.2)
KEEP = (0.5, 0.3, 0.2, 0.1, 0.05)
PENALTIES = (RIDGE, 100.0, 1000.0)
UNSEEN = "CIFAR-10 vectors, images not used for tuning"
LINEAR, PERCEPTRON = "linear log", "MLP log"
OWN = {"ridge": LINEAR, "MLP": PERCEPTRON}
RANDOM, CCS, AFTER = "random", "CCS, AUM", "random after the same cutoff"
PUBLISHED = "CCS, published cutoffs, AUM"
HARDEST = ("hardest, AUM", "hardest, EL2N")


@dataclass(frozen=True, eq=False)
class Given:
    """What a method may look at: the pool, its labels as given, one log's difficulties, a seed."""

    task: Task
    y: Rows
    difficulty: dict[str, Floats]
    seed: int

    def fit(self, name: str, k: int, **inputs: Any) -> Any:
        """Return a selector of the registry, fitted with its defaults."""
        return registry.get(name, "selector")(budget=k, random_state=self.seed).fit(**inputs)

    def shuffled(self, stream: int) -> Rows:
        return np.random.default_rng([self.seed, stream]).permutation(len(self.y))


@dataclass(frozen=True)
class Method:
    """A way to choose k rows.

    `scored`: it looks at the difficulties, so it is run once per log. `both`: also where judge and
    log are of different families. `by_mlp`: the perceptron judges it too. `most`: largest share
    kept for which it is run.
    """

    name: str
    choose: Callable[[Given, int], Rows]
    scored: bool = False
    both: bool = True
    by_mlp: bool = True
    most: float = 1.0


def extreme(given: Given, k: int, *, score: str, sign: int) -> Rows:
    """Return the rows of highest or lowest difficulty."""
    return np.argsort(sign * given.difficulty[score], kind="stable")[:k]


def covered(given: Given, k: int, *, score: str, published: bool = False) -> Rows:
    """Return what coverage-centric selection chooses."""
    share = k / len(given.y)
    cutoff = (0.0 if share >= 0.5 else 0.1 if share > 0.1 else 0.3) if published else "auto"
    selector = registry.get("ccs", "selector")(
        budget=k, cutoff=cutoff, random_state=given.seed
    ).fit(scores=given.difficulty[score])
    return np.asarray(selector.indices_)


def after_cutoff(given: Given, k: int) -> Rows:
    """Return random rows of those that the cutoff of `covered` leaves."""
    difficulty = given.difficulty["aum"]
    cut = given.fit("ccs", k, scores=difficulty).report_["cut"]
    kept = np.argsort(difficulty, kind="stable")[: len(difficulty) - cut]
    return kept[np.argsort(given.shuffled(2)[kept])][:k]


def after_agreement(given: Given, k: int) -> Rows:
    """Return random rows without those whose neighbors' labels agree least, as many as CCS cuts."""
    scorer = LabelAgreement().fit(graph=given.task.graph, y=given.y)
    cut = given.fit("ccs", k, scores=-scorer.scores_).report_["cut"]
    noise = given.shuffled(3)
    kept = np.lexsort((noise, scorer.scores_))[cut:]
    return kept[np.argsort(noise[kept])][:k]


def unlabeled(given: Given, k: int, *, name: str, most: float) -> Rows:
    """Return what a nested method chooses that looks at the vectors or the graph alone."""
    rankings = given.task.rankings
    if name not in rankings:
        budget = int(most * len(given.y))
        rankings[name] = given.fit(name, budget, X=given.task.X, graph=given.task.graph).indices_
    return rankings[name][:k]


def labeled(given: Given, k: int, *, name: str) -> Rows:
    """Return what a method chooses from all inputs."""
    inputs = {"X": given.task.X, "y": given.y, "graph": given.task.graph}
    if given.difficulty:
        # not below 0, as messages between neighbors are to add to a difficulty
        inputs["scores"] = given.difficulty["el2n"]
    return np.asarray(given.fit(name, k, **inputs).indices_)


def methods() -> list[Method]:
    """Return what is compared; selectors that the registry does not have are left out."""
    found = [
        Method(RANDOM, lambda given, k: given.shuffled(1)[:k]),
        Method(HARDEST[0], partial(extreme, score="aum", sign=-1), scored=True),
        Method(HARDEST[1], partial(extreme, score="el2n", sign=-1), scored=True, both=False),
        Method(
            "easiest, AUM",
            partial(extreme, score="aum", sign=1),
            scored=True,
            by_mlp=False,
            both=False,
        ),
        Method(CCS, partial(covered, score="aum"), scored=True),
        Method(PUBLISHED, partial(covered, score="aum", published=True), scored=True),
        Method("CCS, EL2N", partial(covered, score="el2n"), scored=True, by_mlp=False, both=False),
        Method(AFTER, after_cutoff, scored=True),
        Method("random after a label-agreement cutoff", after_agreement, by_mlp=False),
    ]
    known = {entry.name for entry in registry.entries("selector")}
    for name, most in (
        ("facility_location", 0.5), ("graph_cut", 0.5), ("k_center", 0.1), ("herding", 0.1)
    ):  # fmt: skip
        if name in known:
            choose = partial(unlabeled, name=name, most=most)
            by_mlp = name == "facility_location"
            found.append(Method(name, choose, by_mlp=by_mlp, most=most))
    if "moderate" in known:
        found.append(Method("moderate", partial(labeled, name="moderate"), by_mlp=False))
    if "d2" in known:
        found.append(Method("d2, EL2N", partial(labeled, name="d2"), scored=True, both=False))
    return found


def measure(task: Task, noise: float, seed: int, only: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return one row per share kept, method, log and judge: the test accuracy in %.

    `only` some methods, or all.
    """
    started, found = process_time(), []
    n, y = len(task.y), task.noisy(noise, seed)
    features, tested = relu_features(task.X, seed), relu_features(task.T, seed)
    logs = {
        LINEAR: log(features, y, task.classes, seed, linear=True),
        PERCEPTRON: log(task.X, y, task.classes, seed, linear=False),
    }

    def accuracy(rows: Rows, judge: str, penalty: float = RIDGE) -> float:
        if judge == "MLP":
            network = mlp(task.X[rows], y[rows], task.classes, seed)
            guess = network.probabilities(task.T).argmax(axis=1)
        else:
            model = ridge(features[rows], y[rows], task.classes, penalty)
            guess = (tested @ model.astype(np.float32)).argmax(axis=1)
        return 100 * float((guess == task.t).mean())

    for keep, method in product(KEEP, methods()):
        if keep > method.most or (only and method.name not in only):
            continue
        for name in logs if method.scored else ("",):
            given = Given(task, y, logs.get(name, {}), seed)
            rows = method.choose(given, int(keep * n))
            assert len(np.unique(rows)) == int(keep * n), method.name
            where = {"task": task.name, "noise": noise, "seed": seed, "keep": keep}
            where |= {"method": method.name, "log": name}
            for judge in OWN if method.by_mlp else ("ridge",):
                other = method.scored and OWN[judge] != name
                if not other or (method.both and (judge == "ridge" or method.name == CCS)):
                    found.append({**where, "judge": judge, "accuracy": accuracy(rows, judge)})
            if keep <= 0.1 and method.name in (RANDOM, CCS, AFTER) and name in ("", LINEAR):
                for penalty in PENALTIES[1:]:
                    judge = f"ridge, penalty {penalty:g}"
                    value = accuracy(rows, "ridge", penalty)
                    found.append({**where, "judge": judge, "accuracy": value})
    took = process_time() - started
    print(f"{task.name}, noise {noise:g}, seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)
    return pl.DataFrame(found).with_columns(seconds=pl.lit(took))


def gaps(results: pl.DataFrame) -> pl.DataFrame:
    """Return accuracy less that of the random subset of the same seed, with its standard error."""
    by = ["task", "noise", "keep", "judge"]
    random = results.filter(method=RANDOM).select(*by, "seed", random="accuracy")
    return (
        results.join(random, on=[*by, "seed"])
        .with_columns(gap=pl.col("accuracy") - pl.col("random"))
        .group_by(*by, "method", "log", maintain_order=True)
        .agg(
            accuracy=pl.col("accuracy").mean(),
            deviation=pl.col("accuracy").std(),
            gap=pl.col("gap").mean(),
            error=pl.col("gap").std() / pl.len().sqrt(),
        )
    )


def accuracy_table(found: pl.DataFrame) -> str:
    """Return a table of methods by share pruned, own log before the other."""
    names = found.select("method", "log").unique(maintain_order=True)
    cells = {
        (row["method"], row["log"], row["keep"]): f"{row['accuracy']:.2f} ± {row['deviation']:.2f}"
        for row in found.to_dicts()
    }
    rates = found["keep"].unique().sort(descending=True).to_list()
    head = ["method", "difficulty from", *(f"{100 - 100 * keep:.0f} % pruned" for keep in rates)]
    return table(
        head,
        [
            [method, name or "-", *(cells.get((method, name, keep), "") for keep in rates)]
            for method, name in names.iter_rows()
        ],
    )


def goals(found: pl.DataFrame, task: str) -> str:
    """Return what was aimed at beside what was found."""
    rows = []
    for judge in ("ridge", "MLP"):
        for noise, keep, method, aim in (
            (0.0, 0.1, CCS, 0.7 if judge == "ridge" else 2.0),
            (0.0, 0.05, CCS, 2.0),
            (0.2, 0.1, CCS, 2.5),
            *((0.0, 0.1, method, -25.0) for method in HARDEST),
        ):
            for name in (OWN[judge], *(set(OWN.values()) - {OWN[judge]})):
                cell = found.filter(
                    task=task, noise=noise, keep=keep, judge=judge, method=method, log=name
                )
                if cell.is_empty():
                    continue
                gap, error = cell["gap"][0], cell["error"][0]
                sign = ">=" if aim > 0 else "<="
                met = gap >= aim if aim > 0 else gap <= aim
                told = f"{judge}, {method} from the {name}"
                where = f"{100 - 100 * keep:.0f} % pruned, {100 * noise:.0f} % noise"
                gained = f"{gap:+.2f} ± {error:.2f}"
                rows.append([told, where, f"{sign} {aim:+g}", gained, verdict(met)])
    head = ["judge, method", "where", "aim: points over random", "found ± standard error", ""]
    return table(head, rows)


def better(found: pl.DataFrame) -> str:
    """Return where another method is clearly better than CCS with the judge's own log."""
    told = []
    by = ["task", "noise", "keep", "judge"]
    for judge, own in OWN.items():
        part = found.filter(judge=judge)
        ccs = part.filter(method=CCS, log=own).select(*by, of_ccs="accuracy", of_error="error")
        ahead = part.join(ccs, on=by).filter(
            pl.col("accuracy") - pl.col("of_ccs")
            > 2 * (pl.col("error").fill_null(0) ** 2 + pl.col("of_error") ** 2).sqrt()
        )
        for row in ahead.filter(pl.col("log").is_in(["", own])).to_dicts():
            told.append(
                f"- {row['task']}, {judge}, {100 - 100 * row['keep']:.0f} % pruned, "
                f"{100 * row['noise']:.0f} % noise: {row['method']} {row['accuracy']:.2f} against "
                f"{row['of_ccs']:.2f}"
            )
    return "\n".join(told) or "Nowhere."


def penalties(found: pl.DataFrame) -> str:
    """Return how the gap to random depends on the ridge judge's penalty."""
    part = found.filter(
        pl.col("keep") <= 0.1,
        pl.col("method").is_in([CCS, AFTER]),
        pl.col("log") == LINEAR,
        pl.col("judge").str.starts_with("ridge"),
    )
    names = ["ridge", *(f"ridge, penalty {penalty:g}" for penalty in PENALTIES[1:])]
    cells = {
        tuple(row[name] for name in ("task", "noise", "keep", "method", "judge")): row
        for row in part.to_dicts()
    }
    rows = []
    for key in dict.fromkeys(key[:4] for key in cells):
        values = [cells[*key, name] for name in names]
        rows.append(
            [
                f"{key[0]}, {100 * key[1]:.0f} % noise, {100 - 100 * key[2]:.0f} % pruned",
                key[3],
                *(
                    f"{v['gap']:+.2f} ± {v['error']:.2f} ({v['accuracy'] - v['gap']:.1f})"
                    for v in values
                ),
            ]
        )
    head = ["where", "method", *(f"penalty {penalty:g} (random)" for penalty in PENALTIES)]
    return table(head, rows)


def plot(found: pl.DataFrame, name: str) -> str:
    """Draw the gap to random over the share pruned."""
    tasks, judges = found["task"].unique(maintain_order=True), list(OWN)
    panels = [(noise, judge) for judge in judges for noise in NOISES]
    figure, axes = pyplot.subplots(
        len(tasks), len(panels), figsize=(15, 4 * len(tasks)), layout="constrained", squeeze=False
    )
    names = [RANDOM, CCS, "CCS, EL2N", AFTER, "random after a label-agreement cutoff"]
    names += ["easiest, AUM", "d2, EL2N", "facility_location", "moderate"]
    for line, title in zip(axes, tasks, strict=True):
        for axis, (noise, judge) in zip(line, panels, strict=True):
            part = found.filter(task=title, noise=noise, judge=judge)
            part = part.filter(pl.col("log").is_in(["", OWN[judge]]))
            for place, method in enumerate(names):
                held = part.filter(method=method)
                x = 100 - 100 * held["keep"]
                axis.errorbar(
                    np.arange(len(x)), held["gap"], held["error"], marker="o", ms=4,
                    color=f"C{place}", label=method, lw=2.5 if method == CCS else 1.3, capsize=2,
                )  # fmt: skip
                if method == RANDOM:
                    axis.set_xticks(range(len(x)), [f"{value:.0f}" for value in x])
            axis.set_ylim(-8, max(6, 1.1 * part["gap"].max()))
            axis.set_title(f"{title}, {judge}, {100 * noise:.0f} % noise", fontsize=10)
            axis.set_xlabel("pruned (%)")
            axis.grid(alpha=0.3)
        line[0].set_ylabel("accuracy less random (points)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    return save(figure, name)


def cutoffs(found: pl.DataFrame) -> str:
    """Return the default cutoff beside the published ones, on pools without a part in the choice."""
    part = found.filter(
        pl.col("task") != "CIFAR-10 vectors",
        pl.col("method").is_in([CCS, PUBLISHED]),
        pl.col("judge").is_in(list(OWN)),
    )
    cells = {
        tuple(row[name] for name in ("task", "judge", "log", "noise", "method", "keep")): row
        for row in part.to_dicts()
    }
    rows = [
        [
            f"{task}, {judge}, {log_}, {100 * noise:.0f} % noise",
            method,
            *(
                f"{cells[task, judge, log_, noise, method, keep]['gap']:+.2f} ± "
                f"{cells[task, judge, log_, noise, method, keep]['error']:.2f}"
                for keep in KEEP
            ),
        ]
        for task, judge, log_, noise, method in dict.fromkeys(key[:5] for key in cells)
        if OWN[judge] == log_ or judge == "ridge"
    ]
    head = ["where", "method", *(f"{100 - 100 * keep:.0f} % pruned" for keep in KEEP)]
    return table(head, sorted(rows))


def report(results: pl.DataFrame) -> str:
    """Return the report, and draw its plot."""
    found = gaps(results)
    main = found.filter(pl.col("task") != UNSEEN)
    tasks = main["task"].unique(maintain_order=True).to_list()
    seconds = results.group_by("task", "noise", "seed").agg(pl.col("seconds").first())["seconds"]
    parts = [
        "# Sample selection: what models learn from what is kept\n",
        f"`python benchmarks/quality.py` on {machine()}; {seconds.sum() / 60:.0f} minutes of one "
        "core.\n",
        __doc__.split("\n\n", 2)[2].strip() + "\n",
        f"Seeds {tuple(results['seed'].unique().sort())}. Accuracy in %, after ± the standard "
        "deviation over seeds.\n",
    ]
    for title in tasks:
        parts.append(f"## Goals, {title}\n\n{goals(main, title)}\n")
    parts.append(plot(main, "quality.png") + "\n")
    for title in tasks:
        for judge in OWN:
            for noise in NOISES:
                part = main.filter(task=title, judge=judge, noise=noise)
                head = f"## {title}, {judge} judge, {100 * noise:.0f} % label noise"
                parts.append(f"{head}\n\n{accuracy_table(part)}\n")
    parts += [
        "## The default cutoff and the published ones\n",
        "Points over random ± standard error, on pools without a part in the choice (see above).\n",
        cutoffs(found) + "\n",
        "## Where another method is better than CCS\n",
        "By more than two standard errors, difficulties from the judge's own family.\n",
        better(main) + "\n",
        "## What the ridge penalty changes\n",
        "Points over random, difficulties from the linear log; in brackets the random subset.\n",
        penalties(main),
    ]
    return "\n".join(parts) + "\n"


def kept(folder: Path | None, name: str, make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """Return figures that were kept, or make and keep them."""
    path = None if folder is None else folder / f"{name}.parquet"
    if path is not None and path.exists():
        return pl.read_parquet(path)
    made = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        made.write_parquet(path)
    return made


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kept", type=Path)
    folder = parser.parse_args().kept
    rule = (RANDOM, CCS, PUBLISHED)
    with threadpool_limits(1):
        pools: dict[str, tuple[Task, tuple[str, ...]]] = {
            "cifar": (cifar(), ()),
            "news": (texts("20newsgroups", "Newsgroups"), ()),
            "unseen": (cifar(slice(20_000, None), slice(5_000, None), name=UNSEEN), rule),
        }
        found = [
            kept(folder, f"{name}-{noise:g}-{seed}", partial(measure, task, noise, seed, only))
            for seed in SEEDS
            for name, (task, only) in pools.items()
            for noise in NOISES
        ]
    write("quality.md", report(pl.concat(found)))


if __name__ == "__main__":
    main()
