"""Inverted lists that stay on disk, checked before they are read."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.storage.disk.checksums import CheckedFile


class CheckedLists:
    """The inverted lists of an index whose file is mapped; blocks are checked before their use.

    Parameters
    ----------
    index : faiss.IndexIVF
        Read with `faiss.IO_FLAG_MMAP`.
    file : CheckedFile
        Its file, of which everything before the lists was checked.
    """

    def __init__(self, index: Any, file: CheckedFile) -> None:
        on_disk: Any = faiss.downcast_InvertedLists(index.invlists)
        lists = on_disk.lists
        slots = [lists.at(i) for i in range(lists.size())]
        width = index.code_size + np.dtype(np.int64).itemsize
        self._begin = np.array([slot.offset for slot in slots], np.int64)
        self._end = self._begin + np.array([slot.capacity for slot in slots], np.int64) * width
        self._known = np.zeros(len(slots), bool)
        self._file = file

    def check(self, lists: NDArray[np.integer]) -> None:
        """Raise `CorruptArtifactError` where a block that holds one of `lists` was changed."""
        for i in np.unique(lists[~self._known[lists]]):
            self._file.check(int(self._begin[i]), int(self._end[i]))
            self._known[i] = True

    def check_all(self) -> None:
        """Check every block of the file."""
        self._file.check()
        self._known[:] = True
