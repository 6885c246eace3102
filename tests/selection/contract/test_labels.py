"""Classes that are numbers with fractions are classes as any others, in scorers and selectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.selection import registry
from assay.selection.registry import Entry

N = 80
Y = np.repeat([0.5, 1.5], N // 2)
METHODS = [
    entry
    for kind in ("scorer", "selector")
    for entry in registry.entries(kind)
    if "labels" in entry.needs + entry.uses
]


def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(N // 2, 4)), rng.normal(size=(N // 2, 4)) + 2])


def result(entry: Entry, y: Any, names: tuple[str, str] = ("0.5", "1.5")) -> np.ndarray:
    """Return what a method gives: scores, or the rows chosen."""
    X = rows()
    options: dict[str, Any] = {"budget": 10} if entry.kind == "selector" else {}
    given: dict[str, Any] = {}
    if "log" in entry.needs:
        p = np.random.default_rng(1).random((3, N))
        options["log"] = pl.DataFrame(
            {
                "sample_id": [str(row) for row in range(N)] * 3,
                "epoch": np.repeat([1, 2, 3], N),
                names[0]: p.ravel(),
                names[1]: 1 - p.ravel(),
            }
        )
        given["ids"] = [str(row) for row in range(N)]
    if entry.name == "bandit":
        given["scores"] = X[:, 0]
    if "seeds" in entry.needs:
        options["seeds"] = ["0"]
    graph = SimilarityGraph.from_vectors(X, k=8, metric="l2")
    fitted = entry.load()(**options).fit(X, y, graph=graph, **given)
    return np.asarray(fitted.scores_ if entry.kind == "scorer" else fitted.indices_)


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)
def test_numbers_with_fractions_are_classes(entry: Entry) -> None:
    labels = Y.copy()
    if entry.covers_labeled:  # which leaves rows without a label to choose from
        labels[::2] = np.nan
    none = [None if np.isnan(label) else label for label in labels]
    text = [None if label is None else str(label) for label in none]
    expected = result(entry, text)
    assert len(expected) in (10, N)
    for same in (labels, none, pl.Series(none), labels.astype(np.float32)):
        np.testing.assert_array_equal(result(entry, same), expected)
    # not their whole parts: 0.25 and 0.75 are two classes
    close = [None if label is None else label / 2 for label in none]
    np.testing.assert_array_equal(result(entry, close, ("0.25", "0.75")), expected)
