"""Vectors in memory-mapped files: read piece by piece, each let go before the next."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.storage.disk.pages import mapping, release
from assay.storage.disk.refusals import reserve

Vectors = NDArray[np.float32]

_CHUNK = 65_536
_PIECES = 16


def take_rows(X: Vectors, which: NDArray[np.int64], out: Vectors | None = None) -> Vectors:
    """Return X[which], into `out` if given; of mapped files only small parts are in memory."""
    mapped = mapping(X)
    if out is None and mapped is None:
        return np.asarray(X[which])
    taken = np.empty((len(which), X.shape[1]), X.dtype) if out is None else out
    written = mapping(taken)
    for begin in range(0, len(which), _CHUNK):
        part = which[begin : begin + _CHUNK]
        # in order of place, so that a piece lies in one part of the file
        for piece in np.array_split(np.argsort(part, kind="stable"), _PIECES):
            taken[begin + piece] = X[part[piece]]
            release(mapped)
        release(written)
    return taken


def ordered_rows(
    X: Vectors, order: NDArray[np.int64], changed: Callable[[Vectors], Vectors] = np.asarray
) -> Vectors:
    """Return ``changed(X)[order]`` for an order of all rows, which are read once, from the first on."""
    mapped = mapping(X)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    out = np.empty(X.shape, changed(X[:0]).dtype)
    for begin in range(0, len(X), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        out[place[part]] = changed(X[part])
        release(mapped)
    return out


def scratch_room(
    shape: tuple[int, int], dtype: DTypeLike, directory: str | Path | None
) -> NDArray[Any]:
    """Return room for an array of zeros in a nameless file, gone with the array."""
    with tempfile.TemporaryFile(prefix="assay-", dir=directory) as file:
        room = np.memmap(file, dtype, "w+", shape=shape)
        reserve(file.fileno())
    return room
