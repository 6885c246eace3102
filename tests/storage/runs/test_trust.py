"""Run files and the catalogue are believed as far as they fit: what does not is named and not used."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from assay.storage import ScoreStore
from assay.storage.disk.checksums import stamp, unstamp
from assay.storage.errors import QueryError, StoreError
from assay.storage.upkeep.check import check_store
from tests.storage.nights import forget_records, night_id, run_night

LATEST = "SELECT DISTINCT run_id FROM latest_decisions"
ALL = "SELECT DISTINCT run_id FROM samples ORDER BY ALL"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    """Return a store of three runs, the newest of which is published."""
    store = ScoreStore(tmp_path / "store", create=True)
    for night in range(3):
        run_night(store, night)
    store.publish()
    return store


def file_of(store: ScoreStore, night: int) -> Path:
    return store.path / "runs" / f"{night_id(night)}.duckdb"


def damaged(store: ScoreStore, repair: bool = False) -> set[str]:
    found = check_store(ScoreStore(store.path), repair=repair)
    assert all("Traceback" not in finding.problem for finding in found)
    return {f.where for f in found if f.level == "damage" and not f.repaired}


def keeping_time(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        status = path.stat()
        change(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return changed


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


def edit(path: Path) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("UPDATE selections SET key = (key + 1) % 4")


def exchange(one: Path, two: Path) -> None:
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)


CHANGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "edited": edit,
    "cut": lambda path: os.truncate(path, 70_000),
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"\0" * 4096),
    "empty": lambda path: os.truncate(path, 0),
    "no database": lambda path: path.write_bytes(b"x" * path.stat().st_size),
    "zeros, time kept": keeping_time(lambda path: path.write_bytes(b"\0" * path.stat().st_size)),
}


@pytest.mark.parametrize(("change", "night"), [*((change, 2) for change in CHANGES), ("cut", 0)])
def test_a_changed_run_file_is_not_used(
    store: ScoreStore, caplog: pytest.LogCaptureFixture, change: str, night: int
) -> None:
    others = [night_id(n) for n in range(3) if n != night]
    CHANGES[change](file_of(store, night))
    assert store.sql(LATEST).item() == others[-1]
    assert store.sql(ALL)["run_id"].to_list() == others
    assert file_of(store, night).name in caplog.text
    assert "assay check --repair" in caplog.text
    with pytest.raises(StoreError, match="assay check --repair"):
        store.run_table(night_id(night), "FROM selections")
    assert f"runs/{night_id(night)}.duckdb" in damaged(store)
    assert damaged(store, repair=True) == set()
    assert damaged(store) == set()
    assert not file_of(store, night).exists()
    assert (store.path / "backup" / "aside" / file_of(store, night).name).exists()
    assert not store.is_finished(night_id(night))
    run_night(store, night)
    assert store.sql(LATEST).item() == night_id(night)


def test_a_store_whose_every_run_is_damaged_can_be_opened(store: ScoreStore) -> None:
    for night in range(3):
        flip(file_of(store, night))
    assert store.sql("FROM latest_selection").is_empty()
    assert store.sql("FROM runs").is_empty()
    assert store.newest_run("docs") is None
    damaged(store, repair=True)
    run_night(store, 1)
    assert store.sql(LATEST).item() == night_id(1)


@pytest.mark.parametrize("how", ["exchanged", "times too", "without records"])
def test_exchanged_run_files_are_found_and_put_back(store: ScoreStore, how: str) -> None:
    one, two = file_of(store, 0), file_of(store, 2)
    times = one.stat().st_mtime_ns, two.stat().st_mtime_ns
    exchange(one, two)
    if how == "times too":
        for path, time in zip((one, two), times, strict=True):
            os.utime(path, ns=(time, time))
    elif how == "without records":
        forget_records(store)
    assert store.sql(LATEST).item() == night_id(1)
    assert store.sql(ALL)["run_id"].to_list() == [night_id(1)]
    for night in (0, 2):
        with pytest.raises(StoreError, match="is not used"):
            store.run_table(night_id(night), "FROM selections")
    assert {f"runs/{one.name}", f"runs/{two.name}"} <= damaged(store)
    assert damaged(store, repair=True) == set()
    if how == "without records":
        assert not one.exists()
    else:
        assert store.sql(ALL)["run_id"].to_list() == [night_id(n) for n in range(3)]
        assert store.sql(LATEST).item() == night_id(2)
    with duckdb.connect(str(store.path / "published" / "latest.duckdb"), read_only=True) as con:
        assert con.sql(LATEST).fetchall() == [(store.sql(LATEST).item(),)]


def test_a_copy_under_another_name_is_no_run(store: ScoreStore) -> None:
    shutil.copyfile(file_of(store, 0), store.path / "runs" / f"{'7' * 16}.duckdb")
    assert set(store.sql("SELECT run_id FROM runs")["run_id"]) == {night_id(n) for n in range(3)}
    with pytest.raises(StoreError, match="holds the run"):
        store.is_finished("7" * 16)


@pytest.mark.parametrize(
    "edited", [rb'("finished_at": )1', rb'("pool": ")d', rb'("seed": )0', rb'("kind": ")c']
)
def test_a_note_of_the_catalogue_that_was_edited_is_not_believed(
    store: ScoreStore, edited: bytes
) -> None:
    right = store.sql("FROM runs ORDER BY ALL")
    note = store.path / "catalogue" / f"{night_id(0)}.json"
    data = note.read_bytes()
    note.write_bytes(re.sub(edited, rb"\g<1>7", data, count=1))
    assert note.read_bytes() != data
    assert store.sql("FROM runs ORDER BY ALL").equals(right)
    assert store.sql(LATEST).item() == night_id(2)
    assert damaged(store) == {f"catalogue/{night_id(0)}.json"}
    assert damaged(store, repair=True) == set()
    assert note.read_bytes() == data


@pytest.mark.parametrize("change", [{"pool": "other"}, {"seed": 5}, {"finished_at": 1}])
def test_a_note_that_was_edited_with_its_checksum_is_found(
    store: ScoreStore, change: dict[str, object]
) -> None:
    note = store.path / "catalogue" / f"{night_id(2)}.json"
    content = unstamp(note.read_bytes())
    content["run"] |= change
    note.write_bytes(stamp(content))
    assert store.sql(LATEST).item() == night_id(1)
    assert f"catalogue/{night_id(2)}.json" in damaged(store)
    assert damaged(store, repair=True) == set()
    assert store.sql(LATEST).item() == night_id(2)


def test_the_catalogue_can_always_be_made_again(store: ScoreStore) -> None:
    before = store.sql("FROM runs ORDER BY ALL")
    notes = {p.name: p.read_bytes() for p in (store.path / "catalogue").glob("0*.json")}
    shutil.rmtree(store.path / "catalogue")
    assert store.sql("FROM runs ORDER BY ALL").equals(before)
    store.publish()
    assert {p.name: p.read_bytes() for p in (store.path / "catalogue").glob("0*.json")} == notes
    assert damaged(store) == set()


def test_a_log_beside_a_run_file_is_not_replayed(store: ScoreStore, tmp_path: Path) -> None:
    path = file_of(store, 2)
    copy = tmp_path / "copy.duckdb"
    shutil.copyfile(path, copy)
    con = duckdb.connect(str(copy))
    con.execute("PRAGMA disable_checkpoint_on_shutdown")
    con.execute("UPDATE decisions SET reason = 'forged'")
    shutil.copyfile(f"{copy}.wal", f"{path}.wal")
    con.close()
    assert store.sql(LATEST).item() == night_id(1)
    assert f"runs/{path.name}" in damaged(store)
    assert damaged(store, repair=True) == set()
    assert store.sql("FROM latest_decisions WHERE reason = 'forged'").is_empty()
    # the file itself is whole, so it is put back
    assert store.sql(LATEST).item() == night_id(2)


# --- files of strangers ------------------------------------------------------------------------

SECRET = "kept from others"
STRANGE = {
    "view as run": "ALTER TABLE run RENAME TO r0; CREATE VIEW run AS SELECT * REPLACE ("
    "(SELECT content FROM read_text('{secret}')) AS generation) FROM r0",
    "view as samples": "ALTER TABLE samples RENAME TO s0; CREATE VIEW samples AS "
    "SELECT * REPLACE ((SELECT content FROM read_text('{secret}')) AS label) FROM s0",
    "another view": "CREATE VIEW notes AS FROM read_text('{secret}')",
    "table macro": "CREATE MACRO stolen() AS TABLE FROM read_text('{secret}')",
    "macro in place of a function": "CREATE MACRO epoch_us(x) AS 7",
    "view in another schema": "CREATE SCHEMA s; CREATE VIEW s.v AS FROM read_text('{secret}')",
    "lacking column": "ALTER TABLE decisions DROP COLUMN reason",
    "more columns": "ALTER TABLE decisions ADD COLUMN note VARCHAR",
    "other type": "ALTER TABLE scores ALTER score TYPE VARCHAR",
    "no run": "DELETE FROM run",
    "two runs": "INSERT INTO run FROM run",
    "unfinished": "UPDATE run SET status = 'running'",
    "no pool": "UPDATE run SET pool = NULL",
    "config is no JSON": "ALTER TABLE run ALTER config TYPE VARCHAR; UPDATE run SET config = '{'",
}


def test_strangers_run_files_are_refused_and_read_nothing(
    store: ScoreStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    names = {f"{place:x}" * 16: strange for place, strange in enumerate(STRANGE, 1)}
    for name, strange in names.items():
        path = store.path / "runs" / f"{name}.duckdb"
        shutil.copyfile(file_of(store, 0), path)
        with duckdb.connect(str(path)) as con:
            con.execute(f"UPDATE run SET run_id = '{name}', pool = 'stranger'")
            con.execute(STRANGE[strange].replace("{secret}", str(tmp_path / "secret.txt")))
    queries = ("FROM runs", "FROM samples", "FROM decisions")
    shown = str([store.sql(query, all_runs=True) for query in queries])
    refusals = []
    for name, strange in names.items():
        with store.connect() as con, pytest.raises(duckdb.Error):
            con.execute(f"FROM r_{name}.run")
        with pytest.raises(StoreError) as refused:
            store.is_finished(name)
        refusals.append(refused.value)
        with pytest.raises(StoreError):
            store.run_table(name, "FROM run")
        assert name not in shown, strange
        assert f"{name}.duckdb" in caplog.text, strange
    store.publish()
    assert SECRET not in f"{shown} {refusals} {check_store(store)} {caplog.text}"
    assert store.sql(LATEST).item() == night_id(2)
    assert damaged(store) == {f"runs/{name}.duckdb" for name in names}


def test_a_strangers_run_file_of_the_right_form_is_read(store: ScoreStore, tmp_path: Path) -> None:
    """It comes without a request, so it hides no run that a call asked for here."""
    other = ScoreStore(tmp_path / "other", create=True)
    run = run_night(other, 8)
    shutil.copy2(other.path / "runs" / f"{run}.duckdb", store.path / "runs")
    assert run in store.sql("SELECT run_id FROM runs")["run_id"].to_list()
    assert store.sql(LATEST).item() == night_id(2)
    assert damaged(store) == set()


def test_generated_columns_are_refused(store: ScoreStore) -> None:
    path = store.path / "runs" / f"{'e' * 16}.duckdb"
    shutil.copyfile(file_of(store, 0), path)
    with duckdb.connect(str(path)) as con:
        con.execute(f"UPDATE run SET run_id = '{'e' * 16}'")
        con.execute("DROP TABLE metrics")
        con.execute(
            "CREATE TABLE metrics (name VARCHAR, value DOUBLE, "
            "baseline DOUBLE GENERATED ALWAYS AS (value + 1))"
        )
    with pytest.raises(StoreError, match="metrics"):
        store.is_finished("e" * 16)


# --- notes -------------------------------------------------------------------------------------

NOTE = {
    "run_id": "1" * 16, "kind": "curate", "pool": "p", "status": "running", "process": 2**22 + 1,
    "started_at": "2026-01-01T00:00:00+00:00", "n_samples": 1, "seed": 0, "generation": "g",
    "config": {}, "versions": {}, "message": None,
}  # fmt: skip
BAD_NOTES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"a":' * 200_000,
    *(
        json.dumps(NOTE | change).encode()
        for change in (
            {"started_at": "yesterday"}, {"started_at": 5}, {"n_samples": "many"},
            {"n_samples": 2**70}, {"seed": True}, {"status": "odd"}, {"pool": None},
            {"pool": "caf\udce9"}, {"config": []}, {"config": {"a": "\udce9"}},
            {"run_id": "2" * 16}, {"request": "first"}, {"requested_at": "never"},
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("bad", range(len(BAD_NOTES)))
def test_a_bad_note_keeps_nobody_from_reading(
    store: ScoreStore, bad: int, caplog: pytest.LogCaptureFixture
) -> None:
    note = store.path / "runs" / f"{'1' * 16}.json"
    note.write_bytes(BAD_NOTES[bad])
    assert set(store.sql("SELECT status FROM runs")["status"]) == {"done"}
    assert store.sql(LATEST).item() == night_id(2)
    (told,) = {record.getMessage() for record in caplog.records if note.name in record.getMessage()}
    assert "is not used" in told
    assert "`assay check --repair`" in told
    assert "\n" not in told
    assert damaged(store) == {f"runs/{note.name}"}
    assert damaged(store, repair=True) == set()
    assert not note.exists()
    assert (store.path / "backup" / "aside" / note.name).read_bytes() == BAD_NOTES[bad]


def test_reading_blocks_that_do_not_fit_is_told_in_one_line(store: ScoreStore) -> None:
    """A bit that changed without a trace in size and time is found by DuckDB's own checksums."""
    path = file_of(store, 2)
    keep, size = 12_288, path.stat().st_size
    keeping_time(lambda p: p.write_bytes(p.read_bytes()[:keep] + b"\xff" * (size - keep)))(path)
    told = []
    with suppress(QueryError, StoreError):
        try:
            store.sql("SELECT count(reason) FROM latest_decisions")
        except (QueryError, StoreError) as error:
            told.append(str(error))
            raise
    assert all("assay check" in line and "\n" not in line for line in told)
    assert f"runs/{path.name}" in damaged(store)
