"""The files of a saved index and their checksums."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import polars as pl

from assay.index.search.coding import SIZES, Coding
from assay.index.search.kinds import centroids_of
from assay.index.search.mapped_lists import CheckedLists
from assay.index.search.rows import StoredRows
from assay.storage.disk.atomic import atomic_path, write_bytes
from assay.storage.disk.checksums import CheckedFile, describe_file, read_sealed, seal
from assay.storage.errors import ConfigError, CorruptArtifactError

_CHECKSUMS = "checksums.json"
_REMEDY = "Build the index again."
_BROKEN = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    pl.exceptions.PolarsError,
)


def write_index(
    directory: Path, rows: StoredRows, ids: pl.Series | None, said: dict[str, Any]
) -> None:
    """Write the files of an index and their checksums, each under a temporary name first."""
    names = ["index.faiss", "rows.npy", "index.json"]
    # processes that have the old file mapped keep it
    with atomic_path(directory / "index.faiss") as temporary:
        rows.write(temporary)
    entries = BytesIO()
    np.save(entries, np.stack([rows.labels, rows.positions]))
    write_bytes(directory / "rows.npy", entries.getvalue())
    if ids is not None:
        names.append("ids.parquet")
        with atomic_path(directory / "ids.parquet") as temporary:
            ids.to_frame("sample_id").write_parquet(temporary)
    write_bytes(directory / "index.json", json.dumps(said, indent=1).encode())
    files = [describe_file(directory / name, name) for name in names]
    write_bytes(directory / _CHECKSUMS, seal({"files": files}))


def _checked_files(directory: Path) -> dict[str, CheckedFile]:
    entries = read_sealed(directory / _CHECKSUMS, _REMEDY)["files"]
    return {e["name"]: CheckedFile(directory / e["name"], e, _REMEDY) for e in entries}


def read_index(
    directory: Path, *, mmap: bool, verify: bool
) -> tuple[StoredRows, pl.Series | None, dict[str, Any]]:
    """Read what `write_index` wrote: the rows, their ids and the description.

    Parameters
    ----------
    mmap : bool
        Leave the inverted lists in their file and check its blocks as they are used.
    verify : bool
        Whether to compare the files with their checksums.
    """
    checked = _checked_files(directory) if verify else {}
    for name, file in checked.items():
        if not (mmap and name == "index.faiss"):
            file.check()
    try:
        description = json.loads((directory / "index.json").read_text())
        if mmap and description["kind_"] != "ivf":
            raise ConfigError(
                f"Only an index of the kind 'ivf' can be mapped, not {description['kind_']!r}: load it "
                "without mmap."
            )
        path = directory / "index.faiss"
        if mmap and verify:
            # the vectors and labels of all lists are the last part of the file
            width = SIZES[description.get("storage", "float32")] * description["dimension"]
            size = description["stored"] * (width + 8)
            checked["index.faiss"].check(0, path.stat().st_size - size)
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP if mmap else 0)
        labels, positions = np.load(directory / "rows.npy", allow_pickle=False)
        hidden = 0 if description["kind_"] == "hnsw" else index.ntotal - len(labels)
        if hidden or not np.array_equal(np.sort(positions), np.arange(len(labels))):
            raise ValueError("its positions are not those of its rows")
        ids = None
        if description["ids"] is not None:
            ids = pl.read_parquet(directory / "ids.parquet")["sample_id"]
        lists = CheckedLists(index, checked["index.faiss"]) if mmap and verify else None
        centroids = centroids_of(index)
        rows = StoredRows(
            description["kind_"], description["metric"], index, centroids, labels, positions, lists,
            Coding.from_description(description),
        )  # fmt: skip
        return rows, ids, description
    except ConfigError:
        raise
    except _BROKEN as error:
        raise CorruptArtifactError(
            f"The index in {directory} can't be read ({type(error).__name__}: {error}). {_REMEDY}"
        ) from error
