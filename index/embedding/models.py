"""What embedders that call a model share: its package, the texts it gets, checks of its vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.index.ngrams._unicode import as_texts
from assay.storage.errors import DependencyError, InputError

_CHUNK = 1 << 20


def optional_module(name: str, extra: str) -> Any:
    """Import a module of an extra; raise `DependencyError` where its package is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The package {error.name!r} is needed here and not installed; run "
            f"`pip install 'assay-curation[{extra}]'`."
        ) from error


def encode_present(
    texts: Any,
    encode: Callable[[list[str]], Any],
    *,
    dimensions: int | None,
    normalize: bool,
    source: str,
) -> np.ndarray:
    """Return float32[n, d]: `encode` of the texts that are not blank, zeros for the others.

    Parameters
    ----------
    texts : sequence of str or None, pyarrow array, polars Series
    encode : callable
        Takes a list of texts, returns one vector each.
    dimensions : int or None
        Length that the vectors must have, where it is known; without it, an empty input has
        length 0.
    normalize : bool
        Scale rows to length 1.
    source : str
        Who made the vectors, for error messages.

    Raises
    ------
    InputError
        The texts are no strings, or the vectors are not one finite row of equal length each.
    """
    column = as_texts(texts)
    blank = pl.Series(column).str.strip_chars().str.len_bytes().fill_null(0).to_numpy() == 0
    rows = np.flatnonzero(~blank)
    if not len(rows):
        return np.zeros((len(column), dimensions or 0), np.float32)
    vectors = checked(encode(column.take(rows).to_pylist()), len(rows), dimensions, source)
    if normalize:
        lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
        vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    if len(rows) == len(column):
        return vectors
    out = np.zeros((len(column), vectors.shape[1]), np.float32)
    out[rows] = vectors
    return out


def checked(vectors: Any, n: int, dimensions: int | None, source: str) -> np.ndarray:
    """Return vectors as float32[n, dimensions], or raise `InputError`."""
    try:
        array = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source} returned what is no array of numbers: {error}.") from None
    wanted = (n, dimensions if dimensions is not None else array.shape[-1] if array.ndim else 0)
    if array.shape != wanted:
        raise InputError(f"{source} returned vectors of shape {array.shape}, not {wanted}.")
    if not np.isfinite(array).all():
        raise InputError(f"{source} returned NaN or infinite values.")
    return array


def fingerprint_of(description: dict[str, Any], files: Iterable[Path] = ()) -> str:
    """Return 32 hex digits of BLAKE2b over a JSON description and the bytes of files."""
    digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for path in files:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                digest.update(part)
    return digest.hexdigest()
