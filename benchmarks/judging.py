"""Scores and groups that judge samples: label errors, outliers, duplicates, leakage, difficulty.

    python benchmarks/judging.py [--sections labels outliers duplicates leakage] [--rows 5000]

Every labeled and every label-free scorer of the registry runs, beside cleanlab, scikit-learn and
datasketch on the same data. Prints a report and writes it, with a plot, to `results/judging.md`.
Data: `ASSAY_TEST_DATA`, else `shared/data` beside the repository. Peers that aren't installed are
left out. `--rows` makes all data sets smaller, to try it out. Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from common import fast_blas  # noqa: F401
from common.report import save, table, write
from judges.goals import Section
from matplotlib import pyplot
from sklearn.exceptions import ConvergenceWarning

SECTIONS = ("labels", "leakage", "duplicates", "outliers")


def load() -> str:
    """Return the load averages, where the system tells them."""
    return ", ".join(f"{x:.1f}" for x in os.getloadavg()) if hasattr(os, "getloadavg") else "?"


def versions() -> str:
    """Return the versions that decide."""
    told = []
    for name in ("numpy", "numba", "polars", "scikit-learn", "cleanlab", "datasketch"):
        try:
            told.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            told.append(f"no {name}")
    return ", ".join(told)


def plot(columns: Any, plain: Any, doubled: Any) -> str:
    """Draw the AUROC of label scores and of outlier scores."""
    figure, axes = pyplot.subplots(1, 2, figsize=(13, 5.5))
    if columns:
        kinds = list(columns)
        first = columns[kinds[0]]
        names = sorted(first, key=first.__getitem__)
        for at, kind in enumerate(kinds):
            axes[0].plot(
                [columns[kind][n] for n in names], range(len(names)), "os^"[at], label=kind
            )
        axes[0].set_yticks(range(len(names)), names, fontsize=7)
        axes[0].set(xlabel="AUROC, mislabeled rows of CIFAR-10N")
        axes[0].legend(fontsize=8)
    if plain:
        names = sorted(plain, key=lambda n: np.mean(list(plain[n].values())))
        for marker, results, name in (("o", plain, "as they are"), ("x", doubled, "half doubled")):
            means = [np.mean(list(results[n].values())) for n in names]
            axes[1].plot(means, range(len(names)), marker, label=name)
        axes[1].set_yticks(range(len(names)), names, fontsize=7)
        axes[1].set(xlabel="mean AUROC, anomalies of ADBench")
        axes[1].legend(fontsize=8)
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    return save(figure, "judging.png")


def report(parts: dict[str, Section], picture: str, about: str, rows: int | None) -> None:
    """Write what there is so far."""
    goals = sorted((line for part in parts.values() for line in part.goals), key=lambda g: g[0][:2])
    met, judged = (sum(g[3] == "met" for g in goals), sum("met" in g[3] for g in goals))
    left_out = [name for name in SECTIONS if name not in parts]
    about += f" Not run: {', '.join(left_out)}." if left_out else ""
    about += f" A trial with {rows:,} rows of every data set." if rows else ""
    texts = [part.text for part in parts.values()]
    title = f"## Goals: {met} of {judged} met"
    head = ("goal", "aim", "found", "")
    pieces = ["# Judging samples", about, title, table(head, goals), picture, *texts]
    write("judging.md", "\n\n".join(piece for piece in pieces if piece) + "\n")


def main() -> None:
    """Measure, print and write, anew after each section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rows", type=int, help="rows of every data set, for a trial")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="Duplicate values")
    before, began = load(), time.process_time()
    parts: dict[str, Section] = {}
    pictures: dict[str, Any] = {}
    for name in (section for section in SECTIONS if section in options.sections):
        parts[name], *pictures[name] = import_module(f"judges.{name}").section(options.rows)
        about = (
            f"`python benchmarks/judging.py`: {os.cpu_count()} cores, load average {before} before "
            f"and {load()} after, {time.process_time() - began:.0f} CPU s, Python "
            f"{platform.python_version()}, {versions()}."
        )
        (columns,) = pictures.get("labels", [None])
        plain, doubled = pictures.get("outliers", [None, None])
        picture = plot(columns, plain, doubled) if columns or plain else ""
        report(parts, picture, about, options.rows)


if __name__ == "__main__":
    main()
