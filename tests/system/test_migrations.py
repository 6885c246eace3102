"""Stores of other schema versions: newer ones are refused, older ones brought up, with a backup."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.disk.atomic import write_json
from assay.storage.disk.boundaries import hooked
from assay.storage.errors import StoreError
from assay.storage.runs import migrations
from assay.storage.runs.migrations import SCHEMA_VERSION, migrate, schema_version
from assay.storage.upkeep.check import check_store

FRAME = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
SETTINGS: dict[str, Any] = {
    "id": "id",
    "text": "text",
    "budget": 5,
    "select": "random",
    "scores": (),
}
DEAD_RUN = "0123456789abcdef"
# what version 2 added
ADDED = ("host", "process_started")


class Killed(BaseException):
    """Stands for a process that ends."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store as version 1 wrote it, with a finished run, a failed one and a dead one."""
    store = tmp_path_factory.mktemp("old") / "store"
    curate(pool=FRAME, store=str(store), **SETTINGS)
    (store / "write.lock").unlink()
    shutil.rmtree(store / "catalogue")
    shutil.rmtree(store / "requests")
    for path in (store / "runs").glob("*.duckdb"):
        with duckdb.connect(str(path)) as con:
            con.execute("DROP TABLE artifacts")
            con.execute("ALTER TABLE run DROP COLUMN of_run")
    for run, status, message in ((DEAD_RUN, "running", None), ("f" * 16, "failed", "no room")):
        note = {
            "run_id": run, "kind": "curate", "pool": "p", "status": status, "message": message,
            "process": 2**22 + 1, "started_at": "2026-01-01T00:00:00+00:00", "n_samples": 1,
            "seed": 0, "generation": "g", "config": {}, "versions": {},
        }  # fmt: skip
        (store / "runs" / f"{run}.json").write_text(json.dumps(note))
    marker = {"format": "assay-store", "schema_version": 1}
    (store / "store.json").write_text(json.dumps(marker))
    return store


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "store", symlinks=True)
    return tmp_path / "store"


def small_files(store: Path) -> dict[str, bytes]:
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in (store / "store.json", *(store / "runs").glob("*.json"))
    }


def backups(store: Path) -> list[Path]:
    return sorted((store / "backup").glob("*"))


def test_readers_read_an_older_store_as_it_is(old: Path) -> None:
    before = sorted((str(p), p.stat().st_mtime_ns) for p in old.rglob("*"))
    store = ScoreStore(old)
    assert len(store.sql("FROM latest_selection")) == 5
    assert sorted(store.sql("SELECT status FROM runs")["status"]) == ["done", "failed", "running"]
    assert CliRunner().invoke(app, ["runs", "--store", str(old)]).exit_code == 0
    assert sorted((str(p), p.stat().st_mtime_ns) for p in old.rglob("*")) == before


def test_the_first_writer_brings_it_up_and_keeps_a_backup(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = small_files(old)
    runs = {p.name: p.read_bytes() for p in (old / "runs").glob("*.duckdb")}
    curate(pool=FRAME, store=str(old), **SETTINGS)
    assert schema_version(old) == SCHEMA_VERSION == 3
    (backup,) = backups(old)
    assert backup.name.startswith("1-")
    assert small_files(backup) == before
    assert str(backup) in caplog.text
    # run files are never rewritten
    assert {name: (old / "runs" / name).read_bytes() for name in runs} == runs
    notes = {p.stem: json.loads(p.read_text()) for p in (old / "runs").glob("*.json")}
    assert all(set(ADDED) <= note.keys() for note in notes.values())
    assert notes[DEAD_RUN]["status"] == "failed"
    assert notes["f" * 16]["message"] == "no room"
    assert [f for f in check_store(ScoreStore(old)) if f.level == "damage"] == []
    curate(pool=FRAME, store=str(old), **SETTINGS, seed=1)
    assert len(backups(old)) == 1


def test_a_reader_goes_on_while_a_newer_version_migrates(old: Path) -> None:
    query = "SELECT sample_id, position FROM latest_selection ORDER BY position"
    opened = ScoreStore(old)
    with opened.connect() as con:
        before = con.sql(query).fetchall()
        curate(pool=FRAME, store=str(old), **SETTINGS, seed=1)
        assert schema_version(old) == SCHEMA_VERSION
        assert con.sql(query).fetchall() == before
    # who opened it before sees what the other version wrote, and can write
    assert opened.sql("SELECT count(*) FROM runs WHERE status = 'done'").item() == 2
    curate(pool=FRAME, store=str(old), **SETTINGS)
    assert [f for f in check_store(opened) if f.level == "damage"] == []


def test_a_migration_that_was_killed_begins_again(old: Path, tmp_path: Path) -> None:
    before = small_files(old)
    whole = tmp_path / "whole"
    shutil.copytree(old, whole, symlinks=True)
    moments: list[str] = []
    with hooked(lambda moment, path: moments.append(moment)):
        migrate(whole)
    expected = small_files(whole)
    assert json.loads(expected["store.json"])["schema_version"] == 3
    assert len(moments) > 15
    for at in range(len(moments)):
        store = tmp_path / f"killed {at}"
        shutil.copytree(old, store, symlinks=True)
        _killed_at(at, store)
        # readers are not disturbed
        assert len(ScoreStore(store).sql("FROM latest_selection")) == 5
        migrate(store)
        assert small_files(store) == expected
        # what the first attempt had saved is what was there before
        kept = [backup for backup in backups(store) if not backup.name.startswith(".")]
        assert len(kept) == 1
        assert small_files(kept[0]) == before
        migrate(store)
        assert small_files(store) == expected


def _killed_at(at: int, store: Path) -> None:
    passed = 0

    def hook(moment: str, path: Path) -> None:
        nonlocal passed
        passed += 1
        if passed > at:
            raise Killed

    with pytest.raises(Killed), hooked(hook):
        migrate(store)


def test_a_store_that_changed_since_the_backup_is_saved_again(old: Path) -> None:
    migrate(old)
    write_json(old / "store.json", {"format": "assay-store", "schema_version": 1})
    shutil.copyfile(old / "runs" / f"{DEAD_RUN}.json", old / "runs" / f"{'e' * 16}.json")
    migrate(old)
    assert len(backups(old)) == 2


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 0, True, "2", None])
@pytest.mark.parametrize("command", ["runs", "curate", "check"])
def test_what_this_version_does_not_know_is_refused(
    tmp_path: Path, version: Any, command: str
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "store.json").write_text(json.dumps({"schema_version": version}))
    before = (store / "store.json").read_bytes()
    arguments = [command, "--store", str(store)]
    if command == "curate":
        FRAME.write_parquet(tmp_path / "pool.parquet")
        arguments += ["--pool", str(tmp_path / "pool.parquet")]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, StoreError)
    assert f"schema version {version}" in str(refused.exception)
    assert "Install" in str(refused.exception)
    assert [(p.name, p.read_bytes()) for p in store.iterdir()] == [("store.json", before)]


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(migrations.STEPS) == list(range(1, SCHEMA_VERSION))
