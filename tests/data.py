"""Finds the shared real data; a test that needs it skips, with the reason, where it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def data_folder() -> Path | None:
    """Return the folder of real data: `ASSAY_TEST_DATA`, else `../shared/data` beside the repo."""
    named = os.environ.get("ASSAY_TEST_DATA")
    folder = Path(named) if named else _BESIDE / "data"
    return folder if folder.is_dir() else None


def shared(name: str) -> Path:
    """Return the path of one real data file, or skip the test."""
    folder = data_folder()
    if folder is None or not (folder / name).exists():
        pytest.skip(f"shared data not found: {name} (set ASSAY_TEST_DATA to the folder of data)")
    return folder / name


def reference(name: str) -> Path:
    """Return the path of one output of the authors' own code, or skip the test."""
    folder = data_folder()
    path = (folder.parent if folder else _BESIDE) / "reference" / name
    if not path.exists():
        pytest.skip(f"reference output not found: {name} (it lies beside the folder of data)")
    return path
