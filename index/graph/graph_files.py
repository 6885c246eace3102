"""The files that a similarity graph is kept in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.storage.errors import CorruptArtifactError

_FORMAT = 1
_ARRAYS = ("indptr", "indices", "weights", "neighbors", "distances")
_OPTIONAL = ("centroids", "cells")


def write_graph(
    directory: Path, arrays: dict[str, Any], ids: pl.Series | None, said: dict[str, Any]
) -> None:
    """Write arrays (None where there is none), ids and what is said of them to a folder."""
    for name, array in arrays.items():
        if array is not None:
            np.save(directory / f"{name}.npy", array)
    if ids is not None:
        ids.to_frame("sample_id").write_parquet(directory / "ids.parquet")
    facts = {
        "format": _FORMAT,
        "shape": list(arrays["neighbors"].shape),
        "entries": len(arrays["indices"]),
        "ids": ids is not None,
        **{name: arrays[name] is not None for name in _OPTIONAL},
        **said,
    }
    (directory / "graph.json").write_text(json.dumps(facts, indent=1))


def read_graph(
    directory: Path,
) -> tuple[dict[str, Any], pl.Series | None, dict[str, Any]]:
    """Read what `write_graph` wrote, checking that its parts fit together."""
    try:
        said = json.loads((directory / "graph.json").read_text())
        names = [*_ARRAYS, *(name for name in _OPTIONAL if said.get(name))]
        found = {name: np.load(directory / f"{name}.npy", allow_pickle=False) for name in names}
        ids = pl.read_parquet(directory / "ids.parquet")["sample_id"] if said["ids"] else None
        indptr, indices, n = found["indptr"], found["indices"], said["shape"][0]
        whole = (
            said["format"] == _FORMAT
            and list(found["neighbors"].shape) == said["shape"]
            and found["distances"].shape == found["neighbors"].shape
            and len(indptr) == n + 1
            and len(indices) == len(found["weights"]) == said["entries"] == indptr[-1]
            and bool((np.diff(indptr) >= 0).all())
            and (not len(indices) or 0 <= indices.min() <= indices.max() < n)
            and (ids is None or len(ids) == n)
            and ("cells" not in found or len(found["cells"]) == n)
        )
        if not whole:
            raise ValueError("its parts don't fit together")
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise CorruptArtifactError(
            f"The graph in {directory} can't be read ({type(error).__name__}: {error}); "
            "build it again."
        ) from error
    return found, ids, said
