"""How far two embedders agree about the same rows: their neighbors, and their inner products."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from assay.index.algorithms.structure import unit_length
from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.storage.errors import InputError
from assay.storage.limits import SEED, Whole, check_parameters

_BLOCK = 1_024


class Agreement(NamedTuple):
    """How far two embeddings of the same rows agree.

    Attributes
    ----------
    neighbors : float
        Mean Jaccard index of the two lists of nearest rows: 1 the same lists, 0 no row in common.
    cka : float
        Linear centered kernel alignment, from 0 to 1; 1 where one is the other turned or scaled.
    rows : int
        Rows that were compared.
    k : int
        Length of the lists.
    """

    neighbors: float
    cka: float
    rows: int
    k: int


def embedder_agreement(
    X: Any,
    Z: Any,
    *,
    ids: Any = None,
    k: int = 15,
    sample: int = 5_000,
    random_state: int = 0,
) -> Agreement:
    r"""Compare two embeddings of the same rows by their neighbors and by linear CKA.

    .. math::
        J = \frac1m \sum_i \frac{|N_i \cap M_i|}{|N_i \cup M_i|}, \qquad
        \mathrm{CKA} = \frac{\lVert \tilde Z^\top \tilde X \rVert_F^2}
        {\lVert \tilde X^\top \tilde X \rVert_F \lVert \tilde Z^\top \tilde Z \rVert_F}

    with the k rows nearest to row i under the cosine, N by X and M by Z, and centered rows of length 1.
    Worth a look before an embedder is replaced or fitted anew: selections move where neighbors do.

    Parameters
    ----------
    X : array of shape (n, d)
    Z : array of shape (n, e)
        The other vectors of the same rows, in the same order.
    ids : n unique texts or whole numbers, optional
    k : int, default 15
        As of the similarity graph.
    sample : int, default 5,000
        Rows that are compared among themselves, those whose ids hash smallest.
    random_state : int, default 0

    Returns
    -------
    Agreement

    Raises
    ------
    InputError
        The two differ in rows, or there are no more than k of them.

    Notes
    -----
    Time O(sample^2 (d + e)), memory O(sample (d + e)). Among a sample neighbors lie farther apart than
    in the pool.

    References
    ----------
    Kornblith et al., "Similarity of neural network representations revisited", 2019 (CKA).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> same = embedder_agreement(X, 3 * X[:, ::-1])
    >>> round(same.neighbors, 6), round(same.cka, 6)
    (1.0, 1.0)
    """
    check_parameters(k=(k, Whole(1)), sample=(sample, Whole(2)), random_state=(random_state, *SEED))
    first, second = Inputs(X=X, ids=ids), Inputs(X=Z, ids=ids)
    if first.n != second.n:
        raise InputError(
            f"X has {first.n} rows and Z has {second.n}; give both vectors of the same rows."
        )
    rows = np.argsort(first.noise(random_state, "agreement"), kind="stable")[:sample]
    if len(rows) <= k:
        raise InputError(f"Lists of {k} neighbors need more than {k} rows, not {len(rows)}.")
    with one_thread("blas"):
        A, B = (unit_length(each.vectors()[rows]) for each in (first, second))
        near, other = _nearest(A, k), _nearest(B, k)
        cka = _alignment(A, B)
    common = (near[:, :, None] == other[:, None, :]).sum(axis=(1, 2))
    return Agreement(float((common / (2 * k - common)).mean()), cka, len(rows), k)


def _nearest(X: Floats, k: int) -> Rows:
    """Return int64[n, k]: the nearest other rows under the cosine, in no order."""
    nearest = np.empty((len(X), k), dtype=np.int64)
    for start in range(0, len(X), _BLOCK):
        block = X[start : start + _BLOCK] @ X.T
        block[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        nearest[start : start + _BLOCK] = np.argpartition(-block, k - 1, axis=1)[:, :k]
    return nearest


def _alignment(A: Floats, B: Floats) -> float:
    A, B = A - A.mean(axis=0), B - B.mean(axis=0)
    scale = float(np.linalg.norm(A.T @ A) * np.linalg.norm(B.T @ B))
    return float(np.linalg.norm(B.T @ A) ** 2 / scale) if scale > 0 else 0.0
