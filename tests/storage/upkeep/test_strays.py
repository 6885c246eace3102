"""What assay did not write is named and left alone, whatever it looks like."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assay.storage import ScoreStore
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.upkeep.check import check_store
from assay.storage.upkeep.gc import collect
from tests.storage.nights import run_night

FP = "00112233445566778899aabbccddeeff"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    run_night(store, 0)
    store.publish()
    return store


def make(store: ScoreStore, kind: str = "graph", fingerprint: str = FP) -> Path:
    with store.artifacts.create(kind, fingerprint, run="0" * 16) as folder:
        (folder / "data.bin").write_bytes(b"x" * 1000)
    return store.artifacts.path(kind, fingerprint)


def snapshot(*roots: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes()
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in ("write.lock", "publish.lock")
    }


def named(store: ScoreStore, repair: bool = False) -> dict[str, str]:
    return {finding.where: finding.level for finding in check_store(store, repair=repair)}


def upkeep(store: ScoreStore) -> dict[str, str]:
    """Clean up and mend as often as anyone would, and return what check names in the end."""
    collect(store, dry_run=True)
    collect(store)
    named(store)
    named(store, repair=True)
    collect(store)
    return named(store)


def outside(tmp_path: Path) -> Path:
    """Return a folder that looks like a store's own: sealed artifacts and leftovers of the dead."""
    other = ScoreStore(tmp_path / "other", create=True)
    other.make()
    shutil.copytree(make(other), tmp_path / "outside" / "graph" / FP)
    shutil.copytree(make(other), tmp_path / "outside" / FP)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / "outside" / f".mine.{child.pid}-12345678.tmp").write_text("half")
    (tmp_path / "outside" / "graph" / f".mine.{child.pid}-12345678.tmp").write_text("half")
    (tmp_path / "outside" / "project" / "src").mkdir(parents=True)
    (tmp_path / "outside" / "project" / "src" / "main.c").write_text("int main;")
    return tmp_path / "outside"


@pytest.mark.parametrize("at", ["artifacts/old", "artifacts/graph", "backup", "archive", "linked"])
def test_nothing_behind_a_symbolic_link_is_touched(
    store: ScoreStore, tmp_path: Path, at: str
) -> None:
    target = outside(tmp_path)
    link = store.path / at
    link.symlink_to(target, target_is_directory=True)
    before = snapshot(target)
    upkeep(store)
    assert snapshot(target) == before
    assert link.is_symlink()


def test_an_artifact_that_is_a_link_is_named_and_left_alone(
    store: ScoreStore, tmp_path: Path
) -> None:
    target = outside(tmp_path)
    before = snapshot(target)
    (store.path / "artifacts" / "graph").mkdir()
    (store.path / "artifacts" / "graph" / FP).symlink_to(target / FP)
    assert upkeep(store) == {f"artifacts/graph/{FP}": "info"}
    assert snapshot(target) == before


def test_artifacts_behind_a_link_are_read_and_never_removed(
    store: ScoreStore, tmp_path: Path
) -> None:
    make(store)
    moved = tmp_path / "another disk"
    (store.path / "artifacts").rename(moved)
    (store.path / "artifacts").symlink_to(moved, target_is_directory=True)
    assert ScoreStore(store.path).artifacts.intact("graph", FP)
    before = snapshot(moved)
    upkeep(store)
    (moved / "graph" / FP / "data.bin").write_bytes(b"damaged")
    upkeep(store)
    with pytest.raises(StoreError, match="symbolic link"):
        ScoreStore(store.path).artifacts.intact("graph", FP)
    assert snapshot(moved).keys() == before.keys()


@pytest.mark.parametrize(
    "stray",
    [
        "artifacts/graph/Backup-1/notes.txt",
        "artifacts/graph/my_notes/notes.txt",
        "artifacts/graph/web/manifest.json",
        "artifacts/My Project/notes.txt",
        "artifacts/notes.txt",
        "artifacts/graph/notes.txt",
        "artifacts/graph/.hidden/notes.txt",
    ],
)
def test_strays_are_named_and_stop_nothing(store: ScoreStore, stray: str) -> None:
    unwanted = make(store)
    path = store.path / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"name": "mine"}')
    assert [g.where for g in collect(store)] == [f"artifacts/graph/{FP}"]
    assert not unwanted.exists()
    found = upkeep(store)
    assert path.read_text() == '{"name": "mine"}'
    assert len(found) == 1
    assert stray.startswith(next(iter(found)))
    assert set(found.values()) == {"info"}


@pytest.mark.parametrize("name", ["2026-01-01", "1-20260101", "2-mine"])
def test_folders_beside_the_backups_are_left_alone(store: ScoreStore, name: str) -> None:
    for folder in (name, f"{name}b", f"{name}c"):
        (store.path / "backup" / folder).mkdir(parents=True)
        (store.path / "backup" / folder / "thesis.txt").write_text("years of work")
    before = snapshot(store.path / "backup")
    upkeep(store)
    assert snapshot(store.path / "backup") == before


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_an_artifact_that_holds_a_file_of_the_user_stays(
    store: ScoreStore, tmp_path: Path, kind: str
) -> None:
    artifact = make(store)
    mine = artifact / "mine"
    if kind == "file":
        mine.write_text("mine")
    elif kind == "folder":
        (mine / "deep").mkdir(parents=True)
        (mine / "deep" / "file").write_text("mine")
    else:
        mine.symlink_to(tmp_path)
    assert upkeep(store) == {f"artifacts/graph/{FP}": "info"}
    assert os.path.lexists(mine)
    assert (artifact / "data.bin").exists()


def test_exchanged_artifacts_are_not_believed(store: ScoreStore) -> None:
    other = FP[::-1]
    first, second = make(store), make(store, fingerprint=other)
    first.rename(first.with_name("x"))
    second.rename(first)
    first.with_name("x").rename(second)
    fresh = ScoreStore(store.path)
    for fingerprint in (FP, other):
        with pytest.raises(CorruptArtifactError, match="another artifact"):
            fresh.artifacts.open("graph", fingerprint)
    found = named(fresh)
    assert found == {f"artifacts/graph/{FP}": "damage", f"artifacts/graph/{other}": "damage"}


def test_what_stands_where_an_artifact_is_needed_is_moved_and_kept(store: ScoreStore) -> None:
    folder = store.artifacts.path("vectors", FP)
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    path, made = store.artifacts.get_or_make(
        "vectors", FP, lambda out: (out / "data.bin").write_bytes(b"new")
    )
    assert made
    assert [p.name for p in sorted(path.iterdir())] == ["data.bin", "manifest.json"]
    assert (store.path / "backup" / "aside" / FP / "thesis.txt").read_text() == "years of work"
