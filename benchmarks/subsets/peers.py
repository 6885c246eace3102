"""The selectors of other libraries, and formulations of k-center, for the benchmark of selectors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

PEERS = {"apricot": "apricot-select", "submodlib": "submodlib-py"}


def missing() -> list[str]:
    """Return the distributions of peers that are not installed."""
    return [name for module, name in PEERS.items() if find_spec(module) is None]


def facility_location(
    peer: str, matrix: sparse.csr_matrix, budget: int, repeats: int, limit: float
) -> dict[str, Any]:
    """Choose by a peer's lazy greedy on a sparse matrix, in a process of its own.

    Returns
    -------
    dict
        `cpu` (of each repeat, after a run that compiles), `order` and `gains`; or `limit`, the
        seconds on the clock after which it was stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.npz"
        sparse.save_npz(path, matrix, compressed=False)
        command = [sys.executable, __file__, peer, str(path), str(budget), str(repeats)]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, check=True, timeout=limit, env=os.environ
            )
        except subprocess.TimeoutExpired:
            return {"limit": limit}
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def numpy_k_center(X: NDArray[Any], first: int, budget: int) -> list[int]:
    """Farthest-first with a running minimum of the distances."""
    chosen = [first]
    nearest = ((X - X[first]) ** 2).sum(axis=1)
    while len(chosen) < budget:
        chosen.append(int(nearest.argmax()))
        np.minimum(nearest, ((X - X[chosen[-1]]) ** 2).sum(axis=1), out=nearest)
    return chosen


def matrix_k_center(X: NDArray[Any], first: int, budget: int) -> list[int]:
    """Farthest-first as DeepCore formulates it, in NumPy instead of torch.

    For every center the distances to all rows not yet chosen are computed by a matrix product, kept
    as a row of a budget x n matrix, and entered into a running minimum.
    """
    distances = np.zeros((budget, len(X)), dtype=np.float32)
    nearest = np.full(len(X), np.inf, dtype=np.float32)
    free = np.ones(len(X), dtype=bool)
    chosen = [first]
    while True:
        row = chosen[-1]
        free[row] = False
        if len(chosen) == budget:
            return chosen
        rest = X[free]
        away = (rest * rest).sum(axis=1) + (X[row] * X[row]).sum() - 2 * (rest @ X[row])
        distances[len(chosen) - 1, free] = np.sqrt(np.maximum(away, 1e-12))
        nearest = np.minimum(nearest, distances[len(chosen) - 1])
        nearest[row] = -1
        chosen.append(int(nearest.argmax()))


def _apricot(matrix: sparse.csr_matrix, budget: int) -> tuple[list[int], list[float]]:
    from apricot import FacilityLocationSelection

    found = FacilityLocationSelection(budget, metric="precomputed", optimizer="lazy").fit(matrix)
    return found.ranking.tolist(), found.gains.tolist()


def _submodlib(matrix: sparse.csr_matrix, budget: int) -> tuple[list[int], list[float]]:
    from submodlib import FacilityLocationFunction

    function = FacilityLocationFunction(
        n=matrix.shape[0],
        mode="sparse",
        sijs=matrix,
        num_neighbors=int(np.diff(matrix.indptr).max()),
    )
    found = function.maximize(budget=budget, optimizer="LazyGreedy", show_progress=False)
    return [row for row, _ in found], [gain for _, gain in found]


def main() -> None:
    """Run one peer and tell JSON."""
    import time

    peer, path, budget, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    run = {"apricot": _apricot, "submodlib": _submodlib}[peer]
    matrix = sparse.csr_matrix(sparse.load_npz(path))
    # compiles
    run(sparse.csr_matrix(matrix[:200, :200]), 5)
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        order, gains = run(matrix, budget)
        seconds.append(time.process_time() - began)
    print(json.dumps({"cpu": seconds, "order": order, "gains": gains}))


if __name__ == "__main__":
    main()
