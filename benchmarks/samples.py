"""The selectors of samples against the libraries one could pick instead, and at a million rows.

    python benchmarks/samples.py [--graph FOLDER] [--rows 1000000] [--repeats 3]

Facility location runs on one sparse graph (cosine, k = 10, generated vectors of 64 columns) in
assay, apricot-select and submodlib, each lazily; k-center against a running minimum in NumPy and
against DeepCore's formulation. Times are CPU seconds of one thread, medians, without compilation;
those of assay are of the whole `fit`. Prints a report and writes it, with a plot, to
`results/samples.md`. Data: `ASSAY_TEST_DATA`, else `shared/data` beside the repository. `--graph`
is a folder with a saved graph of the rows, which is built where it is not given. Peers that aren't
installed are left out.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from common import fast_blas  # noqa: F401
from common.process import output_alone
from common.report import save, table, verdict, write
from graphs.vectors import cifar10, generated
from matplotlib import pyplot
from scipy import sparse
from subsets.peers import facility_location, matrix_k_center, missing, numpy_k_center
from threadpoolctl import threadpool_limits

from assay.index import SimilarityGraph
from assay.selection import FacilityLocationSelector, KCenterSelector
from assay.selection.algorithms.set_functions import similarities

K = 10
PEER_LIMIT = 60.0
# shares of a row's least edge that pairs without an edge count as
ELSEWHERE = (0.0, 0.5, 1.0)
Goals = list[tuple[str, str, str, str]]
Bars = list[tuple[str, str, float]]


def seconds(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the median of CPU seconds, and the last result."""
    spent = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        spent.append(time.process_time() - began)
    return statistics.median(spent), result


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def load() -> str:
    """Return the load averages, where the system tells them."""
    return ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"


def with_itself(graph: SimilarityGraph) -> sparse.csr_matrix:
    """Return the matrix on which assay's objective is defined, for the peers."""
    indptr, indices, weights, own = similarities(graph)
    edges = sparse.csr_matrix((weights, indices, indptr), shape=(len(own), len(own)))
    matrix = sparse.csr_matrix(edges.astype(np.float64) + sparse.diags(own.astype(np.float64)))
    matrix.sort_indices()
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return matrix


def against_libraries(repeats: int, absent: list[str]) -> tuple[list[list[str]], Goals, Bars]:
    """Return the rows of facility location, with goals and bars."""
    rows: list[list[str]] = []
    goals: Goals = []
    bars: Bars = []
    runs = {2_000: ("apricot", "submodlib"), 10_000: ("apricot", "submodlib"), 50_000: ("apricot",)}
    for n, names in runs.items():
        say(f"facility location, {n:,} rows")
        graph = SimilarityGraph.from_vectors(generated(n, 64), k=K, threads=1)
        matrix, budget = with_itself(graph), n // 10
        mine, ours = seconds(
            lambda g=graph, b=budget: FacilityLocationSelector(budget=b).fit(graph=g), 3 * repeats
        )
        gains = ours.scores_[ours.indices_]
        rows.append([f"{n:,}", "assay", f"{mine:.4f}", "", "", ""])
        bars.append((f"facility location {n // 1000}k", "assay", mine))
        for name in names:
            if any(name in distribution for distribution in absent):
                continue
            told = facility_location(name, matrix, budget, repeats if n < 50_000 else 1, PEER_LIMIT)
            least = {"apricot": 100, "submodlib": 300}[name]
            if "limit" in told:
                found = f"stopped after {told['limit']:.0f} s on the clock"
                rows.append([f"{n:,}", name, found, "", "", ""])
                goals.append((f"1. {name}, {n:,} rows", f">= {least} x", found, "-"))
                continue
            cpu = statistics.median(told["cpu"])
            away = float(np.abs(np.array(told["gains"]) - gains).max())
            same = len(np.intersect1d(told["order"], ours.indices_)) / budget
            rows.append(
                [f"{n:,}", name, f"{cpu:.3f}", f"{cpu / mine:.0f}", f"{away:.1e}", f"{same:.2%}"]
            )
            bars.append((f"facility location {n // 1000}k", name, cpu))
            goals.append(
                (
                    f"1. facility location against {name}, {n:,} rows",
                    f">= {least} x",
                    f"{cpu / mine:.0f} x",
                    verdict(cpu >= least * mine),
                )
            )
            goals.append(
                (
                    f"1. gains equal to those of {name}, {n:,} rows",
                    "<= 1e-6",
                    f"{away:.1e}",
                    verdict(away <= 1e-6),
                )
            )
    return rows, goals, bars


