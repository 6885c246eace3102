"""What the native functions take as weights and hand back as values of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.nx.graph import CSRGraph


def not_negative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights, where none is negative or NaN."""
    if not (weights >= 0).all():
        raise NotImplementedError("Weights are negative or NaN.")
    return weights


def by_node(graph: CSRGraph, values: NDArray[Any]) -> dict[Any, Any]:
    """Return the value of each node under its name."""
    return dict(zip(graph.nodes, values.tolist(), strict=True))
