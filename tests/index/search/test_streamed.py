"""An index that is written list by list is the one that was in memory, to the byte."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.index import VectorIndex
from assay.index.search.kinds import ADDED

ROWS, LISTS = ADDED + 5_000, 60


def given(folder: Path, lists: int) -> dict[str, Any]:
    """Return rows in a mapped file, their ids, centroids and cells, some of them unknown."""
    rng = np.random.default_rng(0)
    np.save(folder / "X.npy", rng.normal(size=(ROWS, 6)).astype(np.float32))
    X = np.load(folder / "X.npy", mmap_mode="r")
    cells = rng.integers(0, lists, ROWS).astype(np.int32)
    cells[::700] = -1
    # a list without rows
    cells[cells == 3] = 4
    ids = [f"{i * 7919 % ROWS:x}" for i in range(ROWS)]
    return {"X": X, "ids": ids, "centroids": np.array(X[:LISTS]), "cells": cells}


def written(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("lists", [LISTS, LISTS // 3])
def test_the_files_are_those_of_an_index_in_memory(
    metric: str, lists: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = given(tmp_path, lists)
    VectorIndex.from_vectors(**rows, metric=metric, kind="ivf").save(tmp_path / "inside")
    monkeypatch.setattr("assay.index.vectors.mapped._IN_MEMORY", 0)
    entered: list[int] = []
    monkeypatch.setattr(
        "assay.index.search.rows.add_rows", lambda *args: entered.append(len(args[1]))
    )
    VectorIndex(metric, "ivf").write(tmp_path / "streamed", **rows)
    assert entered == []
    assert written(tmp_path / "streamed") == written(tmp_path / "inside")


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_what_is_not_streamed_is_written_too(storage: str, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    index = VectorIndex(storage=storage)
    index.write(tmp_path / "written", X)
    index.build(X).save(tmp_path / "saved")
    assert written(tmp_path / "written") == written(tmp_path / "saved")
