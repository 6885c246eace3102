"""One writer a store: the second waits or says who is there, and the lock dies with its process."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.disk.locks import WAIT, holder, wait_limit, write_lock
from assay.storage.errors import AssayError, ConfigError, StoreError

RUN = "0123456789abcdef"
HOLD = """
import sys
from assay.storage import ScoreStore
with ScoreStore(sys.argv[1], create=True).writing("curate", sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""
# the process ends, a child that it forked does not
FORK = """
import os, sys, time
from assay.storage import ScoreStore
with ScoreStore(sys.argv[1], create=True).writing("curate", "0" * 16):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os._exit(0)
"""


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    store.make()
    return store


@contextmanager
def another_writer(store: ScoreStore) -> Iterator[subprocess.Popen[str]]:
    """Hold the store's lock in another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.path), RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("wait", [0, 0.2])
def test_a_second_writer_is_told_who_is_there(store: ScoreStore, wait: float) -> None:
    with another_writer(store) as process:
        with pytest.raises(StoreError) as error, store.writing(wait=wait):
            pass
        said = str(error.value)
        for part in (f"process {process.pid} ", platform.node(), "curate", RUN, "since 20", WAIT):
            assert part in said
        assert "\n" not in said
        # readers don't care
        assert ScoreStore(store.path).sql("FROM runs").is_empty()


def test_the_lock_dies_with_its_process(store: ScoreStore) -> None:
    with another_writer(store) as process:
        process.kill()
        process.wait()
        # what the dead process wrote into the lock is not believed
        assert str(process.pid) not in holder(store.path / "write.lock")
        with store.writing("curate", wait=0) as lock:
            assert f"process {os.getpid()} " in holder(store.path / "write.lock")
            assert "curate, since" in holder(store.path / "write.lock")
            lock.say("curate", "f" * 16)
            assert f"curate (run {'f' * 16})" in holder(store.path / "write.lock")
        assert "not said" in holder(store.path / "write.lock")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
def test_a_forked_child_does_not_keep_the_lock(store: ScoreStore) -> None:
    done = subprocess.Popen(
        [sys.executable, "-c", FORK, str(store.path)], stdout=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    child = int(done.stdout.readline())
    try:
        done.wait()
        with store.writing(wait=5):
            pass
    finally:
        os.kill(child, 9)


def test_who_waits_says_so_and_goes_on(store: ScoreStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="assay")
    with another_writer(store) as process:
        got = threading.Event()

        def wait() -> None:
            with store.writing():
                got.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.5)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert got.wait(20)
        thread.join()
    said = [r.getMessage() for r in caplog.records if "waiting" in r.getMessage()]
    assert len(said) == 1
    assert f"process {process.pid} " in said[0]


def test_threads_of_one_process_take_turns(store: ScoreStore) -> None:
    inside, most = 0, 0

    def write() -> None:
        nonlocal inside, most
        for _ in range(5):
            with store.writing():
                inside += 1
                most = max(most, inside)
                time.sleep(0.01)
                inside -= 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_who_has_the_lock_may_take_it_again(store: ScoreStore) -> None:
    link = store.path.with_name("link")
    link.symlink_to(store.path)
    with store.writing(wait=0) as lock:
        with store.writing(wait=0) as again, ScoreStore(link).writing(wait=0) as linked:
            assert (lock.outermost, again.outermost, linked.outermost) == (True, False, False)
            again.say("curate", RUN)
        assert RUN in holder(lock.path)
        store.publish()
        assert lock.held
    assert not lock.held
    with store.writing(wait=0) as lock:
        assert lock.outermost


def test_a_lock_whose_file_goes_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "write.lock"
    path.parent.mkdir()
    got: list[bool] = []

    def prepare() -> None:
        path.parent.mkdir(exist_ok=True)

    def wait() -> None:
        with write_lock(path, prepare=prepare):
            got.append(path.exists())

    with write_lock(path, prepare=prepare):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        path.unlink()
        path.parent.rmdir()
    thread.join(20)
    assert got == [True]


def test_how_long_to_wait_is_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WAIT, raising=False)
    assert wait_limit() is None
    monkeypatch.setenv(WAIT, "2.5")
    assert wait_limit() == 2.5
    assert wait_limit(0) == 0
    for wrong in ("soon", "-1", "nan"):
        monkeypatch.setenv(WAIT, wrong)
        with pytest.raises(ConfigError, match=WAIT):
            wait_limit()


def test_the_command_line_refuses_in_one_paragraph(
    store: ScoreStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    frame.write_parquet(tmp_path / "pool.parquet")
    monkeypatch.setenv(WAIT, "0")
    arguments = ["curate", "--pool", str(tmp_path / "pool.parquet"), "--store", str(store.path)]
    with another_writer(store) as process:
        for command in (arguments, ["check", "--repair", "--store", str(store.path)]):
            refused = CliRunner().invoke(app, command)
            assert isinstance(refused.exception, StoreError)
            assert f"process {process.pid} " in str(refused.exception)
    assert ScoreStore(store.path).sql("FROM runs").is_empty()


def test_two_runs_of_one_store_come_one_after_the_other(store: ScoreStore) -> None:
    frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    runs: list[str] = []

    def run(seed: int) -> None:
        given = {"id": "id", "text": "text", "budget": 5, "select": "random", "scores": ()}
        runs.append(curate(pool=frame, seed=seed, store=str(store.path), **given).run_id)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = store.sql("SELECT run_id, status, started_at, finished_at FROM runs ORDER BY 3")
    assert set(listed["run_id"]) == set(runs)
    assert len(set(runs)) == 2
    assert listed["status"].to_list() == ["done", "done"]
    assert listed["started_at"][1] >= listed["finished_at"][0]


@pytest.mark.parametrize("there", [False, True])
def test_a_store_made_for_nothing_is_taken_back(tmp_path: Path, there: bool) -> None:
    store = tmp_path / "store"
    if there:
        store.mkdir()
    with pytest.raises(AssayError):
        curate(pool=str(tmp_path / "nowhere.parquet"), store=str(store))
    assert store.exists() is there
    assert not there or list(store.iterdir()) == []
