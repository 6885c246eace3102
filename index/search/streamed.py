"""An 'ivf' index written list by list, so that its vectors are never in memory at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.search.coding import Coding
from assay.index.search.kinds import ADDED, new_index
from assay.index.threads import thread_count
from assay.index.vectors.centroids import assign
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import unit_rows
from assay.index.vectors.mapped import take_rows
from assay.storage.disk.pages import noted, release
from assay.storage.disk.refusals import reserve

_PART = 16_384
# of a direct map that is empty: its kind, and the lengths of two arrays
_NO_MAP = 1 + 8 + 8
# of a label in the map
_ENTRY = 8 + 8
_LABEL = 8
_COPIED = 2**24


@dataclass(frozen=True)
class StreamedLists:
    """The rows X[order] of an 'ivf' index in float32, in the lists `cells`; -1: that of the nearest centroid.

    FAISS writes what stands before the lists. Where each label is, which it keeps in a hash table, it
    tells of an index with the same lists, whose rows are one number.
    """

    X: Vectors
    order: NDArray[np.int64]
    cells: NDArray[np.integer]
    centroids: Vectors
    metric: str

    def write(self, path: Path) -> None:
        """Write the file that `faiss.write_index` would write of an index in memory."""
        listed = self._listed()
        sizes = np.bincount(listed, minlength=len(self.centroids))
        index = new_index("ivf", self.metric, self.X.shape[1], self.centroids, Coding(self.metric))
        index.ntotal = len(listed)
        head = faiss.serialize_index(index).tobytes()
        head = head[: -self._no_lists - _NO_MAP]
        lists = _head(sizes, index.code_size)
        length = _NO_MAP + len(listed) * (_ENTRY + index.code_size + _LABEL)
        file = _Room(path, len(head) + len(lists) + length)
        file.write(head)
        self._write_map(file, listed)
        file.write(lists)
        self._write_lists(file, listed, sizes)
        file.flush()

    @property
    def _no_lists(self) -> int:
        """How long lists are in a file where no list has a row."""
        return len(_head(np.zeros(len(self.centroids), np.int64), 0))

    def _listed(self) -> NDArray[np.int32]:
        """Return the list of every entry."""
        listed = self.cells[self.order].astype(np.int32)
        without = np.flatnonzero(listed < 0)
        for begin in range(0, len(without), _PART):
            part = without[begin : begin + _PART]
            near = assign(
                self._rows(self.order[part]), self.centroids, self.metric, 1, threads=thread_count()
            )
            listed[part] = near[:, 0]
        return listed

    def _rows(self, which: NDArray[np.int64]) -> Vectors:
        rows = np.asarray(take_rows(self.X, which))
        return unit_rows(rows) if self.metric == "cosine" else rows

    def _write_map(self, file: _Room, listed: NDArray[np.int32]) -> None:
        """Write where each label is."""
        points = np.zeros((len(self.centroids), 1), np.float32)
        index = new_index("ivf", "l2", 1, points, Coding("l2"))
        empty = len(faiss.serialize_index(index)) - self._no_lists
        for begin in range(0, len(listed), ADDED):
            part = listed[begin : begin + ADDED].astype(np.int64)
            labels = np.arange(begin, begin + len(part))
            arrays = np.zeros((len(part), 1), np.float32), labels, part
            index.add_core(len(part), *(faiss.swig_ptr(array) for array in arrays))
        with tempfile.TemporaryDirectory(prefix="assay-") as folder:
            path = Path(folder) / "map"
            faiss.write_index(index, str(path))
            del index
            with path.open("rb") as written:
                written.seek(empty - _NO_MAP)
                length = _NO_MAP + _ENTRY * len(listed)
                for begin in range(0, length, _COPIED):
                    file.write(written.read(min(_COPIED, length - begin)))

    def _write_lists(
        self, file: _Room, listed: NDArray[np.int32], sizes: NDArray[np.int64]
    ) -> None:
        by_list = np.argsort(listed, kind="stable")
        ends = np.cumsum(sizes)
        for first, last in _parts(ends):
            begin = int(ends[first - 1]) if first else 0
            entries = by_list[begin : int(ends[last - 1])]
            rows = self._rows(self.order[entries])
            for end, size in zip(ends[first:last] - begin, sizes[first:last], strict=True):
                file.write(rows[end - size : end].tobytes())
                file.write(entries[end - size : end].astype(np.int64).tobytes())
            file.release()


class _Room:
    """A file of known length that is written from its beginning to its end."""

    def __init__(self, path: Path, length: int) -> None:
        self._mapped = noted(np.memmap(path, np.uint8, "w+", shape=(length,)))
        reserve(path)
        self._end = 0

    def write(self, data: bytes) -> None:
        """Write after what is there."""
        begin, self._end = self._end, self._end + len(data)
        self._mapped[begin : self._end] = np.frombuffer(data, np.uint8)

    def release(self) -> None:
        """Let what was written go from memory."""
        release(self._mapped)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._mapped.flush()


def _head(sizes: NDArray[np.int64], code_size: int) -> bytes:
    """Return what FAISS writes before lists of some sizes; where few have rows, it names these."""
    full = np.flatnonzero(sizes)
    facts: NDArray[Any] = sizes
    form = b"full"
    if len(full) <= len(sizes) // 2:
        facts, form = np.stack([full, sizes[full]], axis=1).ravel(), b"sprs"
    numbers = np.array([len(sizes), code_size], np.uint64).tobytes()
    length = np.array([len(facts)], np.uint64).tobytes()
    return b"ilar" + numbers + form + length + facts.astype(np.uint64).tobytes()


def _parts(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield lists first..last of which each part has few rows, or one list."""
    first = 0
    while first < len(ends):
        begin = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, begin + _PART, side="right"))
        last = max(first + 1, last)
        yield first, last
        first = last
