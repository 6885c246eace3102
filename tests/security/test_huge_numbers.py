"""Numbers far beyond sense: a method fits with them, or an error says what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.index import SimilarityGraph, VectorIndex
from assay.index.knn.nearest_neighbors import METHODS
from assay.selection import registry
from assay.storage.errors import ConfigError
from assay.storage.limits import Number, Whole
from tests.security.fuzzing import check

HUGE: dict[type, tuple[Any, ...]] = {
    Whole: (2**63, 10**30),
    Number: (1e300, 1e-300, 2**63, 10**400),
}
CASES = [
    (entry.kind, entry.name, name, value)
    for kind in ("selector", "scorer", "ranker", "step")
    for entry in registry.entries(kind)
    for name, limits in registry.get(entry.name, kind).limits.items()
    for limit in limits
    for value in HUGE.get(type(limit), ())
]


@pytest.mark.parametrize(("kind", "name", "parameter", "value"), CASES)
def test_huge_numbers_are_refused_or_mean_as_much_as_there_is(
    kind: str, name: str, parameter: str, value: Any, tmp_path: Path
) -> None:
    assert check("options", (kind, name, {parameter: value}), tmp_path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("given", [{"k": 2**31}, {"k": 2**63}, {"k": 3, "threads": 2**63}])
def test_graphs_refuse_huge_numbers(method: str, given: dict[str, int]) -> None:
    X = np.random.default_rng(0).normal(size=(20, 4))
    with pytest.raises(ConfigError, match=r"and <= 1,?\d"):
        SimilarityGraph.from_vectors(X, method=method, **given)


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@pytest.mark.parametrize("given", [{"k": 2**63}, {"k": 3, "probes": 2**63}])
def test_searches_refuse_huge_numbers(kind: str, given: dict[str, int]) -> None:
    X = np.random.default_rng(0).normal(size=(200, 4))
    with pytest.raises(ConfigError, match=r"and <= 1,?\d"):
        VectorIndex(kind=kind).build(X).search(X[:2], **given)


def test_what_a_graph_makes_refuses_huge_numbers() -> None:
    X = np.random.default_rng(0).normal(size=(20, 4))
    graph = SimilarityGraph.from_vectors(X, k=3)
    for make in (
        lambda: graph.structure(2**63),
        lambda: graph.smooth(X, 2**63),
        lambda: graph.layout(dims=2**63),
        lambda: graph.layout(epochs=2**63),
    ):
        with pytest.raises(ConfigError, match=r"and <= 1"):
            make()
