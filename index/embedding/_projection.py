"""Singular directions of sparse weights, and the kernel that projects n-grams on them."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64
from scipy.sparse import csr_array

from assay.index.threads import one_thread
from assay.index.vectors._row_sums import add_products, add_rows
from assay.storage.compiling import njit

# Subspace iteration: extra dimensions and rounds. More change no neighbors that matter.
_EXTRA = 32
_ROUNDS = 3
# Directions whose singular value is a smaller share of the largest are rounding errors.
_NEGLIGIBLE = 1e-5
# rows of the directions that are computed at a time
_BLOCK = 4_096
# whole numbers of a byte on each side of 0
_LEVELS = 127
# a count of terms below this has its logarithm from a table
_FEW = 64


@njit(cache=True, nogil=True)
def project(indptr, buckets, columns, factors, levels, out):  # type: ignore[no-untyped-def]
    """Fill each row of the zeroed `out` with its weights times `levels`, scaled to length 1.

    ``columns[bucket]`` is the term of a bucket, -1 where it counts for nothing. The weight of a term is
    1 + log its count, times its float32 factor. Terms are added in the order of their first appearance
    in the row.
    """
    counts = np.zeros(factors.size, np.int32)
    logs = np.empty(_FEW)
    for count in range(1, _FEW):
        logs[count] = 1.0 + math.log(float64(count))
    longest = 0
    for row in range(indptr.size - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    kept_terms = np.empty(longest, np.int32)
    weights = np.empty(longest, np.float32)
    for row in range(indptr.size - 1):
        terms = 0
        for j in range(indptr[row], indptr[row + 1]):
            term = columns[buckets[j]]
            if term >= 0:
                if counts[term] == 0:
                    kept_terms[terms] = term
                    terms += 1
                counts[term] += 1
        for j in range(terms):
            term = kept_terms[j]
            count = counts[term]
            log = logs[count] if count < _FEW else 1.0 + math.log(float64(count))
            weights[j] = float32(log * factors[term])
            counts[term] = 0
        add_rows(kept_terms, weights, terms, levels, out[row])
        square = 0.0
        for k in range(out.shape[1]):
            square += float64(out[row, k]) * float64(out[row, k])
        if square > 0.0:
            scale = float32(1.0 / math.sqrt(square))
            for k in range(out.shape[1]):
                out[row, k] *= scale


def rounded(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int8[terms, dimensions] and float32[terms], whose product the directions nearly are.

    Each row is divided by a 127th of its entry of largest magnitude and rounded.
    """
    scales = np.maximum(directions.max(axis=1), -directions.min(axis=1)) / np.float32(_LEVELS)
    divisors = np.where(scales > 0, scales, np.float32(1))[:, None]
    levels = np.empty(directions.shape, np.int8)
    for first in range(0, len(directions), _BLOCK):
        part = slice(first, first + _BLOCK)
        levels[part] = np.clip(np.rint(directions[part] / divisors[part]), -_LEVELS, _LEVELS)
    return levels, scales


def singular_directions(
    weights: csr_array, dimensions: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading right singular vectors as float32[terms, dimensions], and their values.

    Subspace iteration keeps an orthonormal basis on the side of the documents, which is the short
    one; the directions come from a small eigenproblem at the end.
    """
    n, terms = weights.shape
    out = np.zeros((terms, dimensions), np.float32)
    values = np.zeros(dimensions)
    size = min(dimensions + _EXTRA, n, terms)
    if not weights.nnz:
        return out, values
    # one room for every product on the side of the terms: new memory costs more than the sums
    room = np.empty((terms, size))
    narrow = room.reshape(-1).view(np.float32)[: room.size].reshape(room.shape)
    with one_thread():
        transposed = weights.T.tocsr()
        basis = np.random.default_rng(seed).standard_normal((n, size))
        onto = np.empty((n, size), np.float32)
        for _ in range(_ROUNDS):
            inner = _product(transposed, basis.astype(np.float32), narrow)
            basis = _orthonormal(_product(weights, inner, onto))
        projected = _product(transposed, _orthonormal(basis), room)
        squares, mixture = np.linalg.eigh(projected.T @ projected)
        squares = np.maximum(squares[::-1][:dimensions], 0)
        kept = int((squares > squares[0] * _NEGLIGIBLE**2).sum())
        values[:kept] = np.sqrt(squares[:kept])
        _fill_directions(projected, mixture[:, ::-1][:, :kept] / values[:kept], out[:, :kept])
    return out, values


def _orthonormal(matrix: np.ndarray) -> np.ndarray:
    """Return a basis, float64, of what the columns of a tall matrix span.

    By the eigenvectors of its Gram matrix, which take less work than a QR decomposition. Columns that
    only rounding errors tell apart come out shorter. Done twice, the basis is orthonormal to the last
    digits.
    """
    columns = matrix.astype(np.float64)
    squares, mixture = np.linalg.eigh(columns.T @ columns)
    least = squares[-1] * np.finfo(np.float64).eps
    return np.asarray(columns @ (mixture / np.sqrt(np.maximum(squares, least))))


def _fill_directions(projected: np.ndarray, mixture: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` with ``projected @ mixture``; a column's entry of largest magnitude is positive."""
    columns = mixture.shape[1]
    block = np.empty((_BLOCK, columns))
    largest, smallest = np.full(columns, -np.inf), np.full(columns, np.inf)
    for first in range(0, len(projected), _BLOCK):
        rows = projected[first : first + _BLOCK]
        part = np.matmul(rows, mixture, out=block[: len(rows)])
        np.maximum(largest, part.max(axis=0), out=largest)
        np.minimum(smallest, part.min(axis=0), out=smallest)
        out[first : first + _BLOCK] = part
    out *= np.where(largest >= -smallest, np.float32(1), np.float32(-1))


def _product(sparse: csr_array, matrix: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return ``sparse @ matrix``, in `out`, in less than half of the time that SciPy takes."""
    out[:] = 0
    rows = np.ascontiguousarray(matrix)
    add_products(sparse.indptr, sparse.indices, sparse.data, rows, out)
    return out
