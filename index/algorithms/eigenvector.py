"""Eigenvector centrality of an undirected graph, component by component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackError, eigsh

from assay.index.algorithms.centrality import IndexArray, connected_components
from assay.index.threads import one_thread
from assay.storage.errors import ConvergenceError
from assay.storage.limits import Number, check_parameters

# components up to this size are solved densely, all of one size at a time
_DENSE = 48
_RESTARTS = 1_000
# Lanczos vectors kept: fewer cost less memory and, with gaps as in graphs of neighbors, less time
_BASIS = 12


@dataclass(frozen=True)
class EigenvectorCentrality:
    """Result of `eigenvector_centrality`.

    Attributes
    ----------
    scores : float64[n]
        Not negative; of length 1 (square root of the sum of squares), where there is an edge.
    eigenvalues : float64[components]
        The largest eigenvalue of each component, in order of the components' first nodes.
    components : int32[n]
        Component of each node.
    participation : float
        Over how many nodes the scores spread; see `participation_ratio`.
    """

    scores: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    components: NDArray[np.int32]
    participation: float


def participation_ratio(vector: NDArray[np.floating]) -> float:
    r"""Return :math:`(\sum_i x_i^2)^2 / \sum_i x_i^4`: how many entries carry the vector.

    It is n for a constant vector of n entries, 1 for a vector with one entry that is not 0, and 0
    for the zero vector.

    References
    ----------
    Bell and Dean, "Atomic vibrations in vitreous silica", Discussions of the Faraday Society 50,
    1970.

    Examples
    --------
    >>> participation_ratio(np.array([1.0, 1.0, 0.0, 0.0]))
    2.0
    """
    squares = np.square(np.asarray(vector, np.float64))
    total = float(squares.sum())
    return total**2 / float(np.square(squares).sum()) if total > 0 else 0.0


def eigenvector_centrality(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating] | None = None,
    *,
    per_component: bool = True,
    tol: float = 1e-8,
) -> EigenvectorCentrality:
    r"""Score each node by the scores of its neighbors: :math:`\lambda x = A x`.

    The solution of a connected graph with the largest :math:`\lambda` is the only one without
    negative entries. On graphs of nearest neighbors it is mostly carried by one dense cluster: see
    that `participation` is not far below n before ranking nodes by it.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph.
    weights : float array, optional
        Not negative (default: 1).
    per_component : bool, default True
        Every component gets its own solution, with the sum of squares (nodes in it) / n. If False,
        only components of the largest eigenvalue score above 0: the limit of the power iteration
        from equal scores, which is what eigenvector centrality of the whole graph means.
    tol : float, default 1e-8
        ARPACK stops where the length of :math:`A x - \lambda x` is at most `tol` times
        :math:`\lambda`, whatever n is.

    Raises
    ------
    ConfigError
        tol out of range.
    ConvergenceError
        ARPACK did not converge: the largest eigenvalues lie too close together.

    Notes
    -----
    Some hundred products with the matrix (implicitly restarted Lanczos); components up to 48 nodes
    are solved densely. Memory: 12 bytes per entry of the matrix and 130 per node.

    References
    ----------
    Bonacich, "Power and centrality: a family of measures", American Journal of Sociology 92, 1987.
    Lehoucq, Sorensen and Yang, "ARPACK users' guide", SIAM, 1998.

    Examples
    --------
    A path of three nodes:

    >>> indptr, indices = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> found = eigenvector_centrality(indptr, indices)
    >>> found.scores.round(3).tolist(), found.eigenvalues.round(3).tolist()
    ([0.5, 0.707, 0.5], [1.414])
    >>> round(found.participation, 2)
    2.67
    """
    check_parameters(tol=(tol, Number("(0, inf)")))
    n = len(indptr) - 1
    data = np.ones(len(indices)) if weights is None else np.asarray(weights, np.float64)
    # scipy would widen narrow indices to the type of the pointers
    kind = np.int32 if len(indices) < 2**31 else np.int64
    rows = (data, np.asarray(indices, kind), np.asarray(indptr, kind))
    matrix = sparse.csr_array(rows, shape=(n, n))
    component = connected_components(indptr, indices)
    sizes = np.bincount(component)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    order = np.argsort(component, kind="stable")
    if len(sizes) > 1:
        # one block after the other along the diagonal
        matrix = matrix[order][:, order]
    vectors = np.zeros(n)
    values = np.zeros(len(sizes))
    with one_thread("blas"):
        _solve_small(matrix, sizes, starts, vectors, values)
        for c in np.flatnonzero(sizes > _DENSE):
            own = slice(starts[c], starts[c + 1])
            block = matrix if len(sizes) == 1 else matrix[own, own]
            values[c], vectors[own] = _solve_large(block, tol)
    scores = np.empty(n)
    scores[order] = np.abs(vectors)
    if per_component:
        scores *= np.sqrt(sizes / max(n, 1))[component]
        scores[values[component] <= 0] = 0.0
    else:
        scores *= _share_of_leading(scores, component, values, tol)[component]
    return EigenvectorCentrality(scores, values, component, participation_ratio(scores))


def _share_of_leading(
    scores: NDArray[np.float64],
    component: NDArray[np.int32],
    values: NDArray[np.float64],
    tol: float,
) -> NDArray[np.float64]:
    """Return how much of the power iteration's limit lies in each component's unit vector."""
    if not len(values) or values.max() <= 0:
        return np.zeros(len(values))
    leading = values >= values.max() * (1 - 10 * tol)
    along = np.where(leading, np.bincount(component, weights=scores), 0.0)
    share: NDArray[np.float64] = along / np.linalg.norm(along)
    return share


def _solve_small(
    matrix: sparse.csr_array,
    sizes: NDArray[np.int64],
    starts: NDArray[np.int64],
    vectors: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Fill in the leading eigenpairs of all diagonal blocks of 1 to _DENSE nodes."""
    entries = np.diff(matrix.indptr)
    for size in np.unique(sizes[sizes <= _DENSE]):
        blocks = np.flatnonzero(sizes == size)
        nodes = starts[blocks][:, None] + np.arange(size)
        count = entries[nodes].ravel()
        # the entries of all rows of these blocks, one after the other
        ends = np.cumsum(count)
        at = np.arange(ends[-1]) + np.repeat(matrix.indptr[nodes.ravel()] - (ends - count), count)
        row = np.repeat(np.arange(nodes.size), count)
        dense = np.zeros((len(blocks), size, size))
        column = matrix.indices[at] - starts[blocks][row // size]
        dense[row // size, row % size, column] = matrix.data[at]
        eigenvalues, basis = np.linalg.eigh(dense)
        values[blocks] = eigenvalues[:, -1]
        vectors[nodes] = basis[:, :, -1]


def _solve_large(block: sparse.csr_array, tol: float) -> tuple[float, NDArray[np.float64]]:
    size = block.shape[0]
    try:
        value, vector = eigsh(
            block,
            k=1,
            which="LA",
            tol=tol,
            v0=np.full(size, size**-0.5),
            ncv=_BASIS,
            maxiter=_RESTARTS,
        )
    except ArpackError as error:
        raise ConvergenceError(
            f"The eigenvector centrality of a component of {size} nodes did not converge to "
            f"tol={tol!r}; give a larger tol, or use pagerank."
        ) from error
    return float(value[0]), vector[:, 0]
