"""Artifacts are whole or not there, and a changed byte is found."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.storage.disk import checksums
from assay.storage.disk.artifacts import ArtifactStore
from assay.storage.disk.atomic import atomic_path, point, write_json
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.hashing.fingerprints import fingerprint

FP = "0123456789abcdef"


def fill(folder: Path, content: bytes = b"abc") -> None:
    (folder / "part").mkdir()
    (folder / "part" / "a.bin").write_bytes(content)


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    path, made = store.get_or_make("vectors", FP, fill)
    assert made
    assert (path / "part" / "a.bin").read_bytes() == b"abc"
    assert ArtifactStore(tmp_path).get_or_make("vectors", FP, fill) == (path, False)


def test_a_body_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)

    def broken(folder: Path) -> None:
        fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make("vectors", FP, broken)
    assert not store.exists("vectors", FP)
    assert list((tmp_path / "vectors").iterdir()) == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bit=st.integers(0, 8 * 3000 - 1))
def test_any_flipped_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, bit: int
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 1024)
    root = tmp_path_factory.mktemp("a")
    content = np.random.default_rng(0).bytes(3000)
    path, _ = ArtifactStore(root).get_or_make("graph", FP, lambda f: fill(f, content))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    (path / "part" / "a.bin").write_bytes(bytes(changed))
    with pytest.raises(CorruptArtifactError, match=r"a\.bin"):
        ArtifactStore(root).open("graph", FP)


@given(bit=st.integers(0, 10_000))
def test_any_flipped_bit_of_a_sealed_object_is_found(bit: int) -> None:
    content = {"kind": "\u00e4", "level": 0.1, "files": [{"name": "a", "blocks": []}], "none": None}
    data = checksums.seal(content)
    assert checksums.unseal(data) == content
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << (bit % 8)
    with pytest.raises(ValueError):  # noqa: PT011
        checksums.unseal(bytes(changed))


def test_blocks_are_checked_when_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 10)
    file = tmp_path / "f"
    file.write_bytes(bytes(95))
    entry = checksums.describe_file(file, "f")
    assert len(entry["blocks"]) == 10
    file.write_bytes(bytes(45) + b"x" + bytes(49))
    checked = checksums.CheckedFile(file, entry, "Remedy.")
    checked.check(0, 40)
    checked.check(50)
    checked.check(44, 44)
    for begin, end in ((40, 41), (39, 51), (0, None)):
        with pytest.raises(CorruptArtifactError, match=r"does not match its checksum.*Remedy\."):
            checked.check(begin, end)
    file.write_bytes(bytes(95))
    checked.check()
    # what was checked once is not read again
    file.unlink()
    checked.check()
    with pytest.raises(CorruptArtifactError, match="missing"):
        checksums.CheckedFile(file, entry, "Remedy.")
    file.write_bytes(bytes(94))
    with pytest.raises(CorruptArtifactError, match="does not match"):
        checksums.CheckedFile(file, entry, "Remedy.")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places of blocks that were hashed."""
    places: list[int] = []
    hash_block = checksums._hashed

    def noted(file: BinaryIO, begin: int, length: int, hash: str) -> str:
        places.append(begin)
        return hash_block(file, begin, length, hash)

    monkeypatch.setattr(checksums, "_hashed", noted)
    monkeypatch.setattr(checksums, "BLOCK", 2**20)
    return places


def settled(path: Path, content: bytes) -> Path:
    """Write a file, and wait until a change would show in its times."""
    path.write_bytes(content)
    time.sleep(0.05)
    return path


def test_a_file_that_stays_the_same_is_hashed_once(tmp_path: Path, hashed: list[int]) -> None:
    content = np.random.default_rng(0).bytes(2 * 2**20 + 5)
    path = settled(tmp_path / "a.bin", content)
    first = checksums.describe_file(path, "a.bin")
    assert first["blocks"] == [
        xxhash.xxh3_128(content[b : b + 2**20]).hexdigest() for b in range(0, len(content), 2**20)
    ]
    assert hashed == [0, 2**20, 2**21]
    assert checksums.describe_file(path, "a.bin") == first
    assert hashed == [0, 2**20, 2**21]
    # what checks a file reads it
    checksums.CheckedFile(path, first, "").check()
    assert hashed == [0, 2**20, 2**21] * 2


def test_a_file_that_changed_is_hashed_again(tmp_path: Path, hashed: list[int]) -> None:
    path = settled(tmp_path / "a.bin", bytes(2**20))
    first = checksums.describe_file(path, "a.bin")
    times = path.stat()
    path.write_bytes(b"x" + bytes(2**20 - 1))
    # the time of the last change of content can be set back
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert checksums.describe_file(path, "a.bin")["blocks"] != first["blocks"]
    assert hashed == [0, 0]


def test_a_file_that_was_just_written_is_hashed_again(
    tmp_path: Path, hashed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settled(tmp_path / "a.bin", bytes(2**20))
    monkeypatch.setattr(checksums, "_TICK", 10**18)
    checksums.describe_file(path, "a.bin")
    checksums.describe_file(path, "a.bin")
    assert hashed == [0, 0]


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest"])
def test_a_corrupt_artifact_is_rebuilt(tmp_path: Path, damage: str) -> None:
    path, _ = ArtifactStore(tmp_path).get_or_make("graph", FP, fill)
    file = path / "part" / "a.bin"
    if damage == "cut":
        file.write_bytes(b"ab")
    elif damage == "gone":
        file.unlink()
    else:
        (path / "manifest.json").write_text("{")
    with pytest.raises(CorruptArtifactError):
        ArtifactStore(tmp_path).open("graph", FP)
    again, made = ArtifactStore(tmp_path).get_or_make("graph", FP, fill)
    assert made
    assert (again / "part" / "a.bin").read_bytes() == b"abc"


def test_the_manifest_says_what_made_it(tmp_path: Path) -> None:
    path, _ = ArtifactStore(tmp_path).get_or_make("graph", FP, fill, stage="graph", revision=3)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["made_by"] == {"stage": "graph", "revision": 3}
    assert [f["name"] for f in manifest["files"]] == ["part/a.bin"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "."])
def test_names_cannot_leave_the_store(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError):
        ArtifactStore(tmp_path).path("graph", name)


def test_an_unknown_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no artifact"):
        ArtifactStore(tmp_path).open("graph", FP)


def test_atomic_path_keeps_the_old_file_when_the_body_raises(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    write_json(file, {"a": 1})

    def interrupted() -> None:
        with atomic_path(file) as temporary:
            temporary.write_text("half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        interrupted()
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["f.json"]


def test_point_replaces_what_it_pointed_at(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        point(tmp_path / "link", name)
        assert (tmp_path / "link").read_text() == name


def test_fingerprints_depend_on_values_and_not_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": [1.5, None], "a": 1})
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint(np.int64(3)) == fingerprint(3)
    with pytest.raises(TypeError):
        fingerprint(object())
