"""Communities by label propagation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.algorithms.centrality import IndexArray
from assay.storage.compiling import njit
from assay.storage.errors import InputError
from assay.storage.limits import Whole, check_parameters


def label_propagation(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating] | None = None,
    *,
    random_state: int = 0,
    max_sweeps: int = 100,
) -> NDArray[np.int32]:
    r"""Give every node the label that carries most weight among its neighbors.

    :math:`l_i = \arg\max_l \sum_j w_{ij} [l_j = l]`. Nodes start with labels of their own and are
    visited one after the other until all agree; a node whose label is among the best keeps it, and
    otherwise takes the best label that comes first in a fixed random order.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself.
    weights : float array, optional
        Not negative (default: 1).
    random_state : int, default 0
        Chooses the order of visits and of labels.
    max_sweeps : int, default 100
        At most so many visits per node on average. Without it visits end as well, since the weight
        between equal labels grows with every change.

    Returns
    -------
    int32[n]
        Community of each node: 0, 1, ... in order of each community's first node.

    Raises
    ------
    ConfigError
        max_sweeps out of range.
    InputError
        Negative weights.

    Notes
    -----
    Only neighbors of changed nodes are visited again: a few passes over the edges in all. Memory:
    30 bytes per node.

    References
    ----------
    Raghavan, Albert and Kumara, "Near linear time algorithm to detect community structures in
    large-scale networks", Physical Review E 76, 2007.

    Examples
    --------
    Two pairs:

    >>> label_propagation(np.array([0, 1, 2, 3, 4]), np.array([1, 0, 3, 2])).tolist()
    [0, 0, 1, 1]
    """
    check_parameters(max_sweeps=(max_sweeps, Whole(1)))
    n = len(indptr) - 1
    data = np.ones(len(indices)) if weights is None else np.asarray(weights, np.float64)
    if (data < 0).any():
        raise InputError("Label propagation needs weights that are not negative.")
    rng = np.random.default_rng(random_state)
    order = rng.permutation(n).astype(np.int32)
    labels = rng.permutation(n).astype(np.int32)
    _propagate(np.asarray(indptr, np.int64), indices, data, order, labels, max_sweeps * n)
    return in_order_of_first(labels)


def in_order_of_first(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Renumber the labels 0, 1, ... in order of first appearance.

    Examples
    --------
    >>> in_order_of_first(np.array([7, 3, 7, 5])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), np.int32)
    numbers[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return numbers[inverse]


@njit(cache=True, nogil=True)
def _propagate(indptr, indices, weights, order, labels, visits):  # type: ignore[no-untyped-def]
    n = len(labels)
    carried = np.zeros(n)
    queue = order.copy()
    waiting = np.ones(n, np.bool_)
    head, length = 0, n
    while length > 0 and visits > 0:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        visits -= 1
        waiting[i] = False
        for e in range(indptr[i], indptr[i + 1]):
            carried[labels[indices[e]]] += weights[e]
        best = labels[i]
        # sums in float64 of few weights: what is not clearly more is equal
        most = carried[best] * (1.0 + 1e-12)
        for e in range(indptr[i], indptr[i + 1]):
            label = labels[indices[e]]
            weight = carried[label]
            if weight > most or (weight == most and best != labels[i] and label < best):
                best, most = label, weight
        for e in range(indptr[i], indptr[i + 1]):
            carried[labels[indices[e]]] = 0.0
        if best != labels[i]:
            labels[i] = best
            for e in range(indptr[i], indptr[i + 1]):
                other = indices[e]
                if labels[other] != best and not waiting[other]:
                    waiting[other] = True
                    at = head + length
                    queue[at if at < n else at - n] = other
                    length += 1
