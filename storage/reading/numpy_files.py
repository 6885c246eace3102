"""Vectors and other columns in NumPy's files: .npy and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.storage.disk.pages import noted
from assay.storage.errors import SourceError
from assay.storage.reading.source import FileSource

_KINDS = "biufUS"


class NumpySource(FileSource):
    """A .npy file, whose one column is `vector`, or a .npz file, a column for each array."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        with self.guard():
            self._arrays = self._load()
        lengths = {key: len(array) for key, array in self._arrays.items()}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"{key} {length:,}" for key, length in lengths.items())
            raise SourceError(
                f"The arrays of {self.shown} have different numbers of rows ({shown}). Put into a "
                "file what belongs together."
            )
        self.n_rows = next(iter(lengths.values()), 0)
        self.schema = pa.schema([(key, column(a[:0]).type) for key, a in self._arrays.items()])

    def _load(self) -> dict[str, Any]:
        try:
            loaded = noted(np.load(self.path, mmap_mode="r", allow_pickle=False))
            arrays = {"vector": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except (ValueError, zipfile.BadZipFile) as error:
            raise SourceError(
                f"{self.shown} can't be read: {str(error).rstrip('.')}. Save plain numbers or texts, "
                "not Python objects."
            ) from None
        for key, array in arrays.items():
            if array.ndim not in (1, 2) or array.dtype.kind not in _KINDS:
                raise SourceError(
                    f"{self.shown} holds an array {key!r} of {array.ndim} dimensions and type "
                    f"{array.dtype}; columns are made from one or two dimensions of numbers or texts."
                )
        return arrays

    def array(self, key: str) -> np.ndarray[Any, Any]:
        """Return an array; of a .npy file there is the one named `vector`."""
        array: np.ndarray[Any, Any] = self._arrays[key]
        return array

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, self.n_rows or 0, size):
            arrays = [column(self._arrays[key][start : start + size]) for key in columns]
            yield pa.RecordBatch.from_arrays(arrays, list(columns))


def column(array: np.ndarray[Any, Any]) -> Any:
    """Return an array as a column; one of two dimensions as lists of equal length."""
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    values = np.ascontiguousarray(array)
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pa.array(values.tolist() if values.dtype.kind == "U" else values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), array.shape[1])
