"""What the sections of the benchmark of judging share: goals, scores of one run, rank means."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from common.report import verdict
from numpy.typing import NDArray
from scipy.stats import rankdata

from assay.selection import registry

Floats = NDArray[np.float64]


class Section(NamedTuple):
    """A part of the report: its goals (goal, aim, found, verdict) and its text."""

    goals: list[tuple[str, str, str, str]]
    text: str


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


def goal(name: str, aim: str, found: str, met: bool) -> tuple[str, str, str, str]:
    """Return a line of the table of goals."""
    return name, aim, found, verdict(met)


def scorers(*, labels: bool) -> list[str]:
    """Return the registry's scorers that need labels, or those that need graph or vectors alone."""
    usable = {"texts", "graph", "labels"} if labels else {"vectors", "graph"}
    return [
        entry.name
        for entry in registry.entries("scorer")
        if set(entry.needs) <= usable and ("labels" in entry.needs) is labels
    ]


def scored(name: str, X: Any, y: Any, graph: Any, probabilities: Any = None) -> Floats:
    """Return a scorer's scores, turned so that higher = easier."""
    make = registry.get(name, "scorer")
    takes = "probabilities" in inspect.signature(make).parameters
    options = {"probabilities": probabilities} if takes and probabilities is not None else {}
    found = make(**options).fit(X, y, graph=graph)
    return found.scores_ if make.points == "easier" else -found.scores_


def rank_mean(scores: Sequence[Floats]) -> Floats:
    """Return the mean of the ranks that several scores give."""
    return np.mean([rankdata(score) for score in scores], axis=0)
