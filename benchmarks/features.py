"""Feature rankers: parity with the authors' code, speed, memory, quality. Writes a report.

    python benchmarks/features.py [--parts speed|quality] [--kept FOLDER]

Speed is CPU seconds of one thread, the least of some runs, all in one process; memory the largest
resident size of a process that does nothing else. PyIFS and outrank are compared with where they
can be imported; PyIFS lacks two imports, which it is given. The quality part takes an hour or two;
`--kept` stores what it has measured, as in `features_quality.py`, whose method it is. Prints the
reports and writes them, with a plot, to `results/features.md` and `results/features_quality.md`.
Data: `ASSAY_TEST_DATA`, else `shared/data` beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import features_quality as quality
import numpy as np
from common.process import output_alone
from common.report import save, table, verdict, write
from matplotlib import pyplot
from numpy.typing import NDArray
from rankers import parity as against_authors
from rankers import speed

Floats = NDArray[np.float64]
Goals = list[tuple[str, str, bool | None]]
SHOWN = (
    "ecfs",
    "fisher",
    "mutual information, histogram",
    "mrmr",
    "relieff",
    "inf_fs, supervised",
    quality.AUTHORS,
    "random",
)


def parity(goals: Goals) -> str:
    """Compare with the stored rankings of the authors' code."""
    rows, agree = against_authors.compare()
    goals.append(
        (
            "the authors' rankings: weights within 1e-8, no inversion beyond 1e-9, same best columns",
            f"{len(rows)} rankings",
            agree if rows else None,
        )
    )
    return table(against_authors.HEAD, rows)


def speeds(goals: Goals) -> str:
    """Time the goals and the peers."""
    step = speed.eigenvector_seconds(1_000_000)
    whole = speed.ecfs_seconds(500, 10_000)
    goals.append(("eigenvector of 1,000,000 columns: at most 1 s", f"{step:.2f} s", step <= 1))
    goals.append(("ECFS, 500 x 10,000: at most 0.4 s", f"{whole:.2f} s", whole <= 0.4))
    races = [*speed.peers(), *speed.outrank(), speed.distance_correlation()]
    least = {
        "PyIFS, supervised, with the imports it lacks": 100,
        "graph built and solved in networkx": 100,
        "scikit-learn mutual_info_classif": 50,
        "OutRank's own Numba": 1,
        "its definition in NumPy": 50,
    }
    rows = []
    for race in races:
        ratio = race.ratio
        shown = "not installed" if ratio is None else f"{ratio:.1f}"
        theirs = "" if race.theirs is None else f"{1000 * race.theirs:,.1f}"
        rows.append([race.what, f"{1000 * race.ours:,.1f}", race.peer, theirs, shown])
        if race.peer in least:
            wanted = least[race.peer]
            met = None if ratio is None else ratio >= wanted
            than = f"at least {wanted} times as fast as" if wanted > 1 else "at least as fast as"
            goals.append((f"{race.what}: {than} {race.peer}", shown, met))
    text = table(["ours", "ms", "theirs", "ms", "times ours"], rows)
    text += "\n\nEvery ranker, 500 x 1,000, 50 columns kept (first calls: some compile):\n\n"
    return text + table(["ranker", "s"], speed.every_ranker())


def memory(goals: Goals) -> str:
    """Measure peak memory in processes of their own."""
    rows = []
    for n, d, limit in ((500, 200_000, 1.5e9), (64, 1_000_000, 1e9)):
        told = json.loads(output_alone("rankers.memory", n, d))
        rows.append(
            [
                f"{n} x {d:,}",
                f"{told['input'] / 1e6:,.0f}",
                f"{told['peak'] / 1e6:,.0f}",
                f"{told['cpu']:.1f}",
            ]
        )
        goals.append(
            (
                f"ECFS, {n} x {d:,} float32: peak under {limit / 1e9:g} GB",
                f"{told['peak'] / 1e9:.2f} GB",
                told["peak"] < limit,
            )
        )
    return table(["ECFS", "input, MB", "peak, MB", "CPU s"], rows)


def qualities(goals: Goals, kept: Path | None) -> str:
    """Compare accuracies, and draw them."""
    names = quality.SETS.split(",")
    answers = quality.known_answers()
    results = quality.compare(names, list(quality.methods()), kept)
    at_50 = quality.COUNTS.index(50)
    means = {
        m: quality.mean_and_error(found)
        for m, found in results.items()
        if all(f is not None for f in found)
    }
    best = max(quality.BASELINES, key=lambda m: means[m][0][at_50])
    for other, least in ((best, -1.0), (quality.AUTHORS, 0.0)):
        pairs = zip(results["ecfs"], results[other], strict=True)
        gap, error = quality.mean_and_error([a - b for a, b in pairs])
        goals.append(
            (
                f"accuracy at k = 50 of ECFS, less that of {other}: "
                + ("at least -1 point" if least else "more than 0"),
                f"{gap[at_50]:+.1f} ± {error[at_50]:.1f}",
                bool(gap[at_50] >= least if least else gap[at_50] > 0),
            )
        )
    figure, axes = pyplot.subplots(figsize=(8, 4.8))
    for method in SHOWN:
        mean, error = means[method]
        style = {"color": "gray", "linestyle": "--"} if method == "random" else {}
        axes.errorbar(quality.COUNTS, mean, error, marker=".", capsize=2, label=method, **style)
    axes.set(xlabel="columns kept", ylabel="accuracy, %", xscale="log")
    axes.set_title(f"Mean of {len(names)} data sets, columns chosen inside the folds")
    axes.set_xticks(quality.COUNTS, quality.COUNTS)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    picture = save(figure, "features.png")
    return f"{quality.tables(names, results)}\n\n{picture}\n\n{answers}"


def report(name: str, title: str, goals: Goals, parts: dict[str, str]) -> None:
    """Write the goals and the parts."""
    told = ", ".join(f"{p} {version(p)}" for p in ("numpy", "scikit-learn", "numba", "networkx"))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    text = f"# {title}\n\nWritten by `python benchmarks/features.py`. "
    text += f"{os.cpu_count()} cores, Python {platform.python_version()}, {told}; load {load}.\n\n"
    rows = [[what, got, "not run" if met is None else verdict(met)] for what, got, met in goals]
    text += table(["goal", "measured", ""], rows)
    for heading, body in parts.items():
        text += f"\n\n## {heading}\n\n{body}"
    write(name, text + "\n")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", choices=("all", "speed", "quality"), default="all")
    parser.add_argument("--kept", type=Path)
    options = parser.parse_args()
    goals: Goals = []
    if options.parts != "quality":
        parts = {"Parity": parity(goals), "Speed": speeds(goals), "Memory": memory(goals)}
        report("features.md", "Feature rankers: parity, speed, memory", goals, parts)
    if options.parts != "speed":
        goals = []
        method = quality.__doc__.split("\n\n")[2].strip()
        parts = {"Accuracy": f"{method}\n\n{qualities(goals, options.kept)}"}
        report("features_quality.md", "Feature rankers: quality", goals, parts)


if __name__ == "__main__":
    main()
