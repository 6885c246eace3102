"""Images in files: folders of them, and columns of their paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.storage.errors import InputError, SourceChangedError, SourceError
from assay.storage.reading.source import BATCH_BYTES, BATCH_ROWS, Rows, Source

_NAMES = pa.dictionary(pa.int32(), pa.string())


FILE_COLUMN = "file"
"""The column of a folder of images with each file's path within the folder."""


class ImageFolder(Source):
    """The image files of a folder: one row for each.

    Columns are `image` (the file's bytes), `file` (its path within the folder), `folder` (the name of
    the folder that it lies in, null at the top) and, where there are folders in folders, `split` (the
    name of the topmost one).
    """

    schema: pa.Schema

    def __init__(self, name: str, files: Sequence[tuple[Path, str]]) -> None:
        self.name = name
        self.folder = None
        self.n_rows = len(files)
        self._paths = [path for path, _ in files]
        self._seen = [_state(path) for path in self._paths]
        parts = [PurePosixPath(within).parts for _, within in files]
        folders = [part[-2] if len(part) > 1 else None for part in parts]
        self._columns: dict[str, Any] = {
            FILE_COLUMN: pa.array([within for _, within in files], pa.string()),
            "folder": pa.array(folders, _NAMES),
        }
        if any(len(part) > 2 for part in parts):
            tops = [part[0] if len(part) > 1 else None for part in parts]
            self._columns["split"] = pa.array(tops, _NAMES)
        fields = [(name, column.type) for name, column in self._columns.items()]
        self.schema = pa.schema([("image", pa.large_binary()), *fields])

    def batches(self, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        start = 0
        while start < len(self._paths):
            stop = min(start + size, len(self._paths))
            if "image" in columns:
                stop = self._within(start, stop)
            yield self._batch(np.arange(start, stop), columns)
            start = stop

    def take(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        return pa.Table.from_batches([self._batch(rows, columns)])

    def digest_into(self, digest: Any, columns: Sequence[str]) -> None:
        for place, within in enumerate(self._columns[FILE_COLUMN].to_pylist()):
            image = self._bytes(place)
            for piece in (within.encode(), image):
                digest.update(len(piece).to_bytes(8, "little"))
                digest.update(piece)

    def places(self, start: int, count: int) -> tuple[list[str], np.ndarray[Any, Any]]:
        return self._columns[FILE_COLUMN][start : start + count].to_pylist(), np.zeros(
            count, np.int64
        )

    def files_of(self, within: Sequence[str]) -> list[Path | None]:
        """Return where the files are that the column `file` names."""
        known = dict(zip(self._columns[FILE_COLUMN].to_pylist(), self._paths, strict=True))
        return [known[name] for name in within]

    def _within(self, start: int, stop: int) -> int:
        """Return where a batch must end to hold no more bytes than one may."""
        sizes = np.cumsum([size for size, _ in self._seen[start:stop]])
        return start + max(1, int(np.searchsorted(sizes, BATCH_BYTES, side="right")))

    def _batch(self, rows: Rows, columns: Sequence[str]) -> pa.RecordBatch:
        arrays = []
        for name in columns:
            if name == "image":
                images = [self._bytes(int(row)) for row in rows]
                arrays.append(pa.array(images, pa.large_binary()))
            else:
                arrays.append(self._columns[name].take(pa.array(rows)))
        return pa.RecordBatch.from_arrays(arrays, list(columns))

    def _bytes(self, row: int) -> bytes:
        path = self._paths[row]
        content = read_file(path)
        if _state(path) != self._seen[row]:
            raise SourceChangedError(
                f"{path} changed after it was first read. Let whatever writes it finish, then read "
                "the pool again."
            )
        return content


def _state(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}.") from None
    return status.st_size, status.st_mtime_ns


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    SourceError
        It can't be read, or is no regular file.
    """
    try:
        if path.exists() and not path.is_file():
            raise SourceError(f"{path} is no regular file.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise SourceError(f"The image {str(path)[:300]} can't be read: {reason}.") from None


def load_images(array: Any, folder: Path | None) -> tuple[Any, bool]:
    """Return images as bytes, and whether any was read from a file.

    Parameters
    ----------
    array : Arrow array
        Bytes; or paths; or structs of `bytes` and `path`, whose path counts where bytes are null and
        it leads to a file.
    folder : Path or None
        Where relative paths begin; those that are not there begin in the working directory.

    Raises
    ------
    SourceError
        A file of a column of paths is missing.
    """
    kind = array.type
    if pa.types.is_struct(kind):
        fields = {name: array.flatten()[i] for i, name in enumerate(f.name for f in kind)}
        paths = fields.get("path", pa.nulls(len(array), pa.string()))
        stored = fields.get("bytes", pa.nulls(len(array), pa.large_binary()))
        if pa.types.is_null(stored.type):
            stored = stored.cast(pa.large_binary())
        wanted = pc.and_(pc.is_null(stored), pc.is_valid(paths))
        if not pc.any(wanted, min_count=0).as_py():
            return stored.cast(pa.large_binary()), False
        paths = pc.if_else(wanted, paths.cast(pa.string()), pa.scalar(None, pa.string()))
        loaded = _load(paths, folder, missing=None)
        return pc.coalesce(stored.cast(pa.large_binary()), loaded), True
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _load(array, folder), True
    return array.cast(pa.large_binary()), False


def image_paths(array: Any, folder: Path | None) -> list[Path | None]:
    """Return the files that a column of images names; None where it holds the bytes itself."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if pa.types.is_dictionary(kind):
        return image_paths(array.dictionary_decode(), folder)
    if pa.types.is_struct(kind) and "path" in kind.names:
        paths = array.field("path")
        if "bytes" in kind.names:
            within = pc.is_valid(array.field("bytes"))
            paths = pc.if_else(within, pa.scalar(None, paths.type), paths)
        array = paths
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return [None] * len(array)
    located = [_located(text, folder) if text else None for text in array.to_pylist()]
    return [path if path is not None and path.is_file() else None for path in located]


def _load(paths: Any, folder: Path | None, *, missing: Literal["raise"] | None = "raise") -> Any:
    located = [_located(text, folder) if text else None for text in paths.to_pylist()]
    if missing is None:
        located = [path if path is not None and path.exists() else None for path in located]
    images = [None if path is None else read_file(path) for path in located]
    return pa.array(images, pa.large_binary())


def _located(text: str, folder: Path | None) -> Path:
    if "://" in text:
        raise InputError(
            f"The image {text[:200]} is a URL; only paths of this machine are read. Download the "
            "images first."
        )
    path = Path(text)
    if folder is not None and (folder / path).exists():
        return folder / path
    return path
