"""The graph of nearest neighbors against every library one could pick instead.

    python benchmarks/graph.py [--size 200000] [--million] [--scale] [--peers "faiss HNSW,hnswlib"]
    python benchmarks/graph.py --race cifar10,texts [--peers ...]

Every method builds the 15 nearest neighbors (Euclidean) of all rows with one thread; time is that
of the build and of the search of all rows, without compilation. Each is tuned over a grid to the
recall asked for, measured on 1,000 rows that are searched exactly: its build settings on 10,000
rows, its breadth on all. The best two peers and assay are then run in full, in turns, and their
figures are medians; ~ marks a full build with the time of 1,000 searches scaled up. assay's time
holds the recall that it measures for itself and the grouping of equal rows, which the others leave
to the user. Prints a report and writes it, with a plot, to `results/graph.md`. Data:
`ASSAY_TEST_DATA`, else `shared/data` beside the repository. Peers that aren't installed are left
out: scann, scalable-vs, hnswlib, usearch, pynndescent, igraph, networkit. Text vectors have length
1, so that their Euclidean neighbors are those by the cosine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import fast_blas  # noqa: F401
from common.process import output_alone
from common.report import save, table, verdict, write
from common.timing import timed
from graphs.algorithms import LOOSE, compare
from graphs.peers import Peer, own_graph, peers, versions, without_itself
from graphs.race import OWN, TARGETS, Entry, best_peer, own, race, say
from graphs.vectors import K, Truth, cifar10, generated, resnet18, texts
from matplotlib import pyplot
from threadpoolctl import threadpool_limits

from assay.index import SimilarityGraph
from assay.index.vectors.checks import Vectors

ALGORITHM_NODES = 100_000
DISTINCT = 15_000
MILLION = 1_000_000
TEXTS = 60_000
UNMEASURED = "not measured in this run: add `--million`"
Goals = list[tuple[str, str, str, str]]


def load() -> str:
    """Return the load averages, where the system tells them."""
    return ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"


def construction_rows(name: str, entries: list[Entry]) -> list[list[str]]:
    """Return the rows of the table for one set of vectors."""
    rows = []
    for target in TARGETS:
        mine = own(entries, target).cpu
        for e in sorted((e for e in entries if e.target == target), key=lambda e: e.cpu):
            short = "" if e.reached else " (not reached)"
            rows.append(
                [
                    name,
                    f"{target:g}",
                    e.method,
                    e.setting,
                    f"{e.recall:.4f}{short}",
                    f"{e.cpu:.2f}",
                    f"{e.wall:.2f}",
                    f"{e.cpu / mine:.2f}",
                    str(len(e.runs)) if e.full else "~",
                ]
            )
    return rows


def speed_goals(results: dict[str, list[Entry]]) -> Goals:
    """Return goal 1 for every set of vectors."""
    goals: Goals = []
    for name, entries in results.items():
        for target, least in ((0.985, 2.5), (0.95, 1.0)):
            mine, best = own(entries, target), best_peer(entries, target)
            if best is None:
                continue
            ratio = best.cpu / mine.cpu
            met = ratio >= least and mine.reached
            aim = f"best peer takes >= {least} x the CPU time" if least > 1 else "ahead of all"
            found = f"{ratio:.2f} x ({mine.cpu:.2f} s, {best.method} {best.cpu:.2f} s)"
            goals.append((f"1. {name}, recall {target:g}", aim, found, verdict(met)))
    return goals


def alone(rows: int) -> dict[str, Any]:
    """Build a graph in a process of its own."""
    say(f"{rows:,} rows, in a process of its own")
    output = output_alone("graphs.memory", rows, NUMBA_NUM_THREADS="2")
    figures: dict[str, Any] = json.loads(output)
    return figures


def scale_goals(million: bool) -> Goals:
    """Return goal 2, and the memory of goal 3."""
    small = alone(200_000)
    goals: Goals = []
    if million:
        large = alone(MILLION)
        mean, low, high = large["recall"]
        found = f"{mean:.4f} [{low:.4f}, {high:.4f}]"
        goals = [
            ("2. 1M x 128, recall", ">= .98 with its interval", found, verdict(low >= 0.98)),
            (
                "2. 1M x 128, CPU",
                "<= 25 s",
                f"{large['cpu']:.1f} s",
                verdict(large["cpu"] <= 25),
            ),
            (
                "2. 1M x 128, memory",
                "<= 1.5 GB",
                f"{large['peak'] / 1e9:.2f} GB",
                verdict(large["peak"] <= 1.5e9),
            ),
            (
                "2. time(1M) / time(200k)",
                "<= 6.5",
                f"{large['cpu'] / small['cpu']:.2f} ({small['cpu']:.1f} s at 200k)",
                verdict(large["cpu"] <= 6.5 * small["cpu"]),
            ),
        ]
    else:
        goals = [("2. 1M x 128: recall, CPU, memory, growth", "see above", UNMEASURED, "-")]
    say("200,000 rows with one thread and with two in turn")
    turns = json.loads(output_alone("graphs.threads", 200_000, 5, NUMBA_NUM_THREADS="2"))
    one, two = map(statistics.median, zip(*turns, strict=True))
    gain = statistics.median(first / second for first, second in turns)
    goals.append(
        (
            "2. two threads, 200k, median of 5 pairs",
            ">= 1.6 x faster by the clock, idle machine",
            f"{gain:.2f} x ({one:.1f} s, {two:.1f} s) at load {load()}",
            verdict(gain >= 1.6),
        )
    )
    size = large if million else small
    factor = 1 if million else MILLION / 200_000
    whole, sparse = size["bytes"] * factor, size["bytes_csr"] * factor
    note = "" if million else ", from 200k"
    goals.append(
        (
            "3. graph of 1M nodes",
            "<= 300 MB",
            f"{whole / 1e6:.0f} MB, {sparse / 1e6:.0f} MB of it the sparse matrix{note}",
            verdict(whole <= 300e6),
        )
    )
    return goals


def algorithm_goals(
    seconds: dict[str, dict[str, float]],
) -> tuple[str, Goals]:
    """Return the table of the algorithms, and goal 3."""
    libraries = ["assay", "networkx", "igraph", "networkit"]
    rows = [
        [name, *(f"{took[x]:.3f}" if x in took else "-" for x in libraries)]
        for name, took in seconds.items()
    ]
    aims = (
        (LOOSE, "networkx", 50.0),
        ("core number", "networkx", 80.0),
        ("components", "networkx", 6.0),
        *((n, x, 1.0) for n in ("core number", "PageRank", "clustering") for x in libraries[2:]),
        ("eigenvector", "igraph", 3.0),
    )
    goals: Goals = []
    for name, library, least in aims:
        if library in seconds[name]:
            ratio = seconds[name][library] / seconds[name]["assay"]
            aim = f">= {least:g} x" if least > 1 else "at least on par"
            goals.append(
                (f"3. {name} against {library}", aim, f"{ratio:.2f} x", verdict(ratio >= least))
            )
    return table(["CPU s", *libraries], rows), goals


def duplicate_goals(X: Vectors, contestants: list[Peer]) -> Goals:
    """Return goal 4: recall on the distinct rows when as many copies are added."""
    rng = np.random.default_rng(5)
    distinct = X[rng.permutation(len(X))[:DISTINCT]]
    goals: Goals = []
    for name, copied in (
        ("copies of one row", np.zeros(DISTINCT, np.int64)),
        (
            "copies of half the rows",
            rng.integers(DISTINCT // 2, size=DISTINCT),
        ),
    ):
        doubled = np.concatenate([distinct, distinct[copied]])
        others = np.setdiff1d(np.arange(DISTINCT), copied)
        others = np.sort(rng.permutation(others)[:1_000])

        def recall(rows: Vectors, method: Any, others: Any = others) -> float:
            return float(Truth(rows, others).recall(method(rows)[others]))

        methods = {OWN: _block_join}
        methods |= {p.name: partial(_best_built, p) for p in contestants if p.name == "faiss HNSW"}
        for method, run in methods.items():
            before, after = recall(distinct, run), recall(doubled, run)
            goals.append(
                (
                    f"4. 50% duplicates ({name}), {method}",
                    "falls by <= .01" if method == OWN else "for comparison",
                    f"{before:.4f} to {after:.4f}",
                    verdict(before - after <= 0.01) if method == OWN else "-",
                )
            )
    return goals


def _block_join(X: Vectors) -> Any:
    graph = SimilarityGraph.from_vectors(X, k=K, metric="l2", method="block_join", threads=1)
    return graph.neighbors


def _best_built(peer: Peer, X: Vectors) -> Any:
    labels = peer.find(peer.build(X, peer.settings[-1]), X, slice(None), 40, K + 1)
    return without_itself(labels, np.arange(len(X)), K)


def plot(results: dict[str, list[Entry]], file: str) -> str:
    """Draw recall against CPU time, one panel for each set of vectors."""
    figure, axes = pyplot.subplots(1, len(results), figsize=(5 * len(results), 4.2), squeeze=False)
    methods = sorted({e.method for entries in results.values() for e in entries})
    colors = {method: f"C{at}" for at, method in enumerate(methods)}
    for axis, (name, entries) in zip(axes[0], results.items(), strict=True):
        for method in methods:
            points = sorted((e.recall, e.cpu) for e in entries if e.method == method)
            mine = method == OWN
            axis.plot(
                *zip(*points, strict=True),
                marker="o",
                color="black" if mine else colors[method],
                linewidth=2.5 if mine else 1.2,
                label=method,
            )
        axis.set(title=name, xlabel=f"recall of the {K} nearest", yscale="log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("{x:g}")
        axis.grid(alpha=0.3, which="both")
    axes[0][0].set_ylabel("CPU seconds, one thread")
    axes[0][-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    return save(figure, file)


def how_run(began: str, missing: list[str]) -> str:
    """Return the command, the machine, the versions and what was left out."""
    command = shlex.join([Path(__file__).name, *sys.argv[1:]])
    return (
        f"`python benchmarks/{command}`: {os.cpu_count()} cores, load average {began} before and "
        f"{load()} after, Python {platform.python_version()}, {versions()}. Left out: "
        f"{', '.join(missing) or 'nothing'}."
    )


def told(notes: list[str]) -> str:
    """Return what the table of the race holds."""
    return (
        f"k = {K}, Euclidean, one thread, compilation left out; {'; '.join(notes)}. "
        "~: whole build, the search of 1,000 rows scaled up; otherwise medians of full runs."
    )


def race_table(results: dict[str, list[Entry]]) -> str:
    """Return the table of the race."""
    head = ["data", "recall asked", "method", "setting", "recall", "CPU s", "wall s"]
    rows = [row for name, entries in results.items() for row in construction_rows(name, entries)]
    return table([*head, "CPU, in assay's", "runs"], rows)


def write_race(
    results: dict[str, list[Entry]], notes: list[str], missing: list[str], began: str
) -> None:
    """Write the page of a race without the other goals."""
    parts = ("# The race of the graphs", how_run(began, missing), told(notes), race_table(results))
    write("graph_race.md", "\n\n".join((*parts, plot(results, "graph_race.png"))) + "\n")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=200_000, help="rows of the generated set")
    parser.add_argument("--million", action="store_true", help="build 1M rows too (goal 2)")
    parser.add_argument("--peers", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--scale", action="store_true", help="no race: scale and algorithms only")
    parser.add_argument("--race", default="", help="the race alone, on these sets of vectors")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="for repeats, per set")
    options = parser.parse_args()
    contestants, missing = peers(options.peers)
    began = load()
    with threadpool_limits(1):
        sample = generated(3_000)
        own_graph(generated(20_000), K, 0.9)
        for peer in contestants:
            peer.find(peer.build(sample, peer.settings[0]), sample, slice(None), 16, K + 1)
        available = {
            "cifar10": ("cifar10 60k x 192", cifar10),
            "resnet18": ("ADBench resnet18 5k x 512", resnet18),
            "generated": (
                f"generated {options.size // 1000}k x 128",
                partial(generated, options.size),
            ),
            "texts": (f"texts {TEXTS // 1000}k x 128", partial(texts, TEXTS)),
        }
        asked = options.race.split(",") if options.race else ["cifar10", "resnet18", "generated"]
        if unknown := set(asked) - set(available):
            parser.error(f"--race knows {', '.join(available)}, not {', '.join(unknown)}")
        chosen = [] if options.scale else [available[name] for name in asked]
        sets = {name: make() for name, make in chosen}
        results, notes = {}, []
        for name, X in sets.items():
            (truth, results[name]), spent = timed(
                partial(race, name, X, contestants, options.repeats, options.seconds)
            )
            notes.append(f"{name}: intrinsic dimension {truth.dimension:.1f}")
            say(f"{name}: {spent.wall:.0f} s")
        if options.race:
            write_race(results, notes, missing, began)
            return
        duplicates: Goals = []
        if sets:
            say("duplicates")
            duplicates = duplicate_goals(sets["cifar10 60k x 192"], contestants)
        say("algorithms")
        nodes = generated(ALGORITHM_NODES)
        graph = SimilarityGraph.from_vectors(nodes, k=K, metric="l2", threads=1)
        seconds, absent = compare(graph, options.repeats)
    algorithms, goals = algorithm_goals(seconds)
    goals = speed_goals(results) + scale_goals(options.million) + goals + duplicates
    met = sum(goal[3] == "met" for goal in goals)
    judged = sum(goal[3] != "-" for goal in goals)
    race_told = (
        (told(notes), "## Construction", race_table(results), plot(results, "graph.png"))
        if results
        else (f"k = {K}, Euclidean; the race against other libraries is in graph.md.",)
    )
    write(
        "graph.md" if results else "graph_scale.md",
        "\n\n".join(
            (
                "# The graph of nearest neighbors",
                how_run(began, missing + absent),
                race_told[0],
                f"## Goals: {met} of {judged} met",
                table(["goal", "aim", "found", ""], goals),
                *race_told[1:],
                f"## Algorithms, {ALGORITHM_NODES:,} nodes, {graph.number_of_edges():,} edges",
                algorithms,
            )
        )
        + "\n",
    )


if __name__ == "__main__":
    main()
