"""Speed of rankers and of what one could use instead, in CPU seconds of one thread."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from importlib import import_module
from time import process_time
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.feature_selection import f_classif, mutual_info_classif

from assay.selection import registry
from assay.selection.rankers.chance_information import CorrectedInformation
from assay.selection.rankers.distance_correlation import class_distance_correlation
from assay.selection.rankers.ecfs import ECFS, leading_eigenvector
from assay.selection.rankers.inf_fs import InfFS
from assay.selection.tables.relevance import column_relevance

Floats = NDArray[np.float64]


class Race(NamedTuple):
    """One line of the table: seconds of ours and of theirs (None: not installed)."""

    what: str
    ours: float
    peer: str
    theirs: float | None

    @property
    def ratio(self) -> float | None:
        """How many times longer theirs takes."""
        return None if self.theirs is None else self.theirs / self.ours


def best_of(call: Callable[[], Any], times: int = 3) -> float:
    """Return the least CPU seconds of some calls."""
    spent = []
    for _ in range(times):
        before = process_time()
        call()
        spent.append(process_time() - before)
    return min(spent)


def sample(n: int, d: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Return columns of different spread, a tenth of which tell two classes apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    X = rng.standard_normal((n, d)) * rng.uniform(0.5, 2.0, d)
    X[:, : d // 10] += y[:, None]
    return X, y


def eigenvector_seconds(d: int) -> float:
    """Return the time of the eigenvector of a graph of d columns."""
    rng = np.random.default_rng(0)
    u, s = rng.random(d), rng.random(d)
    return best_of(lambda: leading_eigenvector(u, s, 0.5))


def ecfs_seconds(n: int, d: int) -> float:
    """Return the time of ECFS from table to ranking."""
    X, y = sample(n, d)
    return best_of(lambda: ECFS().fit(X, y))


def pyifs_seconds(X: Floats, y: NDArray[np.int64]) -> float | None:
    """Return the time of PyIFS, given the two imports that it lacks."""
    try:
        module = import_module("PyIFS.InfFS")
    except ImportError:
        return None
    module.math, module.stats = math, stats  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return best_of(lambda: module.InfFS().infFS(X, 2 * y - 1, 0.5, True, False), 1)


def networkx_seconds(X: Floats, y: NDArray[np.int64]) -> float:
    """Return the time to build ECFS's graph and to solve it in networkx."""

    def solve() -> Any:
        figures = column_relevance(X, y)
        u = (1 - 1 / (1 + figures.fisher) + figures.mutual_information) / 2
        K, S = np.outer(u, u), np.maximum.outer(figures.deviation, figures.deviation)
        unit = [(M - M.min()) / (M.max() - M.min()) for M in (K, S)]
        graph = nx.from_numpy_array(0.5 * unit[0] + 0.5 * unit[1])
        return nx.eigenvector_centrality_numpy(graph, weight="weight")

    return best_of(solve, 1)


def peers(n: int = 500, d: int = 1000) -> list[Race]:
    """Return ECFS against what else ranks columns, on one table."""
    X, y = sample(n, d)
    what = f"ECFS, {n} x {d:,}"
    ours = best_of(lambda: ECFS().fit(X, y), 5)
    supervised = best_of(lambda: InfFS(supervised=True).fit(X, y), 5)
    pyifs = pyifs_seconds(X, y)
    information = best_of(lambda: mutual_info_classif(X, y, random_state=0), 1)
    return [
        Race(what, ours, "PyIFS, supervised, with the imports it lacks", pyifs),
        Race(f"Inf-FS supervised, {n} x {d:,}", supervised, "PyIFS, supervised", pyifs),
        Race(what, ours, "graph built and solved in networkx", networkx_seconds(X, y)),
        Race(what, ours, "scikit-learn mutual_info_classif", information),
        Race(what, ours, "scikit-learn f_classif", best_of(lambda: f_classif(X, y), 5)),
    ]


def outrank() -> list[Race]:
    """Return OutRank's score against its authors' compiled function, on codes."""
    try:
        module = import_module("outrank.algorithms.feature_ranking.ranking_mi_numba")
        theirs = module.mutual_info_estimator_numba
    except ImportError:
        theirs = None
    races = []
    for n, levels, columns in ((10_000, 8, 100), (10_000, 200, 50), (100_000, 50, 20)):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, n)
        X = rng.integers(0, levels, (columns, n)).astype(np.int32)
        label = y.astype(np.int32)
        spent = None
        if theirs is not None:
            theirs(label, X[0], np.float32(1.0), True)  # compiles

            def all_columns(X: Any = X, label: Any = label) -> None:
                for column in X:
                    theirs(label, column, np.float32(1.0), True)

            spent = best_of(all_columns)
        for mode, title in (("shift", "the authors' draw"), ("expected", "the mean of all draws")):
            ours = best_of(lambda m=mode, y=y, X=X: CorrectedInformation(y, m).of(X))
            what = f"OutRank's score, {title}, {n:,} rows, {levels} levels, {columns} columns"
            races.append(Race(what, ours, "OutRank's own Numba", spent))
    return races


def direct_distance_correlation(X: Floats, y: NDArray[np.int64]) -> Floats:
    """Return the distance correlation of each column with the classes from its definition."""
    other = np.not_equal.outer(y, y).astype(np.float64)

    def centered(a: Floats) -> Floats:
        return a - a.mean(axis=0) - a.mean(axis=1)[:, None] + a.mean()

    B = centered(other)
    result = np.empty(X.shape[1])
    for j in range(X.shape[1]):
        A = centered(np.abs(np.subtract.outer(X[:, j], X[:, j])))
        result[j] = np.sqrt((A * B).sum() / np.sqrt((A * A).sum() * (B * B).sum()))
    return result


def distance_correlation(n: int = 400, d: int = 200) -> Race:
    """Return the closed form against the definition."""
    X, y = sample(n, d)
    theirs = best_of(lambda: direct_distance_correlation(X, y))
    ours = best_of(lambda: class_distance_correlation(X, y), 5)
    difference = np.abs(class_distance_correlation(X, y) - direct_distance_correlation(X, y)).max()
    assert difference < 1e-10
    return Race(f"distance correlation, {n} x {d}", ours, "its definition in NumPy", theirs)


def every_ranker(n: int = 500, d: int = 1000) -> list[list[str]]:
    """Return the time of each ranker on one table."""
    X, y = sample(n, d)
    rows = []
    for entry in registry.entries("ranker"):
        make = registry.get(entry.name, "ranker")
        seconds = best_of(lambda make=make: make(n_features_to_select=50).fit(X, y), 1)
        rows.append([entry.name, f"{seconds:.3f}"])
    return rows
