"""Pages of memory-mapped arrays that are let go."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray


def mapping(X: NDArray[np.generic]) -> np.memmap | None:
    """Return the memory-mapped file behind `X`, None if it is in memory.

    A private mapping counts as memory: what was written to it is nowhere else.
    """
    base: object = X
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return None if base.mode == "c" else base
        base = base.base
    return None


def release(mapped: np.memmap | None) -> None:
    """Let the pages of a mapped file go; they come back from the file when they are read."""
    pages = None if mapped is None else getattr(mapped, "_mmap", None)
    if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
