"""Images as a method is given them: the bytes of files, read one after another whenever needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.embedding.likeness import Likenesses, likenesses
from assay.index.embedding.pixels import pixel_digests

Rows = NDArray[np.int64]


class Images:
    """The image files of some rows of a pool; none is held in memory.

    Parameters
    ----------
    batches : function without arguments
        Returns an iterator over columns of bytes: all files, in the pool's order.
    rows : int64[n], ascending
        Which of them these are.
    threads : int, default 1
        To decode with; they change nothing but the time.

    Examples
    --------
    >>> files = Images(lambda: iter([[b"a", b"b"], [b"c"]]), np.array([0, 2]))
    >>> len(files), list(files)
    (2, [b'a', b'c'])
    """

    def __init__(self, batches: Callable[[], Iterator[Any]], rows: Rows, threads: int = 1) -> None:
        self._batches, self._rows, self._threads = batches, rows, threads

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield the files in the pool's order."""
        wanted = iter(self._rows.tolist())
        following = next(wanted, None)
        for row, image in enumerate(chain.from_iterable(self._batches())):
            if following is None:
                return
            if row == following:
                yield image.as_py() if hasattr(image, "as_py") else image
                following = next(wanted, None)

    def take(self, rows: Rows) -> Images:
        """Return the images of some rows, ascending."""
        return Images(self._batches, self._rows[rows], self._threads)

    def digests(self) -> pl.Series:
        """Return the hash of the pixels of each; see `pixel_digests`."""
        return pixel_digests(iter([self]), self._threads)

    def likenesses(self) -> Likenesses:
        """Return what each looks like; see `assay.index.embedding.likeness.likenesses`."""
        return likenesses(iter(self), self._threads)


def images_of(files: Any) -> Images:
    """Return a column or sequence of encoded images, as a caller gives them, as `Images`."""
    column = files if isinstance(files, pl.Series | np.ndarray) else list(files)
    return Images(lambda: iter([column]), np.arange(len(column)))


def holds_images(values: Any) -> bool:
    """Say whether values are the bytes of files, by their type or that of the first one given."""
    if isinstance(values, Images):
        return True
    if isinstance(values, pl.Series):
        return bool(values.dtype == pl.Binary)
    if isinstance(values, np.ndarray):
        return values.dtype.kind == "O" and _first_is_bytes(values)
    return isinstance(values, list | tuple) and _first_is_bytes(values)


def _first_is_bytes(values: NDArray[Any] | list[Any] | tuple[Any, ...]) -> bool:
    return isinstance(next((v for v in values if v is not None), None), bytes)
