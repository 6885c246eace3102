"""Pages of mapped files come and go; what the files hold stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from assay.storage.disk.pages import (
    mapping,
    new_mapped,
    noted,
    open_mapped,
    release_all,
    released_above,
)

STATM = Path("/proc/self/statm")
needs_statm = pytest.mark.skipif(not STATM.exists(), reason="the system has no /proc/self/statm")


def of_files() -> int:
    """Return the MiB of files' pages that are resident."""
    return int(STATM.read_text().split()[2]) * 4_096 // 2**20


@needs_statm
def test_pages_of_all_mapped_files_are_let_go_and_come_back(tmp_path) -> None:
    written = new_mapped(tmp_path / "a.npy", np.int64, (6_000_000,))
    before = of_files()
    written[:] = np.arange(len(written))
    read = open_mapped(tmp_path / "a.npy")
    assert int(read.sum()) == 6_000_000 * 5_999_999 // 2
    assert of_files() > before + 80
    release_all()
    assert of_files() < before + 20
    # also what was written, and never flushed
    assert np.array_equal(written, np.arange(len(written)))
    assert np.array_equal(read, np.arange(len(written)))


@needs_statm
def test_pages_are_let_go_while_more_is_resident(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12_000_000))
    read = open_mapped(tmp_path / "a.npy")
    before = of_files()
    with released_above(1):
        read.sum()
        until = time.monotonic() + 20
        while of_files() > before + 40 and time.monotonic() < until:
            time.sleep(0.01)
        assert of_files() <= before + 40
    with released_above(2**60):
        read.sum()
        time.sleep(0.2)
        assert of_files() > before + 80
    assert int(read[-1]) == 11_999_999


def test_what_was_written_to_a_private_mapping_stays(tmp_path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(10_000))
    private = noted(np.load(tmp_path / "a.npy", mmap_mode="c"))
    private[:] = 1.0
    release_all()
    assert mapping(private) is None
    assert private.min() == 1.0


def test_arrays_that_are_gone_are_forgotten(tmp_path) -> None:
    new_mapped(tmp_path / "a.npy", np.float32, (3, 4))[:] = 2.0
    release_all()
    assert np.load(tmp_path / "a.npy").tolist() == [[2.0] * 4] * 3


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system allocates no room")
def test_a_new_file_has_its_room_on_the_disk(tmp_path) -> None:
    made = new_mapped(tmp_path / "a.npy", np.float32, (1_000_000,))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= made.nbytes
    assert not made.any()
