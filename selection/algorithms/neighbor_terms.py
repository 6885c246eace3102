"""What a row's neighbors in the similarity graph say of it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from assay.selection.contract.inputs import Floats, Graph, Inputs, Labels

_BLOCK = 65_536


def typicality(inputs: Inputs) -> Floats:
    """Return the inverse of each row's mean distance to its neighbors; see `Typicality`."""
    assert inputs.graph is not None
    distances = inputs.graph_distances().astype(np.float64)
    if inputs.metric == "cosine":
        distances = np.sqrt(np.maximum(2 * distances, 0))
    listed = np.asarray(inputs.graph.neighbors) >= 0
    counts = listed.sum(axis=1)
    sums = np.where(listed, np.maximum(distances, 0), 0.0).sum(axis=1)
    means = np.maximum(sums / np.maximum(counts, 1), 1e-6)
    return np.asarray(np.where(counts > 0, 1 / means, 0.0))


def with_labels(probabilities: Floats, labels: Labels) -> Floats:
    """Return a copy of the class probabilities in which a labeled row is of its class for certain."""
    known = probabilities.copy()
    labeled = np.flatnonzero(labels.codes >= 0)
    known[labeled] = 0
    known[labeled, labels.codes[labeled]] = 1
    return known


def neighbor_weights(graph: Graph) -> csr_matrix:
    """Return the symmetrized graph as a matrix; negative similarities count as 0."""
    weights = np.maximum(graph.weights, 0).astype(np.float64)
    n = len(graph.indptr) - 1
    return csr_matrix((weights, graph.indices, graph.indptr), shape=(n, n))


def information_radius(graph: Graph, classes: Floats) -> Floats:
    r"""Return how far each row's neighbors are of different classes, from 0 to 1.

    .. math:: g_i = \frac{H(\sum_j w_{ij} q_j) - \sum_j w_{ij} H(q_j)}{\log C}

    the Jensen-Shannon divergence of the neighbors' class probabilities q, weighted by their
    similarities w, which sum to 1, over its bound with C classes. It is 0 where all neighbors are
    of one class, and where nothing is known of any; it is high where they are surely of different
    ones. 0 for rows without neighbors.

    Parameters
    ----------
    graph
    classes : float64[n, C]
        Class probabilities, C >= 2.
    """
    W = neighbor_weights(graph)
    sums = np.asarray(W.sum(axis=1)).ravel()
    n, count = classes.shape
    own = np.empty(n)
    for start in range(0, n, _BLOCK):
        own[start : start + _BLOCK] = _entropy(classes[start : start + _BLOCK])
    mean_of_entropies = (W @ own) / np.where(sums > 0, sums, 1)
    radius = np.empty(n)
    for start in range(0, n, _BLOCK):
        rows = slice(start, start + _BLOCK)
        mean = (W[rows] @ classes) / np.where(sums[rows] > 0, sums[rows], 1)[:, None]
        radius[rows] = _entropy(mean) - mean_of_entropies[rows]
    return np.asarray(np.where(sums > 0, np.clip(radius / np.log(count), 0, 1), 0.0))


def _entropy(probabilities: Floats) -> Floats:
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(np.einsum("ij,ij->i", probabilities, -logs))
