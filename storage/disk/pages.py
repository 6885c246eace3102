"""Files that are mapped into memory as arrays, and how their pages are let go.

Pages of a mapped file are the disk's: the system takes them back when it needs them. But they count
as memory of the process that read them, for whoever limits that.
"""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.storage.disk.refusals import reserve

T = TypeVar("T")

_STATM = Path("/proc/self/statm")
# seconds between two looks at what is resident
_PAUSE = 0.02
# bytes of files' pages that must have come in since pages were let go last
_WORTH = 2**25

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_adding = threading.Lock()


def open_mapped(path: Path | str) -> np.memmap[Any, Any]:
    """Return the array in a `.npy` file, read-only, its pages in memory where they are read."""
    mapped: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return noted(mapped)


def new_mapped(path: Path | str, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Make a `.npy` file of zeros, whose room on the disk is allocated, and return its array."""
    room: np.memmap[Any, Any] = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    reserve(Path(path))
    return noted(room)


def noted(array: T) -> T:
    """Return an array; if it is a mapped file's, `release_all` will know it."""
    mapped = mapping(array) if isinstance(array, np.ndarray) else None
    pages = None if mapped is None else getattr(mapped, "_mmap", None)
    if isinstance(pages, mmap.mmap):
        with _adding:
            _mapped.add(pages)
    return array


def mapping(X: NDArray[np.generic]) -> np.memmap[Any, Any] | None:
    """Return the memory-mapped file behind `X`, None if it is in memory.

    A private mapping counts as memory: what was written to it is nowhere else.
    """
    base: object = X
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return None if base.mode == "c" else base
        base = base.base
    return None


def release(mapped: np.memmap[Any, Any] | None) -> None:
    """Let the pages of a mapped file go; they come back from the file when they are read."""
    pages = None if mapped is None else getattr(mapped, "_mmap", None)
    if isinstance(pages, mmap.mmap):
        _let_go(pages)


def release_all() -> None:
    """Let the pages of all files go that were opened or made here; see `release`."""
    with _adding:
        held = list(_mapped)
    for pages in held:
        _let_go(pages)


@contextmanager
def released_above(resident: int) -> Iterator[None]:
    """Let the pages of all mapped files go whenever more is resident, for as long as this lasts.

    Parameters
    ----------
    resident : int
        Bytes, all of the process counted. Where the system does not tell them (Linux does, in
        /proc), nothing is done.
    """
    if not _STATM.exists():
        yield
        return
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(resident, done), name="assay-pages", daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _watch(above: int, done: threading.Event) -> None:
    left = 0
    while not done.wait(_PAUSE):
        resident, of_files = _resident()
        left = min(left, of_files)
        if resident > above and of_files > left + _WORTH:
            release_all()
            left = _resident()[1]


def _resident() -> tuple[int, int]:
    """Return the bytes that are resident, and those of files among them."""
    pages = _STATM.read_text().split()
    size = os.sysconf("SC_PAGE_SIZE")
    return int(pages[1]) * size, int(pages[2]) * size


def _let_go(pages: mmap.mmap) -> None:
    if hasattr(mmap, "MADV_DONTNEED") and not pages.closed:
        pages.madvise(mmap.MADV_DONTNEED)
