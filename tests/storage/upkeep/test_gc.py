"""Clean-up: what a kept run needs stays, what nothing refers to goes, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from assay.storage import ScoreStore
from assay.storage.disk.artifacts import ArtifactStore
from assay.storage.disk.manifests import seal_folder
from assay.storage.runs import publishing
from assay.storage.upkeep.check import check_store
from assay.storage.upkeep.gc import collect
from tests.storage.nights import forget_records, info, night_id, run_night, tables


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    store.make()
    return store


def make(store: ScoreStore, kind: str, fingerprint: str, **made_by: object) -> tuple[str, str]:
    with store.artifacts.create(kind, fingerprint, **made_by) as folder:
        (folder / "data.bin").write_bytes(b"x" * 1000)
    return kind, fingerprint


def there(store: ScoreStore) -> set[str]:
    return {
        f"{p.parent.name}/{p.name}"
        for p in (store.path / "artifacts").glob("*/*")
        if not p.name.startswith(".")
    }


def removed(store: ScoreStore, **options: bool) -> set[str]:
    return {garbage.where for garbage in collect(store, **options)}


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_artifacts_of_kept_runs_stay_whoever_made_them(store: ScoreStore) -> None:
    runs = [night_id(n) for n in range(3)]
    shared = make(store, "embedder", "e0", run=runs[0])
    own = [make(store, "graph", f"g{n}", run=runs[n]) for n in range(3)]
    unnamed = make(store, "bucket_stream", "b2", run=runs[2])
    make(store, "graph", "stray")
    for night in range(3):
        refers = {"fit": shared, "graph": own[night]}
        store.finish(info(night), tables(night, refers))
    assert removed(store) == {"artifacts/graph/stray"}
    store.archive("docs", keep=1)
    would = collect(store, dry_run=True)
    assert {g.where for g in would} == {"artifacts/graph/g0", "artifacts/graph/g1"}
    assert all(g.what == "artifact" and g.bytes > 1000 for g in would)
    assert len(there(store)) == 5
    assert collect(store) == would
    assert there(store) == {"/".join(ref) for ref in (shared, own[2], unnamed)}
    assert collect(store) == []
    assert store.sql("SELECT count(*) FROM samples", all_runs=True).item() == 12


def test_a_run_file_of_an_earlier_version_keeps_what_it_made(store: ScoreStore) -> None:
    run = run_night(store, 0)
    make(store, "graph", "mine", run=run)
    make(store, "graph", "other", run=night_id(7))
    path = store.path / "runs" / f"{run}.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("DROP TABLE artifacts")
    forget_records(store)
    assert removed(store) == {"artifacts/graph/other"}


def test_each_pool_keeps_the_artifacts_of_its_newest_run(store: ScoreStore) -> None:
    for pool in ("one", "two"):
        for night in range(2):
            ref = make(store, "graph", f"{pool}{night}", run=night_id(night, pool))
            store.finish(info(night, pool), tables(night, {"graph": ref}))
        store.archive(pool, keep=1)
    collect(store)
    assert there(store) == {"graph/one1", "graph/two1"}


def test_runs_that_go_on_keep_what_they_made(store: ScoreStore) -> None:
    for night in range(5):
        make(store, "vectors", f"v{night}", run=night_id(night))
    store.begin(info(1))
    store.fail(info(1), "failed, and a later run has finished since")
    store.finish(info(2), tables(2))
    now = datetime.now(UTC)
    store.begin(replace(info(3), started_at=now))
    store.fail(replace(info(3), started_at=now), "failed last: it is taken up again")
    store.begin(replace(info(4), started_at=now))  # under way
    kept = {"vectors/v2", "vectors/v3", "vectors/v4"}
    assert removed(store, dry_run=True) == {"artifacts/vectors/v0", "artifacts/vectors/v1"}
    collect(store)
    assert there(store) == kept


def test_frames_stay_as_long_as_a_kept_run_names_them(store: ScoreStore) -> None:
    frames = [f"{n:032x}" for n in range(4)]
    for frame in frames:
        make(store, "frames", frame, name="pool")
    paths = [str(store.path / "artifacts" / "frames" / frame / "pool.parquet") for frame in frames]
    store.finish(info(0, config={"pool": paths[0]}), tables(0))
    windows = "C:\\store\\artifacts\\frames\\" + frames[2] + "\\target.parquet"
    store.finish(info(1, config={"pool": paths[1], "target": windows}), tables(1))
    assert removed(store) == {f"artifacts/frames/{frames[3]}"}
    store.archive("docs", keep=1)
    assert removed(store) == {f"artifacts/frames/{frames[0]}"}
    assert there(store) == {f"frames/{frames[1]}", f"frames/{frames[2]}"}


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(store: ScoreStore) -> None:
    run_night(store, 0)
    gone = dead_process()
    half = store.path / "artifacts" / "graph" / f".g.{gone}-12345678.tmp"
    half.mkdir(parents=True)
    (half / "data.npy").write_bytes(b"x" * 500)
    file = store.path / "runs" / f".r.duckdb.{gone}-12345678.tmp"
    file.write_bytes(b"x" * 70)
    parent = store.path / "runs" / f".r.duckdb.{os.getppid()}-12345678.tmp"
    parent.write_bytes(b"being written")
    would = {(g.what, g.where, g.bytes) for g in collect(store, dry_run=True)}
    assert would == {
        ("leftover", half.relative_to(store.path).as_posix(), 500),
        ("leftover", file.relative_to(store.path).as_posix(), 70),
    }
    assert file.exists()
    assert {(g.what, g.where, g.bytes) for g in collect(store)} == would
    assert not half.exists()
    assert not file.exists()
    assert parent.exists()


def test_what_newer_ones_replaced_goes(store: ScoreStore) -> None:
    for night in range(4):
        run_night(store, night)
        store.publish()
    assert removed(store) == set()
    for path in publishing.published_files(store.path):
        old = path.stat().st_mtime - publishing.GRACE - 1
        os.utime(path, (old, old))
    (store.path / "runs" / f"{night_id(0)}.duckdb").unlink()
    for name in ("1-20260101T000000Z", "1-20260102T000000Z", "2-20260101T000000Z"):
        backup = store.path / "backup" / name
        backup.mkdir(parents=True)
        (backup / "store.json").write_text("{}")
        seal_folder(backup, kind="backup", version=int(name[0]))
    expected = {
        "published/latest-1.duckdb",
        "published/latest-2.duckdb",
        f"catalogue/{night_id(0)}.json",
        f"requests/{1:012d}-{night_id(0)}.json",
        "backup/1-20260101T000000Z",
    }
    assert removed(store, dry_run=True) == expected
    assert removed(store) == expected
    assert collect(store) == []
    with duckdb.connect(str(store.path / "published" / "latest.duckdb"), read_only=True) as con:
        assert con.sql("SELECT run_id FROM runs").fetchall() == [(night_id(3),)]


@pytest.mark.parametrize("noted", [True, False])
def test_no_artifact_is_removed_where_a_run_cannot_be_read(
    store: ScoreStore, noted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_night(store, 0)
    make(store, "graph", "stray")
    leftover = store.path / "artifacts" / "graph" / f".g2.{dead_process()}-12345678.tmp"
    leftover.mkdir()
    path = store.path / "runs" / f"{run}.duckdb"
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    if noted:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for dry_run in (True, False):
        caplog.clear()
        assert removed(store, dry_run=dry_run) == {f"artifacts/graph/{leftover.name}"}
        told = [record.getMessage() for record in caplog.records]
        assert any(run in one and "no artifact is removed" in one for one in told)
        assert any("assay check --repair" in one for one in told)
    assert there(store) == {"graph/stray"}
    assert all(finding.repaired for finding in check_store(store, repair=True))
    assert "artifacts/graph/stray" in removed(store)
    assert there(store) == set()


def test_an_artifact_whose_manifest_is_damaged_is_left_alone(store: ScoreStore) -> None:
    refs = [make(store, "graph", f"g{n}", run=night_id(0)) for n in range(2)]
    store.finish(info(0), tables(0, {"graph": refs[0]}))
    for ref in refs:
        (ArtifactStore(store.path / "artifacts").path(*ref) / "manifest.json").write_text("{")
    assert removed(store) == set()
    assert there(store) == {"graph/g0", "graph/g1"}


def test_what_is_no_part_of_a_store_is_left_alone(store: ScoreStore) -> None:
    run_night(store, 0)
    mine = [
        store.path / "published" / "latest-note.duckdb",
        store.path / "runs" / "readme.txt",
        store.path / "artifacts" / "notes.txt",
        store.path / "catalogue" / "readme.json",
        store.path / "backup" / "mine",
        store.path / "archive" / "old.duckdb",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps("mine"))
    assert collect(store) == []
    assert all(path.exists() for path in mine)


def test_cleaning_waits_for_no_lock_when_it_only_looks(store: ScoreStore) -> None:
    run_night(store, 0)
    make(store, "graph", "stray")
    before = sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*"))
    assert removed(store, dry_run=True) == {"artifacts/graph/stray"}
    assert sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*")) == before
