"""Reports: tables, plots, goals, the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
RESULTS = Path(__file__).resolve().parents[1] / "results"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def verdict(met: bool) -> str:
    """Return how a goal came out."""
    return "met" if met else "**not met**"


def machine() -> str:
    """Return the machine and the versions that decide, in one line."""
    packages = ("data-selection", "nltk", "regex", "numpy", "numba", "polars", "scikit-learn")
    told = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {told}"


def write(name: str, text: str) -> None:
    """Print a report and write it into the folder of results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)


def save(figure: Any, name: str) -> str:
    """Write a figure into the folder of results; return the Markdown that shows it."""
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / name, dpi=110, metadata={"Software": None})
    return f"![{name}]({name})"
