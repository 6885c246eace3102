"""Checks of vectors and ids that every index makes, and what follows from ids and equal rows."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.vectors.forms import as_array
from assay.storage.disk.pages import mapping, release
from assay.storage.errors import IdError, InputError, NonFiniteError
from assay.storage.hashing.rows import hash_rows, uniform
from assay.storage.limits import check_parameters

Vectors = NDArray[np.float32]

METRICS = ("cosine", "l2", "ip")
_CHUNK = 65_536
# squared lengths whose products and differences float32 holds to its full precision
_LEAST_SQUARE, _MOST_SQUARE = 1e-32, 1e37


def _hint(X: Any, array: NDArray[Any]) -> str:
    """Return what to pass instead, where that can be guessed; else nothing."""
    if isinstance(X, str | PathLike):
        return f" Load the file first: np.load({str(X)[:200]!r})."
    if hasattr(X, "columns"):
        vectors = [name for name in X.columns if np.ndim(next(iter(X[name]), 0)) == 1]
        named = f"frame[{vectors[0]!r}]" if vectors else "assay.index.embed(frame)"
        return f" Of a frame, pass the column of vectors, or its columns of numbers: {named}."
    if array.ndim == 1 and array.dtype.kind in "fiub":
        return " One vector is X[None]."
    return ""


def check_metric(metric: str) -> None:
    """Raise unless `metric` is one of `METRICS`."""
    check_parameters(metric=(metric, *METRICS))


def as_vectors(X: Any, *, ids: Any = None, what: str = "vectors") -> Vectors:
    """Return `X` as a C-contiguous float32 array of finite values; no copy where it is one already.

    A memory-mapped file stays one.

    Parameters
    ----------
    X : array-like of numbers, shape (n, d)
        In any form that `assay.index.vectors.forms.as_array` takes.
    ids : sequence of length n, optional
        Names the rows in the error message (default: their positions).
    what : str
        What the error messages call the array.

    Raises
    ------
    InputError
        Not a two-dimensional array of numbers, no rows or no columns.
    NonFiniteError
        NaN, infinite values, or values too large for float32.

    Examples
    --------
    >>> as_vectors([[1, 2], [3, 4]]).dtype
    dtype('float32')
    >>> as_vectors([[1.0, float("nan")]], ids=["a"])
    Traceback (most recent call last):
    ...
    assay.storage.errors.NonFiniteError: 1 of 1 vectors have NaN or infinite values (or values \
beyond float32): 'a'. Repair or drop these rows.
    """
    array = as_array(X, what)
    if array.ndim != 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"The {what} must be a two-dimensional array of numbers, not of type "
            f"{type(X).__name__} with shape {array.shape} and dtype {array.dtype}.{_hint(X, array)}"
        )
    if 0 in array.shape:
        raise InputError(f"The {what} have shape {array.shape}: give at least one row and column.")
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(array, dtype=np.float32)
    finite = finite_rows(vectors)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        named = ids is not None and len(ids) == len(vectors)
        names = [repr(ids[int(i)] if named else int(i)) for i in bad[:5]]
        more = ", ..." if len(bad) > len(names) else ""
        raise NonFiniteError(
            f"{len(bad)} of {len(vectors)} {what} have NaN or infinite values (or values beyond "
            f"float32): {', '.join(names)}{more}. Repair or drop these rows."
        )
    return vectors


def finite_rows(vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which rows hold finite values only; a mapped file is read in parts."""
    finite = np.empty(len(vectors), bool)
    mapped = mapping(vectors)
    for begin in range(0, len(vectors), _CHUNK):
        finite[begin : begin + _CHUNK] = np.isfinite(vectors[begin : begin + _CHUNK]).all(axis=1)
        release(mapped)
    return finite


def fits_float32(longest: float, metric: str, *, rough: bool) -> bool:
    """Return whether keys of rows up to the squared length `longest` can be held in float32.

    `rough` tells whether squared distances are compared in float32; cosines always can be.
    Rows of length 0 always fit.

    Examples
    --------
    >>> fits_float32(1e50, "l2", rough=True), fits_float32(1e50, "cosine", rough=True)
    (False, True)
    """
    if metric == "cosine" or (metric == "l2" and not rough) or longest == 0:
        return True
    return _LEAST_SQUARE <= longest <= _MOST_SQUARE


def check_scale(longest: float, metric: str, *, rough: bool, how: str) -> None:
    """Raise unless `fits_float32`; `how` names what computes in float32, and what would not."""
    if not fits_float32(longest, metric, rough=rough):
        length = longest**0.5
        raise InputError(
            f"The longest row has length {length:.3g}; {how} float32, which holds lengths from "
            f"{_LEAST_SQUARE**0.5:.0e} to {_MOST_SQUARE**0.5:.0e} when they are squared. Divide all "
            f"vectors by {length:.0e}, which changes no order of neighbors."
        )


