"""A full disk, or no right to write: one paragraph that helps, and a store that is unharmed."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.disk import atomic
from assay.storage.disk.refusals import refusals_explained, reserve
from assay.storage.errors import InputError, StoreError
from tests.system.comparing import contents, differences
from tests.system.trials import Trials

FRAME = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
SETTINGS: dict[str, Any] = {
    "id": "id",
    "text": "text",
    "budget": 5,
    "select": "random",
    "scores": (),
}


def refused(done: dict[str, Any], *parts: str) -> None:
    """Check that a run ended in one paragraph that holds all `parts`."""
    assert not done["killed"]
    assert done["error"] is not None
    assert done["type"] == "StoreError", done["error"]
    assert "\n" not in done["message"]
    for part in (*parts, "the same command again"):
        assert part in done["message"]


# the limits fall on the marker, the note, artifacts, the run's file and the published file
@pytest.mark.parametrize(
    ("scenario", "limit"),
    [
        ("first", 10),
        ("first", 9_000),
        ("first", 1_000_000),
        ("changed", 9_000),
        ("features", 1_000_000),
        pytest.param("first", 400, marks=pytest.mark.slow),
        pytest.param("first", 100_000, marks=pytest.mark.slow),
        pytest.param("features", 3_000, marks=pytest.mark.slow),
    ],
)
def test_a_file_that_may_not_grow(trials: Trials, scenario: str, limit: int) -> None:
    store = trials.store(scenario)
    done = trials.run(scenario, store, max_file=limit)
    refused(done, "no room", str(store))
    assert set(ScoreStore(store, create=True).sql("SELECT status FROM runs")["status"]) <= {
        "failed", "running", "done",
    }  # fmt: skip
    again = trials.run(scenario, store)
    assert again["error"] is None
    assert differences(contents(store), trials.undisturbed(scenario).contents) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system in memory; only root may have one."""
    try:
        _mount("-t", "tmpfs", "-o", "size=64m", "none", str(tmp_path))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=False)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "room", ["60k", "5000k", *(pytest.param(r, marks=pytest.mark.slow) for r in ("400k", "1200k"))]
)
def test_a_full_disk(trials: Trials, small_disk: Path, room: str) -> None:
    trials.undisturbed("first")
    _mount("-o", f"remount,size={room}", str(small_disk))
    store = small_disk / "store"
    refused(trials.run("first", store), "No space left on device", str(store))
    _mount("-o", "remount,size=64m", str(small_disk))
    assert trials.run("first", store)["error"] is None
    assert differences(contents(store), trials.undisturbed("first").contents) == []


def test_a_disk_that_may_only_be_read(trials: Trials, small_disk: Path) -> None:
    store = small_disk / "store"
    assert trials.run("first", store)["error"] is None
    _mount("-o", "remount,ro", str(small_disk))
    refused(trials.run("changed", store), "Read-only file system", str(store))
    assert differences(contents(store), trials.undisturbed("first").contents) == []


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    store = tmp_path / "store"
    curate(pool=FRAME, store=str(store), **SETTINGS)
    for folder in (store, *(p for p in store.rglob("*") if p.is_dir())):
        folder.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="the right to write"):
            curate(pool=FRAME, store=str(store), **SETTINGS, seed=1)
    finally:
        for folder in (store, *(p for p in store.rglob("*") if p.is_dir())):
            folder.chmod(0o700)
    assert ScoreStore(store).sql("SELECT status FROM runs")["status"].to_list() == ["done"]


@pytest.mark.parametrize("call", ["replace", "rename"])
def test_a_refusal_is_explained_wherever_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store = tmp_path / "store"
    real = getattr(os, call)

    def denied(source: Path, target: Path) -> None:
        if "store.json" in str(target):
            real(source, target)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))

    monkeypatch.setattr(atomic.os, call, denied)
    with suppress(StoreError):
        ScoreStore(store, create=True).make()
    with pytest.raises(StoreError, match=r"Permission denied.*the right to write"):
        curate(pool=FRAME, store=str(store), **SETTINGS)
    monkeypatch.undo()
    assert len(curate(pool=FRAME, store=str(store), **SETTINGS).sql("FROM latest_selection")) == 5


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError("4096 requested and 0 written"), True),
        (RuntimeError(f"could not write: {os.strerror(errno.ENOSPC)}"), True),
        (PermissionError(errno.EACCES, "Permission denied", "/elsewhere/pool.parquet"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "/store/x"), False),
        (InputError("No space left on device is what the row says"), False),
        (ValueError("no"), False),
    ],
)
def test_only_refusals_are_explained(error: Exception, explained: bool) -> None:
    with (
        pytest.raises(StoreError if explained else type(error)),
        refusals_explained(Path("/store")),
    ):
        raise error


def test_room_is_taken_before_it_is_written_to(tmp_path: Path) -> None:
    file = tmp_path / "v.npy"
    np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(1000, 100))
    reserve(file)
    assert np.load(file).sum() == 0
    if hasattr(os, "posix_fallocate"):
        assert file.stat().st_blocks * 512 >= 400_000
