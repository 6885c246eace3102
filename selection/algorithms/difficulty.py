"""How difficult rows are, and which of the most difficult are cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from assay.selection.contract.inputs import Floats, Graph, Inputs, Labels, Rows
from assay.selection.contract.outcomes import Outcome
from assay.storage.errors import MissingInputError

# so many rows' lists are in memory at a time
_ROWS = 16_384


def knn_density(graph: Graph) -> Floats:
    """Return each row's similarity to the last of its k nearest neighbors.

    A row without neighbors gets the lowest of the others, as `last_similarities` says.
    """
    return last_similarities(graph)[0]


def last_similarities(graph: Graph) -> tuple[Floats, NDArray[np.bool_]]:
    """Return each row's similarity to its last neighbor, and whether it has one.

    Rows without neighbors get the lowest similarity of the others, 0 where no row has any. Lists
    are read some rows at a time.
    """
    n = len(graph.indptr) - 1
    last, listed = np.zeros(n), np.zeros(n, bool)
    for begin in range(0, n, _ROWS):
        rows = slice(begin, min(n, begin + _ROWS))
        neighbors, similarities = graph.lists_of(rows)
        counts = (np.asarray(neighbors) >= 0).sum(axis=1)
        last[rows] = similarities[np.arange(len(counts)), np.maximum(counts, 1) - 1]
        listed[rows] = counts > 0
    last[~listed] = last[listed].min() if listed.any() else 0.0
    return last, listed


def label_agreement(graph: Graph, labels: Labels) -> tuple[Floats, int]:
    """Return the agreement of every row, and how many rows have no labeled neighbor."""
    codes = labels.codes
    labeled = codes >= 0
    n = len(codes)
    shares = np.bincount(codes[labeled], minlength=len(labels.classes)) / labeled.sum()
    chance = np.append(shares, shares @ shares)[codes]
    of_row = np.repeat(codes, np.diff(graph.indptr))
    of_neighbor = codes[graph.indices]
    weights = np.maximum(graph.weights, 0).astype(np.float64)
    weights[of_neighbor < 0] = 0
    one = np.ones(n)

    def row_sums(values: Floats) -> Floats:
        return np.asarray(csr_matrix((values, graph.indices, graph.indptr), shape=(n, n)) @ one)

    total = row_sums(weights)
    same = row_sums(np.where(of_neighbor == of_row, weights, 0.0))
    judged = (total > 0) & labeled
    scores = np.divide(same, total, out=chance, where=judged)
    return scores, int(n - (total > 0).sum())


def cutoff_share(cutoff: Any, share: float, difficulty: str = "scores") -> float:
    """Return the share to cut off when `share` of the pool is kept.

    `difficulty` says where that comes from, as `difficulty_of` does.
    """
    if isinstance(cutoff, str) and cutoff == "auto":
        if difficulty == "knn_density":
            return 0.0
        if difficulty == "label_agreement":
            return 0.0 if share >= 0.5 else 0.1 if share > 0.1 else 0.3
        return min(0.3, (1 - share) / 3)
    return float(cutoff)


def share_of(count: int, n: int) -> float:
    """Return the cutoff at which `cut_rows` takes `count` of n rows.

    Examples
    --------
    >>> int(49 * share_of(29, 49))
    29
    """
    return (count + 0.5) / n if count < n else count / n


def cut_rows(
    difficulty: Floats, cutoff: float, budget: int, covered: NDArray[np.bool_] | None = None
) -> Rows:
    """Return the hardest rows, ascending, but leave at least `budget`; of equal ones the first.

    So many rows are left beside the covered ones, which are among the hardest as any other.
    """
    n_cut = min(int(len(difficulty) * cutoff), len(difficulty) - budget)
    if n_cut > 0 and covered is not None and covered.any():
        hardest = np.argsort(-difficulty, kind="stable")
        free_cut = np.cumsum(~covered[hardest])
        spare = int((~covered).sum()) - budget
        n_cut = min(n_cut, int(np.searchsorted(free_cut, spare, side="right")))
    if n_cut <= 0:
        return np.empty(0, dtype=np.int64)
    threshold = -np.partition(-difficulty, n_cut - 1)[n_cut - 1]
    harder = np.flatnonzero(difficulty > threshold)
    tied = np.flatnonzero(difficulty == threshold)[: n_cut - len(harder)]
    return np.sort(np.concatenate([harder, tied]))


def cut_outcome(difficulty: Floats, ranks: Rows, cut: Rows) -> tuple[Outcome, float | None]:
    """Return why rows were cut, and the least difficulty among them."""
    threshold = float(difficulty[cut].min()) if len(cut) else None
    detail = {
        "value": difficulty[cut],
        "threshold": np.full(len(cut), threshold, dtype=np.float64),
        "rank": ranks[cut],
    }
    return Outcome(cut, "cutoff", "hard_cutoff", detail), threshold


def difficulty_of(inputs: Inputs, asked_by: str) -> tuple[Floats, str]:
    """Return the difficulty of every row (higher = harder) and where it came from."""
    if inputs.scores is not None:
        return inputs.scores, "scores"
    if inputs.graph is None:
        raise MissingInputError(
            f"{asked_by} needs a difficulty: pass scores (higher = harder), or "
            "graph=SimilarityGraph.from_vectors(X, ids=ids), with labels y where there are some."
        )
    if inputs.labels is not None:
        return 1 - label_agreement(inputs.graph, inputs.labels)[0], "label_agreement"
    assert inputs.given_graph is not None
    return -inputs.in_order(knn_density(inputs.given_graph)), "knn_density"
