"""Where nodes stand in their graph, as vectors: singular directions of its edges or of its walks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh

from assay.index.algorithms.centrality import core_number
from assay.storage.errors import InputError

METHODS = ("spectral", "netmf")
# steps of the walks
WINDOW = 10
# nodes whose walks are counted at most; others get the mean of their neighbors
MOST = 50_000
# up to so many nodes all directions are computed
_SMALL = 400
# columns of the walks that are held at once
_BLOCK = 256


def structure_vectors(
    adjacency: sparse.csr_array,
    dimensions: int = 64,
    method: str = "spectral",
    most: int = MOST,
    order: NDArray[np.integer] | None = None,
) -> NDArray[np.float64]:
    r"""Return a vector for each node that says where it stands in the graph.

    With the degrees D (sums of the weights A), the vectors are :math:`U \sqrt{\Sigma}`, the first singular
    directions of

    .. math::

        D^{-1/2} A D^{-1/2} \quad\text{("spectral"), or}\quad
        \log \max\Bigl(1, \frac{\operatorname{vol}(A)}{T} \sum_{r=1}^{T} (D^{-1} A)^r D^{-1}\Bigr)
        \quad\text{("netmf")}

    with T = 10 steps. Of the first, the directions of the singular value 1 are left out: they only say in
    what component a node is (or on what side of it, where it has no odd cycle), and where there are many
    they are not determined. The second is what DeepWalk, and node2vec at p = q = 1, factorize; it holds on to more
    of small components. In graphs of more than `most` nodes it is computed for the densest k-core of
    at most so many; from there outward, by core number, a node gets the mean of its neighbors that
    have a vector.

    Parameters
    ----------
    adjacency : sparse array of shape (n, n)
        Symmetric, with weights above 0.
    dimensions : int, default 64
        Where there are fewer directions, the rest is 0.
    method : {'spectral', 'netmf'}, default 'spectral'
    most : int, default 50,000
    order : int[n], optional
        The nodes in the order in which sums run, such as that of their ids.

    Returns
    -------
    float64[n, dimensions]
        0 for nodes without an edge. The sign of a direction is free; here its entry of greatest size is
        positive.

    Raises
    ------
    InputError
        The densest core has more than `most` nodes.

    Notes
    -----
    Spectral: O(edges) for each step of a Lanczos iteration, a few for each direction. NetMF: O(n T edges) time, and
    memory for the pairs of nodes that walks join more often than by chance, at worst all.

    References
    ----------
    Qiu et al., "Network embedding as matrix factorization: unifying DeepWalk, LINE, PTE, and node2vec",
    WSDM 2018. Sarkar, Bhagwat, Mukherjee, "Core2vec: a core-preserving feature learning framework for
    networks", 2018, and Salha et al., "A degeneracy framework for scalable graph autoencoders", IJCAI
    2019 (the core first, then outward).

    Examples
    --------
    >>> path = sparse.csr_array(np.diag([1.0, 1, 1, 1], 1) + np.diag([1.0, 1, 1, 1], -1))
    >>> vectors = structure_vectors(path, 4)
    >>> round(float(vectors[0] @ vectors[4]), 2)
    -0.35
    """
    A = sparse.csr_array(adjacency, dtype=np.float64)
    if order is not None:
        vectors = np.empty((A.shape[0], dimensions))
        vectors[order] = structure_vectors(A[order][:, order], dimensions, method, most)
        return vectors
    if method == "spectral":
        root = np.sqrt(np.asarray(A.sum(axis=1)))
        scale = sparse.diags_array(_inverse(root))
        return _leading(sparse.csr_array(scale @ A @ scale), dimensions, _trivial(A, root))
    n = A.shape[0]
    if n <= most:
        return _leading(_walks(A), dimensions)
    cores = core_number(A.indptr, A.indices)
    sizes = np.cumsum(np.bincount(cores)[::-1])[::-1]
    fits = np.flatnonzero(sizes <= most)
    if not len(fits):
        raise InputError(
            f"The densest core of the graph has {sizes[-1]:,} nodes, more than {most:,}; take the method "
            "'spectral'."
        )
    inner = cores >= fits[0]
    out = np.zeros((n, dimensions))
    out[inner] = _leading(_walks(sparse.csr_array(A[inner][:, inner])), dimensions)
    return _outward(A, cores, inner, out)


def joined_vectors(X: NDArray[np.floating], structure: NDArray[np.floating]) -> NDArray[np.float32]:
    """Put vectors of content and of structure side by side, each of length 1, and scale to length 1.

    Examples
    --------
    >>> joined_vectors(np.array([[3.0, 4.0]]), np.array([[2.0]])).astype(float).round(3).tolist()
    [[0.424, 0.566, 0.707]]
    """
    return unit_length(np.hstack([unit_length(X), unit_length(structure)])).astype(np.float32)


def unit_length(X: ArrayLike) -> NDArray[np.float64]:
    """Return the rows scaled to length 1; zero rows stay."""
    rows = np.asarray(X, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def _inverse(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one over each value, 0 of 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _trivial(
    A: sparse.csr_array, root: NDArray[np.float64]
) -> tuple[sparse.csr_array, NDArray[np.float64]]:
    """Return the directions that only say in what component a node is, and their eigenvalues.

    Each component has one of 1; where it has no odd cycle, also one of -1 that tells its two sides apart.
    """
    n = A.shape[0]
    count, component = connected_components(A, directed=False)
    # two copies of the nodes, whose edges change sides: a component without odd cycles falls into two
    _, side = connected_components(sparse.block_array([[None, A], [A, None]]), directed=False)
    split = side[:n] != side[n:]
    sign = np.where(side[:n] < side[n:], 1.0, -1.0)
    nodes = np.arange(n)
    columns = [
        sparse.csr_array((values, (nodes, component)), shape=(n, count))
        for values in (root, root * sign * split)
    ]
    both = sparse.csc_array(sparse.hstack(columns))
    lengths = np.sqrt(np.asarray((both**2).sum(axis=0)))
    kept = lengths > 0
    scaled = both[:, np.flatnonzero(kept)] @ sparse.diags_array(1 / lengths[kept])
    values = np.concatenate([np.ones(count), -np.ones(count)])[kept]
    return sparse.csr_array(scaled), values


def _leading(
    matrix: sparse.csr_array,
    dimensions: int,
    without: tuple[sparse.csr_array, NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    r"""Return :math:`U \sqrt{\Sigma}` of a symmetric matrix, the greatest singular values first.

    `without` are eigenvectors that are left out, with their eigenvalues.
    """
    n = matrix.shape[0]
    wanted = min(dimensions, n)
    Q, of = without or (sparse.csr_array((n, 0)), np.empty(0))
    back = sparse.csr_array(sparse.diags_array(of) @ Q.T) if len(of) else Q.T
    if n <= _SMALL or wanted > n // 2:
        values, vectors = np.linalg.eigh(matrix.toarray() - (Q @ back).toarray())
    else:

        def times(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(matrix @ x.ravel() - Q @ (back @ x.ravel()))

        start = np.random.default_rng(0).normal(size=n)
        operator = LinearOperator((n, n), matvec=times, dtype=np.float64)
        values, vectors = eigsh(operator, wanted, which="LM", v0=start)
    first = np.argsort(-np.abs(values), kind="stable")[:wanted]
    values, vectors = np.abs(values[first]), vectors[:, first]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(wanted)]
    out = np.zeros((n, dimensions))
    out[:, :wanted] = vectors * np.where(largest < 0, -1.0, 1.0) * np.sqrt(values)
    return out


def _walks(A: sparse.csr_array) -> sparse.csr_array:
    """Return the positive logarithms of how often walks join two nodes, over chance."""
    n = A.shape[0]
    degrees = np.asarray(A.sum(axis=1))
    inverse = _inverse(degrees)
    step = sparse.csr_array(sparse.diags_array(inverse) @ A)
    parts = []
    for begin in range(0, n, _BLOCK):
        columns = np.arange(begin, min(begin + _BLOCK, n))
        at = np.zeros((n, len(columns)))
        at[columns, columns - begin] = inverse[columns]
        total = np.zeros_like(at)
        for _ in range(WINDOW):
            at = step @ at
            total += at
        likelier = np.maximum(total * (degrees.sum() / WINDOW), 1.0)
        # of the columns, which are the rows of a symmetric matrix
        parts.append(sparse.csr_array(np.log(likelier).T))
    return sparse.csr_array(sparse.vstack(parts, format="csr")) if parts else A


def _outward(
    A: sparse.csr_array,
    cores: NDArray[np.int32],
    inner: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give nodes outside the core the mean of their neighbors that have a vector, shell by shell."""
    done = inner.copy()
    for shell in np.unique(cores[~inner])[::-1]:
        while True:
            left = np.flatnonzero(~done & (cores >= shell))
            if not len(left):
                break
            links = sparse.csr_array(A[left][:, done])
            total = np.asarray(links.sum(axis=1))
            reached = total > 0
            if not reached.any():
                break
            means = (links @ out[done]) * _inverse(total)[:, None]
            out[left[reached]] = means[reached]
            done[left[reached]] = True
    return out