def dense_share() -> Goals:
    """Return how good the choice on the graph is by the dense objective, on 10,000 images."""
    say("dense objective")
    X = cifar10()[:10_000]
    graph = SimilarityGraph.from_vectors(X, k=15, metric="l2", weights="self_tuning", threads=1)
    scale = graph.distances()[:, 6]
    lengths = np.einsum("ij,ij->i", X, X)
    dense = np.maximum(lengths[:, None] + lengths[None] - 2 * (X @ X.T), 0)
    np.divide(dense, scale[:, None] * scale[None], out=dense)
    np.exp(-dense, out=dense)
    np.fill_diagonal(dense, 1)
    best = np.zeros(len(X), dtype=np.float32)
    heap = [(-float(gain), row, 0) for row, gain in enumerate(dense.sum(axis=0, dtype=np.float64))]
    heapq.heapify(heap)
    taken = 0
    while taken < 1_000:
        _, row, known = heap[0]
        if known == taken:
            heapq.heappop(heap)
            np.maximum(best, dense[row], out=best)
            taken += 1
        else:
            gain = float(np.maximum(dense[row] - best, 0).sum(dtype=np.float64))
            heapq.heapreplace(heap, (-gain, row, taken))
    of_dense = float(best.sum(dtype=np.float64))
    random = np.random.default_rng(0).permutation(len(X))[:1_000]
    of_random = float(dense[random].max(axis=0).sum(dtype=np.float64))
    goals = []
    for elsewhere in ELSEWHERE:
        selector = FacilityLocationSelector(budget=1_000, elsewhere=elsewhere).fit(graph=graph)
        of_graph = float(dense[selector.indices_].max(axis=0).sum(dtype=np.float64))
        share = of_graph / of_dense
        found = f"{share:.2%} ({of_graph:.1f} of {of_dense:.1f}; random {of_random:.1f})"
        name = f"1. dense objective, 10k, k = 15, elsewhere {elsewhere:g}"
        goals.append((name, ">= 99.5%", found, verdict(share >= 0.995)))
    return goals


def k_center(repeats: int) -> tuple[list[list[str]], Goals, Bars]:
    """Return the rows of k-center, with goals and bars."""
    rows: list[list[str]] = []
    goals: Goals = []
    bars: Bars = []
    KCenterSelector(budget=2, metric="l2").fit(np.eye(3))
    pools = {
        "CIFAR-10 10k x 192": (cifar10()[:10_000], 1_000),
        "generated 10k x 64": (generated(10_000, 64), 1_000),
        "generated 50k x 64": (generated(50_000, 64), 1_000),
    }
    for name, (X, budget) in pools.items():
        say(f"k-center, {name}")
        mine, ours = seconds(
            lambda X=X, b=budget: KCenterSelector(budget=b, metric="l2").fit(X), repeats
        )
        first = int(ours.indices_[0])
        work = f"{ours.report_['distances']:.0%}"
        rows.append([name, f"{budget:,}", "assay", f"{mine:.3f}", "", "", work])
        bars.append((f"k-center {name}", "assay", mine))
        exact = numpy_k_center(X.astype(np.float64), first, budget) == ours.indices_.tolist()
        for peer, run, least in (
            ("NumPy running minimum", numpy_k_center, 8),
            ("DeepCore's formulation", matrix_k_center, 40),
        ):
            if len(X) > 10_000 and run is matrix_k_center:
                continue
            cpu, order = seconds(lambda X=X, b=budget, run=run, f=first: run(X, f, b), 1)
            same = float(np.mean(np.array(order) == ours.indices_))
            rows.append(
                [
                    name,
                    f"{budget:,}",
                    peer,
                    f"{cpu:.3f}",
                    f"{cpu / mine:.0f}",
                    f"{same:.1%}",
                    "100%",
                ]
            )
            bars.append((f"k-center {name}", peer, cpu))
            goals.append(
                (
                    f"1. k-center against {peer}, {name}",
                    f">= {least} x",
                    f"{cpu / mine:.1f} x",
                    verdict(cpu >= least * mine),
                )
            )
        told = "identical" if exact else "differs"
        goals.append((f"1. k-center order, {name}, float64", "identical", told, verdict(exact)))
    return rows, goals, bars


