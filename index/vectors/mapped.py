"""Vectors in memory-mapped files: read piece by piece, each let go before the next."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.storage.disk.pages import mapping, new_mapped, noted, release
from assay.storage.disk.refusals import reserve

Vectors = NDArray[np.float32]

_CHUNK = 65_536
# what is made of more, and of a mapped file, goes into a file
_IN_MEMORY = 2**25
_PIECES = 16
_SAVED = 2**19


def take_rows(
    X: NDArray[Any],
    which: NDArray[np.int64],
    out: NDArray[Any] | None = None,
    changed: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
) -> NDArray[Any]:
    """Return ``changed(X)[which]``, into `out` if given; of mapped files only small parts are in memory."""
    mapped = mapping(X)
    if out is None and mapped is None:
        return np.asarray(changed(X[which]))
    taken = np.empty((len(which), *X.shape[1:]), changed(X[:0]).dtype) if out is None else out
    written = mapping(taken)
    for begin in range(0, len(which), _CHUNK):
        part = which[begin : begin + _CHUNK]
        # in order of place, so that a piece lies in one part of the file
        for piece in np.array_split(np.argsort(part, kind="stable"), _PIECES):
            taken[begin + piece] = changed(X[part[piece]])
            release(mapped)
        release(written)
    return taken


def ordered_rows(
    X: NDArray[Any],
    order: NDArray[np.int64],
    changed: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
) -> NDArray[Any]:
    """Return ``changed(X)[order]`` for an order of all rows; `changed` sees some rows at a time.

    A mapped file is read once, from the first row on; of one that is large, in a nameless file.
    """
    mapped = mapping(X)
    if is_large(X):
        return take_rows(X, order, room_beside(X, X.shape, changed(X[:0]).dtype), changed)
    out = np.empty(X.shape, changed(X[:0]).dtype)
    parts = [slice(begin, begin + _CHUNK) for begin in range(0, len(X), _CHUNK)]
    if mapped is None:
        for part in parts:
            out[part] = changed(X.take(order[part], axis=0))
        return out
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    for part in parts:
        out[place[part]] = changed(X[part])
        release(mapped)
    return out


def column_ranges(X: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least and the largest value of each column; a mapped file is read in parts."""
    sides = []
    for begin in range(0, len(X), _CHUNK):
        part = X[begin : begin + _CHUNK]
        sides.append((part.min(axis=0), part.max(axis=0)))
        release(mapping(X))
    lows, highs = zip(*sides, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def is_large(X: NDArray[Any]) -> bool:
    """Return whether an array is in a mapped file, and is not to be copied into memory."""
    return X.nbytes > _IN_MEMORY and mapping(X) is not None


def room_beside(X: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return room for what is made of `X`: in a nameless file if `is_large`, else in memory."""
    return np.asarray(scratch_room(shape, dtype, None)) if is_large(X) else np.empty(shape, dtype)


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return the parts one after the other; of mapped files that are large together, in a file."""
    size = sum(part.nbytes for part in parts)
    if size <= _IN_MEMORY or any(mapping(part) is None for part in parts):
        return np.concatenate(parts)
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    room = np.asarray(scratch_room(shape, parts[0].dtype, None))
    end = 0
    for part in parts:
        begin, end = end, end + len(part)
        room[begin:end] = part
        release(mapping(part))
        release(mapping(room))
    return room


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `np.save` does; of a mapped one small parts are in memory at a time."""
    if not is_large(array):
        np.save(path, array)
        return
    saved = new_mapped(path, array.dtype, array.shape)
    for begin in range(0, len(array), _SAVED):
        part = slice(begin, begin + _SAVED)
        saved[part] = array[part]
        release(mapping(array))
        release(saved)
    saved.flush()


def scratch_room(
    shape: tuple[int, ...], dtype: DTypeLike, directory: str | Path | None
) -> NDArray[Any]:
    """Return room for an array of zeros in a nameless file, gone with the array."""
    with tempfile.TemporaryFile(prefix="assay-", dir=directory) as file:
        room: NDArray[Any] = noted(np.memmap(file, dtype, "w+", shape=shape))
        reserve(file.fileno())
    return room
