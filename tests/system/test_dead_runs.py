"""Runs whose process is gone are marked failed at the next start, and what they left is removed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.storage import ScoreStore
from assay.storage.disk.atomic import atomic_path, temporary_beside, this_host, writer_of
from assay.storage.disk.processes import (
    process_began,
    process_lives,
    process_started,
    this_process,
    writer_lives,
)
from assay.storage.runs.recovery import DEAD, dead_runs, leftovers
from assay.storage.upkeep.check import check_store
from tests.system.trials import Trials

RUN = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    store.make()
    return store


@pytest.fixture
def living() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate(b"\n")


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def note(store: ScoreStore, **fields: Any) -> Path:
    path = store.path / "runs" / f"{RUN}.json"
    content = {
        "run_id": RUN, "kind": "curate", "pool": "p", "status": "running", "message": None,
        "started_at": "2026-01-01T00:00:00+00:00", "n_samples": 1, "seed": 0, "generation": "g",
        "config": {}, "versions": {}, **this_process(), **fields,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def status(path: Path) -> str:
    return str(json.loads(path.read_text())["status"])


def test_a_process_is_known_by_its_number_and_its_start(living: int, dead: int) -> None:
    assert process_lives(living)
    assert not process_lives(dead)
    began = process_started(living)
    if began is None:
        pytest.skip("this system does not tell when a process began")
    assert process_lives(living, began)
    assert not process_lives(living, began + "1")
    assert process_started(dead) is None
    began_at = process_began(living)
    assert began_at is not None
    assert abs(time.time() - began_at) < 60
    assert writer_lives(this_process()) is True
    assert writer_lives(this_process() | {"process_started": "another"}) is False
    assert writer_lives(this_process() | {"host": "elsewhere"}) is None
    # what older versions noted
    assert writer_lives({"process": living}) is True


def test_a_process_that_nobody_waited_for_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # closed by its end
    for _ in range(1000):
        if not process_lives(process.pid):
            break
    else:
        pytest.fail("a process that ended is taken for one that lives")
    process.wait()


def test_a_killed_run_is_marked_by_the_next_start_of_another(trials: Trials) -> None:
    store = trials.store("first")
    moments = trials.undisturbed("first").moments
    at = next(i for i, moment in enumerate(moments) if moment.startswith("folder filled: vectors"))
    assert trials.run("first", store, kill_at=at)["killed"]
    runs = ScoreStore(store).sql("SELECT run_id, status FROM runs")
    assert runs["status"].to_list() == ["running"]
    assert leftovers(store) != []
    problems = [finding.problem for finding in check_store(ScoreStore(store))]
    assert any("process is gone" in problem for problem in problems)
    done = trials.run("features", store)
    assert done["error"] is None
    assert f"run {runs['run_id'].item()} of pool" in done["log"]
    noted = json.loads((store / "runs" / f"{runs['run_id'].item()}.json").read_text())
    assert (noted["status"], noted["message"]) == ("failed", DEAD)
    assert leftovers(store) == []
    assert check_store(ScoreStore(store)) == []
    # and goes on where it was
    again = trials.run("first", store)
    assert "fit: unchanged" in again["log"]
    assert set(ScoreStore(store).sql("SELECT status FROM runs")["status"]) == {"done"}


def test_who_has_the_lock_knows_that_nothing_else_runs(store: ScoreStore, living: int) -> None:
    # the process of a note may outlive its run: a worker of a cluster, a service
    path = note(store, process=living, process_started=process_started(living))
    assert list(dead_runs(store.path)) == []
    with store.writing():
        assert status(path) == "failed"
    path = note(store, host="elsewhere")
    assert list(dead_runs(store.path)) == []
    with store.writing():
        assert status(path) == "failed"


def test_a_note_of_a_version_without_the_lock_goes_by_its_process(
    store: ScoreStore, living: int, dead: int
) -> None:
    old = {"host": None, "process_started": None}
    path = note(store, process=living, **old)
    with store.writing():
        assert status(path) == "running"
    note(store, process=dead, **old)
    with store.writing():
        assert status(path) == "failed"


def test_a_number_that_was_given_again_is_another_process(store: ScoreStore, living: int) -> None:
    if process_started(living) is None:
        pytest.skip("this system does not tell when a process began")
    note(store, process=living, process_started="long ago")
    assert [n["run_id"] for n in dead_runs(store.path)] == [RUN]
    found = check_store(ScoreStore(store.path))
    assert [f.where for f in found] == [f"runs/{RUN}.json"]


def test_leftovers_are_what_no_living_process_writes(
    store: ScoreStore, living: int, dead: int
) -> None:
    here = store.path / "runs"
    kept = [here / f".a.duckdb.{living}-0123abcd.tmp", here / ".hidden", here / ".b.tmp"]
    gone = [
        here / f".c.duckdb.{dead}-0123abcd.tmp",
        here / f".c.duckdb.{dead}-0123abcd.tmp.wal",
        # a process before this one that had its number
        here / f".d.duckdb.{os.getpid()}-0123abcd.tmp",
        store.path / f".store.json.{dead}-0123abcd.tmp",
    ]
    for path in (*kept, *gone):
        path.write_bytes(b"half")
    if process_began(living) is not None:
        # older than the process that has the number now
        gone.append(here / f".g.duckdb.{living}-89abcdef.tmp")
        gone[-1].write_bytes(b"half")
        os.utime(gone[-1], (1e9, 1e9))
    # of another host, where this process can't look
    there = f"{dead}-{'0000' if this_host() != '0000' else '1111'}"
    kept.append(here / f".h.duckdb.{there}-0123abcd.tmp")
    gone.append(here / f".i.duckdb.{there}-0123abcd.tmp")
    gone.append(here / f".j.duckdb.{dead}-{this_host()}-0123abcd.tmp")
    for path in (kept[-1], *gone[-2:]):
        path.write_bytes(b"half")
    os.utime(gone[-2], (1e9, 1e9))
    folder = store.path / "artifacts" / "graph" / f".e.{dead}-0123abcd.tmp"
    (folder / "deep").mkdir(parents=True)
    gone.append(folder)
    with atomic_path(here / "f.json") as writing:
        writing.write_bytes(b"{}")
        assert leftovers(store.path) == sorted(gone)
        with store.writing():
            assert leftovers(store.path) == []
            assert writing.exists()
    assert all(path.exists() for path in (*kept, here / "f.json"))
    assert not any(path.exists() for path in gone)


def test_temporary_names_say_who_writes() -> None:
    path = temporary_beside(Path("a/b.json"))
    assert writer_of(path) == os.getpid()
    assert writer_of(path.with_name(path.name + ".wal")) == os.getpid()
    for other in ("b.json", ".b.json", ".b.tmp", ".b.12.tmp", ".b.x-0123abcd.tmp"):
        assert writer_of(Path(other)) is None


def test_a_note_names_the_host(store: ScoreStore, trials: Trials) -> None:
    at = next(
        i
        for i, moment in enumerate(trials.undisturbed("first").moments)
        if moment.startswith("file done: runs/")
    )
    killed = trials.store("first")
    trials.run("first", killed, kill_at=at)
    noted = json.loads(next((killed / "runs").glob("*.json")).read_text())
    assert noted["host"] == platform.node()
    assert noted["process"] != os.getpid()
    assert writer_lives(noted) is False