def million(folder: Path, repeats: int) -> tuple[list[list[str]], Goals]:
    """Return the rows and goals of large pools, each selector in a process of its own."""
    rows: list[list[str]] = []
    goals: Goals = []
    for name, limit in (("facility_location", 5), ("d2", 2), ("ccs", 1)):
        say(f"{name}, large")
        one_thread = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        told = json.loads(
            output_alone("subsets.million", folder.resolve(), name, repeats, **one_thread)
        )
        rows.append(
            [
                name,
                f"{told['rows']:,}",
                f"{told['chosen']:,}",
                f"{told['cpu']:.2f}",
                f"{told['peak'] / 1e9:.2f}",
                f"{(told['peak'] - told['loaded']) / 1e9:.2f}",
            ]
        )
        goals.append(
            (
                f"1. {name}, {told['rows']:,} rows, 10%",
                f"<= {limit} s",
                f"{told['cpu']:.2f} s",
                verdict(told["cpu"] <= limit),
            )
        )
        goals.append(
            (
                f"1. memory of {name}, graph and process included",
                "<= 1 GB",
                f"{told['peak'] / 1e9:.2f} GB",
                verdict(told["peak"] <= 1e9),
            )
        )
    return rows, goals


def plot(bars: Bars) -> str:
    """Draw the CPU seconds of every method."""
    groups = list(dict.fromkeys(group for group, _, _ in bars))
    methods = list(dict.fromkeys(method for _, method, _ in bars))
    figure, axis = pyplot.subplots(figsize=(10, 4.2))
    for at, method in enumerate(methods):
        told = {group: cpu for group, name, cpu in bars if name == method}
        places = [groups.index(group) + (at - 2) * 0.16 for group in told]
        color = "black" if method == "assay" else f"C{at}"
        axis.bar(places, list(told.values()), width=0.15, label=method, color=color)
    axis.set_xticks(range(len(groups)), [g.replace(" ", "\n", 1) for g in groups], fontsize=8)
    axis.set(yscale="log", ylabel="CPU seconds, one thread")
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8)
    figure.tight_layout()
    return save(figure, "samples.png")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graph", type=Path, help="folder of a saved graph of the large pool")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large pool")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    began, absent = load(), missing()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as scratch:
        folder = options.graph or Path(scratch)
        if options.graph is None:
            say(f"graph of {options.rows:,} rows")
            X = generated(options.rows, 64)
            SimilarityGraph.from_vectors(X, k=K, target_recall=0.9).save(folder)
            del X
        large, memory_goals = million(folder, options.repeats)
        lazily, goals, bars = against_libraries(options.repeats, absent)
        goals += dense_share()
        centers, more, other_bars = k_center(options.repeats)
    goals += more + memory_goals
    there = [x for x in ("apricot-select", "submodlib-py") if x not in absent]
    packages = ("numpy", "numba", "scipy", *there)
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    met, judged = (sum(g[3] == "met" for g in goals), sum(g[3] != "-" for g in goals))
    write(
        "samples.md",
        "\n\n".join(
            (
                "# Selectors of samples",
                f"`python benchmarks/{Path(__file__).name}`: {os.cpu_count()} cores, load average "
                f"{began} before and {load()} after, Python {platform.python_version()}, "
                f"{versions}. Left out: {', '.join(absent) or 'nothing'}.",
                "CPU seconds of one thread, medians, compilation left out; those of assay are of "
                "the whole `fit` (checks, choice, what every row would add, report).",
                f"## Goals: {met} of {judged} met",
                table(["goal", "aim", "found", ""], goals),
                "## Facility location on one sparse graph, 10%",
                table(
                    ["rows", "library", "CPU s", "times assay", "gains differ", "same rows"], lazily
                ),
                "## k-center",
                "The first row is the same for all. Peers compute in float32, so that near ties may "
                "come out differently; the goal compares with NumPy in float64.",
                table(
                    ["data", "budget", "method", "CPU s", "times assay", "same place", "distances"],
                    centers,
                ),
                "## A large pool, graph given, 10%",
                table(
                    ["selector", "rows", "chosen", "CPU s", "peak GB", "above the loaded graph GB"],
                    large,
                ),
                plot(bars + other_bars),
            )
        )
        + "\n",
    )


if __name__ == "__main__":
    main()
