"""The embedder protocol, and vectors for whatever is given."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import InputError, NonFiniteError


@runtime_checkable
class Embedder(Protocol):
    """What turns samples into vectors.

    Any object with these two members is one; it must give a sample the same vector in any batch.
    """

    def encode(self, texts: Any, /) -> np.ndarray:
        """Return float32[n, dimensions], one row per sample."""

    @property
    def fingerprint(self) -> str:
        """Hex digits that change with whatever changes the vectors."""


def embed(X: Any, *, ids: Any = None, dimensions: int = 128, random_state: int = 0) -> np.ndarray:
    """Return float32[n, d] vectors for texts or vectors.

    Texts are embedded by a `HashedTextEmbedder` fitted on them. Vectors are taken as they are.

    Parameters
    ----------
    X : sequence of str or None, pyarrow array or polars Series of strings, or array of shape (n, d)
        Also a polars Series or pyarrow array of fixed-size lists of numbers.
    ids : sequence of str, optional
        Ids of the texts, by which the embedder picks what it is fitted on.
    dimensions : int, default 128
        Length of the vectors of texts; vectors keep theirs.
    random_state : int, default 0
        As in `HashedTextEmbedder`.

    Raises
    ------
    InputError
        X is neither texts nor a two-dimensional array of numbers.
    NonFiniteError
        A vector holds NaN or an infinite value, also after the cast to float32.

    Notes
    -----
    A C-contiguous float32 array is returned itself, not copied. Texts cost what
    `HashedTextEmbedder` costs.

    Examples
    --------
    >>> embed(np.eye(2)).dtype
    dtype('float32')
    >>> embed(["a rose", "a tulip", "a rose"], dimensions=4).shape
    (3, 4)
    """
    matrix = _matrix(X)
    if matrix is None:
        from assay.index.text_embedder import HashedTextEmbedder

        embedder = HashedTextEmbedder(dimensions=dimensions, random_state=random_state)
        return embedder.fit(X, ids=ids).encode(X)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise InputError(
            f"X has shape {matrix.shape} and type {matrix.dtype}; give texts, or numbers of shape "
            "(rows, dimensions)."
        )
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(matrix, dtype=np.float32)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise NonFiniteError(
            f"The vector of row {row} holds NaN or a value beyond float32; drop or repair such rows."
        )
    return vectors


def _matrix(X: Any) -> np.ndarray | None:
    """Return X as an array where it is vectors, None where it is texts."""
    if isinstance(X, pl.Series) and isinstance(X.dtype, pl.Array | pl.List):
        X = X.to_arrow()
    if isinstance(X, pa.ChunkedArray):
        X = X.combine_chunks()
    if isinstance(X, pa.Array):
        return _from_lists(X)
    if isinstance(X, list | tuple) and X and not isinstance(X[0], str | None):
        try:
            return np.asarray(X)
        except ValueError as error:
            raise InputError(f"X is a list of vectors of unlike lengths: {error}.") from error
    shape = getattr(X, "shape", ())
    if len(shape) == 2 or (isinstance(X, np.ndarray) and X.dtype.kind in "biufc"):
        return np.asarray(X)
    return None


def _from_lists(X: pa.Array) -> np.ndarray | None:
    kind = X.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        width = len(X[0]) if len(X) and X[0].is_valid else 0
        try:
            X = X.cast(pa.list_(kind.value_type, width))
        except pa.ArrowInvalid as error:
            raise InputError(f"X holds vectors of unlike lengths: {error}.") from error
    elif not pa.types.is_fixed_size_list(kind):
        return None
    values = X.flatten()
    if X.null_count or values.null_count:
        raise InputError("X holds null vectors or values; drop those rows.")
    return np.asarray(values).reshape(len(X), X.type.list_size)