def check_width(X: Vectors, dimension: int) -> Vectors:
    """Return `X`, whose rows must have `dimension` columns as the indexed vectors have."""
    if X.shape[1] != dimension:
        raise InputError(
            f"There are {X.shape[1]} columns, but the indexed vectors have {dimension}."
        )
    return X


def as_ids(ids: Any, n: int) -> pl.Series | None:
    """Return `ids` as a Polars Series of text, integers in decimal form; None stays None.

    Raises
    ------
    IdError
        Another number of ids than `n`, null, repeated, or neither text nor integers.
    """
    if ids is None:
        return None
    try:
        series = pl.Series("sample_id", ids)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise IdError(f"The ids must be text or integers: {error}.") from None
    if series.dtype == pl.Null and len(series) == 0:
        series = series.cast(pl.String)
    textual = series.dtype in (pl.String, pl.Categorical, pl.Enum)
    if not textual and not series.dtype.is_integer():
        raise IdError(f"The ids must be text or integers, not {series.dtype}.")
    series = series.cast(pl.String)
    if len(series) != n:
        raise IdError(f"There are {len(series)} ids for {n} rows; give one id per row.")
    if series.null_count():
        raise IdError(f"{series.null_count()} of {n} ids are null; give every row an id.")
    repeated = series.filter(series.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        names = ", ".join(map(repr, repeated.head(5)))
        raise IdError(
            f"{len(repeated)} ids occur more than once: {names}{', ...' * (len(repeated) > 5)}. "
            "Make them unique, or leave them out to use positions."
        )
    return series


def find_ids(ids: pl.Series | None, n: int, wanted: Any) -> NDArray[np.bool_]:
    """Mark the rows of n that are `wanted` by id, or by position if there are no ids."""
    if ids is None:
        positions = np.asarray(wanted, dtype=np.int64).ravel()
        unknown = positions[(positions < 0) | (positions >= n)]
        if len(unknown):
            raise IdError(f"There is no position {int(unknown[0])} among {n} rows.")
        marked = np.zeros(n, bool)
        marked[positions] = True
        return marked
    named = pl.Series("sample_id", wanted).cast(pl.String)
    unknown_ids = named.filter(~named.is_in(ids.implode()))
    if len(unknown_ids):
        names = ", ".join(map(repr, unknown_ids.head(5)))
        raise IdError(f"{len(unknown_ids)} ids are not in the index: {names}.")
    return ids.is_in(named.implode()).to_numpy()


def id_order(ids: pl.Series | None, n: int) -> NDArray[np.int64]:
    """Return the positions of the rows in order of id (bytewise), or of position without ids."""
    if ids is None:
        return np.arange(n)
    return ids.arg_sort().to_numpy().astype(np.int64)


def id_noise(ids: pl.Series | None, n: int, seed: int) -> NDArray[np.float64]:
    """Return a number in (0, 1) per row that depends only on its id (or position) and the seed."""
    named = pl.int_range(n, eager=True).cast(pl.String) if ids is None else ids
    return uniform(named, seed)


@dataclass(frozen=True)
class EqualRows:
    """Groups of byte-equal rows, in order of their first members.

    Group g holds `members[starts[g] : starts[g + 1]]`: places in the order given, ascending.
    """

    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    @property
    def first(self) -> NDArray[np.int64]:
        """The first member of each group, which stands for it."""
        return self.members[self.starts[:-1]]


def equal_rows(
    X: Vectors, order: NDArray[np.int64], squares: NDArray[np.float64] | None = None
) -> EqualRows:
    """Group the rows X[order] that are equal to the byte (-0.0 counts as 0.0), by 128-bit hash.

    With `squares`, numbers that are equal for equal rows, only rows that share one are hashed.
    """
    n = len(X)
    suspects = np.arange(n)
    if squares is not None:
        suspects = np.flatnonzero(_repeated(squares)[order])
    hashes = np.empty((len(suspects), 2), np.uint64)
    for begin in range(0, len(suspects), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        # adding zero turns -0.0 into 0.0
        hashes[part] = hash_rows(X[order[suspects[part]]] + np.float32(0.0))
    by_hash = np.lexsort((hashes[:, 1], hashes[:, 0]))
    new = np.ones(len(suspects), bool)
    new[1:] = (hashes[by_hash[1:]] != hashes[by_hash[:-1]]).any(axis=1)
    # the sort is stable, so the first of a run is the group's first member
    first = np.arange(n)
    first[suspects[by_hash]] = suspects[by_hash[new]][np.cumsum(new) - 1]
    members = np.argsort(first, kind="stable")
    starts = np.flatnonzero(
        np.concatenate([[True], first[members[1:]] != first[members[:-1]], [True]])
    )
    return EqualRows(starts, members)


def _repeated(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    order = np.argsort(values)
    same = np.diff(values[order]) == 0
    repeated = np.zeros(len(values), bool)
    repeated[order[1:][same]] = True
    repeated[order[:-1][same]] = True
    return repeated
