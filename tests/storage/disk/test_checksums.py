"""Files are checked by the hash that their entry names, those of earlier versions by BLAKE2b."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import xxhash

from assay.storage import ScoreStore
from assay.storage.disk import checksums
from assay.storage.disk.checksums import CheckedFile, describe_file, stamp, unstamp
from assay.storage.errors import CorruptArtifactError
from assay.storage.runs import facts
from assay.storage.runs.catalogue import list_runs
from tests.storage.nights import night_id, run_night

CONTENT = bytes(range(256)) * 10


def entry_of(path: Path, hash: str) -> dict[str, Any]:
    """Return the entry of a small file in one block."""
    digest = {
        "blake2b": hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest(),
        "xxh3_128": xxhash.xxh3_128(path.read_bytes()).hexdigest(),
    }[hash]
    entry = {"name": path.name, "size": len(path.read_bytes()), "block": 2**26, "blocks": [digest]}
    return entry if hash == "blake2b" else {**entry, "hash": hash}


@pytest.mark.parametrize("hash", ["blake2b", "xxh3_128"])
def test_damage_is_found_by_the_hash_that_is_named(tmp_path: Path, hash: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    entry = entry_of(path, hash)
    CheckedFile(path, entry, "").check()
    for place in (0, 1_000, len(CONTENT) - 1):
        damaged = bytearray(CONTENT)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CorruptArtifactError, match="does not match its checksum"):
            CheckedFile(path, entry, "").check()


def test_files_are_described_with_the_name_of_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 1_000)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    blocks = [CONTENT[begin : begin + 1_000] for begin in range(0, len(CONTENT), 1_000)]
    assert describe_file(path, "named") == {
        "name": "named",
        "size": len(CONTENT),
        "block": 1_000,
        "hash": "xxh3_128",
        "blocks": [xxhash.xxh3_128(block).hexdigest() for block in blocks],
    }


def test_an_unknown_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    entry = entry_of(path, "xxh3_128") | {"hash": "of a later version"}
    with pytest.raises(CorruptArtifactError, match="does not match its checksum"):
        CheckedFile(path, entry, "Make it again.")


def test_runs_recorded_by_earlier_versions_are_noted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ScoreStore(tmp_path / "store", create=True)
    run_night(store, 0)
    run = store.path / "runs" / f"{night_id(0)}.duckdb"
    (record,) = (store.path / "requests").iterdir()
    old = unstamp(record.read_bytes()) | {"file": entry_of(run, "blake2b")}
    record.write_bytes(stamp(old))
    for note in (store.path / "catalogue").iterdir():
        note.unlink()
    list_runs(store.path, complete=True)
    note = json.loads((store.path / "catalogue" / f"{night_id(0)}.json").read_bytes())
    assert note["file"] == old["file"]
    monkeypatch.setattr(facts, "attach", None)  # no file is opened again
    assert [found.tables.run_id for found in list_runs(store.path)] == [night_id(0)]
