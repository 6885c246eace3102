"""The folder that a similarity graph is written into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.vectors.mapped import save_array
from assay.storage.disk.pages import mapping, open_mapped, release
from assay.storage.errors import CorruptArtifactError

FORMAT = 1
_ARRAYS = ("indptr", "indices", "weights", "neighbors", "distances")
OPTIONAL = ("centroids", "cells")


def write_graph(
    directory: Path,
    arrays: dict[str, NDArray[Any] | None],
    ids: pl.Series | None,
    header: dict[str, Any],
) -> None:
    """Write arrays, ids and header of a graph to a folder, which is made where it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        if array is not None:
            save_array(directory / f"{name}.npy", array)
    if ids is not None:
        ids.to_frame("sample_id").write_parquet(directory / "ids.parquet")
    neighbors, indices = arrays["neighbors"], arrays["indices"]
    assert neighbors is not None
    assert indices is not None
    facts = {
        "format": FORMAT,
        "shape": list(neighbors.shape),
        "entries": len(indices),
        "ids": ids is not None,
        **{name: arrays.get(name) is not None for name in OPTIONAL},
    }
    (directory / "graph.json").write_text(json.dumps(facts | header, indent=1))


def read_graph(
    directory: Path, mapped: bool = False
) -> tuple[dict[str, Any], pl.Series | None, dict[str, Any]]:
    """Read arrays, ids and header of a saved graph, checking that they fit together.

    With `mapped` arrays stay in their files, read-only, and pages are in memory where they are used.
    """
    if not (directory / "graph.json").is_file():
        raise CorruptArtifactError(
            f"There is no graph in {directory}, which `SimilarityGraph.save` writes; build it again, or "
            "name the folder that it was saved in."
        )
    try:
        header = json.loads((directory / "graph.json").read_text())
        read = open_mapped if mapped else np.load
        names = [*_ARRAYS, *(name for name in OPTIONAL if header.get(name))]
        arrays = {name: read(directory / f"{name}.npy") for name in names}
        ids = pl.read_parquet(directory / "ids.parquet")["sample_id"] if header["ids"] else None
        indptr, indices, n = arrays["indptr"], arrays["indices"], header["shape"][0]
        whole = (
            header["format"] == FORMAT
            and list(arrays["neighbors"].shape) == header["shape"]
            and arrays["distances"].shape == arrays["neighbors"].shape
            and len(indptr) == n + 1
            and len(indices) == len(arrays["weights"]) == header["entries"] == indptr[-1]
            and bool((np.diff(indptr) >= 0).all())
            and (not len(indices) or 0 <= indices.min() <= indices.max() < n)
            and (ids is None or len(ids) == n)
            and ("cells" not in arrays or len(arrays["cells"]) == n)
        )
        if not whole:
            raise ValueError("its parts don't fit together")
        for array in arrays.values():
            release(mapping(array))
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise CorruptArtifactError(
            f"The graph in {directory} can't be read ({type(error).__name__}: {error}); "
            "build it again."
        ) from error
    return arrays, ids, header
