"""Vectors on disk in float32, or in half or a quarter of its size, by one reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.checks import Vectors
from assay.index.vectors.mapped import scratch_room
from assay.index.vectors.rotation import rotate
from assay.storage.disk.pages import mapping, new_mapped, open_mapped, release

STORAGES = ("float32", "float16", "int8")
"""How vectors are stored: as they are, in half their size, in a quarter."""

_WHOLE, _CODES, _SCALES = "vectors.npy", "codes.npy", "scales.npy"
_BLOCK = 65_536
# more is decoded into a file, so that it is in memory only where it is used
_IN_MEMORY = 2**26
_LARGEST = 127
# so few bits of a scale that its product with any code is exact
_DROPPED = np.uint32(7)


def storage_of(folder: Path) -> str:
    """Return how the vectors in a folder are stored."""
    if not (folder / _CODES).exists():
        return "float32"
    return str(open_mapped(folder / _CODES).dtype)


def store_vectors(folder: Path, storage: str) -> None:
    """Replace the float32 `vectors.npy` of a folder by what `read_vectors` reads in its place.

    Each row is coded on its own as a multiple of its greatest coordinate: float16 with a power of two
    as scale, int8 after a fixed rotation. Coding what was decoded gives the same codes.

    Parameters
    ----------
    folder : Path
    storage : {"float32", "float16", "int8"}
        float32 leaves the file as it is.
    """
    if storage == "float32":
        return
    X = open_mapped(folder / _WHOLE)
    dtype = np.dtype(storage)
    codes = new_mapped(folder / _CODES, dtype, X.shape)
    scales = np.empty(len(X), np.float32)
    for begin in range(0, len(X), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        codes[part], scales[part] = encode(np.asarray(X[part]), storage)
        release(mapping(X))
    codes.flush()
    np.save(folder / _SCALES, scales)
    # Windows removes no file that is mapped
    del X, codes
    (folder / _WHOLE).unlink()


def read_vectors(folder: Path) -> Vectors:
    """Return the vectors in a folder, float32[n, d], in a mapped file where they are many.

    What was stored in float16 or int8 is decoded.
    """
    if not (folder / _CODES).exists():
        whole: Vectors = open_mapped(folder / _WHOLE)
        return whole
    codes, scales = open_mapped(folder / _CODES), np.load(folder / _SCALES)
    if codes.size * 4 <= _IN_MEMORY:
        return decode(np.asarray(codes), scales)
    vectors: Vectors = scratch_room(codes.shape, np.float32, None)
    for begin in range(0, len(codes), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        vectors[part] = decode(np.asarray(codes[part]), scales[part])
        release(mapping(codes))
        release(mapping(vectors))
    return vectors


def read_rows(folder: Path, rows: NDArray[np.integer]) -> Vectors:
    """Return some of the vectors in a folder, in memory."""
    if not (folder / _CODES).exists():
        return np.asarray(open_mapped(folder / _WHOLE)[rows])
    codes, scales = open_mapped(folder / _CODES), np.load(folder / _SCALES)
    return decode(np.asarray(codes[rows]), scales[rows])


def encode(X: Vectors, storage: str) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    """Return the codes of rows, float16 or int8 [n, d], and their scales float32[n].

    Examples
    --------
    >>> X = np.array([[0.3, -0.4], [0.0, 0.0]], np.float32)
    >>> codes, scales = encode(X, "int8")
    >>> bool(np.abs(decode(codes, scales) - X).max() < 0.003)
    True
    """
    turned = rotate(X) if storage == "int8" else X
    largest = np.abs(turned).max(axis=1, initial=0.0).astype(np.float32)
    scales = _powers(largest) if storage == "float16" else _rounded(largest / np.float32(_LARGEST))
    inverse = np.divide(1.0, scales, out=np.zeros(len(scales)), where=scales > 0)
    # in float64, where the quotient of a product by its factor is the other one
    codes = turned * inverse[:, None]
    if storage == "int8":
        codes = np.rint(codes).clip(-_LARGEST, _LARGEST)
    return codes.astype(storage), scales


def decode(codes: NDArray[np.generic], scales: NDArray[np.float32]) -> Vectors:
    """Return the rows that codes stand for, float32[n, d]."""
    rows = codes.astype(np.float32) * scales[:, None]
    return rotate(rows, back=True) if codes.dtype == np.int8 else rows


def _powers(largest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return powers of two that are not above the numbers, nor half of them; 0 for 0."""
    exponents = np.frexp(largest)[1]
    return np.where(largest > 0, np.ldexp(np.float32(1.0), exponents - 1), 0).astype(np.float32)


def _rounded(scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest numbers with 17 bits."""
    half, kept = np.uint32(1 << 6), np.uint32(0xFFFFFFFF) << _DROPPED
    bits = scales.astype(np.float32).view(np.uint32)
    return ((bits + half) & kept).view(np.float32)
