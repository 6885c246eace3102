"""Stores that are moved, stopped, watched or opened by others while they are written."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import numba
import numpy as np
import polars as pl
import pytest

from assay.flows.config import memory_size
from assay.flows.config.memory_size import check_address_space
from assay.storage import ScoreStore
from assay.storage.compiling import njit
from assay.storage.disk.locks import write_lock
from assay.storage.errors import ResourceError, StoreError
from assay.storage.runs.migrations import SCHEMA_VERSION
from assay.storage.upkeep.check import check_store
from assay.storage.upkeep.gc import collect
from tests.security.fuzzing import small_store
from tests.system.comparing import contents, differences
from tests.system.trials import Trials

ASSAY = "from assay.flows.cli import main; main()"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    made: ScoreStore = small_store.__wrapped__(tmp_path)
    return made


def started(*arguments: Any, **how: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASSAY, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


# --- moved and copied ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_a_store_copied_under_way_is_a_store_of_its_own(trials: Trials, share: float) -> None:
    expected = trials.undisturbed("changed")
    store = trials.store("changed")
    copy = store.with_name(f"{store.name} copied")
    at = int(share * len(expected.moments))
    assert trials.run("changed", store, copy_at=at, to=str(copy))["error"] is None
    assert differences(contents(store), expected.contents) == []
    assert trials.run("changed", copy)["error"] is None
    assert differences(contents(copy), expected.contents) == []
    assert check_store(ScoreStore(copy)) == []


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.15, 0.3, 0.5, 0.7, 0.9])
def test_a_store_moved_under_way_is_not_written_in_two_places(trials: Trials, share: float) -> None:
    expected = trials.undisturbed("changed")
    store = trials.store("changed")
    moved = store.with_name(f"{store.name} moved")
    at = int(share * len(expected.moments))
    done = trials.run("changed", store, move_at=at, to=str(moved))
    assert done["type"] == "StoreError", done["error"]
    assert "moved or removed" in done["error"]
    assert not store.exists()
    assert trials.run("changed", moved)["error"] is None
    assert differences(contents(moved), expected.contents) == []


def test_what_a_writer_makes_stays_with_its_store(store: ScoreStore) -> None:
    elsewhere = store.path.with_name("elsewhere")
    with store.writing("a test"):
        store.path.rename(elsewhere)
        with pytest.raises(StoreError, match="was moved or removed"):
            store.publish()
        with (
            pytest.raises(StoreError, match="moved or removed"),
            store.artifacts.create("vectors", "ab"),
        ):
            pass
    assert not store.path.exists()
    assert ScoreStore(elsewhere).sql("SELECT count(*) AS n FROM samples")["n"].item() == 30


# --- signals ------------------------------------------------------------------------------------


def test_a_run_that_is_told_to_end_says_so(tmp_path: Path) -> None:
    words = [f"words {i} of {i % 97} and {i % 13}" for i in range(60_000)]
    pl.DataFrame({"id": range(60_000), "text": words}).write_parquet(tmp_path / "pool.parquet")
    run = started(
        "curate",
        "--pool",
        "pool.parquet",
        "--id",
        "id",
        "--text",
        "text",
        "--store",
        "s",
        cwd=tmp_path,
    )
    note: list[Path] = []
    end = time.monotonic() + 200
    while not note and run.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
        note = list((tmp_path / "s" / "runs").glob("*.json"))
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=200)
    assert run.returncode == 128 + signal.SIGTERM, said
    assert said.splitlines()[-1] == "assay: stopped; run the same command again to resume"
    assert json.loads(note[0].read_text())["status"] == "failed"
    with write_lock(tmp_path / "s" / "write.lock", wait=0):
        pass


def test_a_stopped_writer_is_named_and_waited_for(store: ScoreStore) -> None:
    program = (
        "import sys; from assay.storage import ScoreStore\n"
        "with ScoreStore(sys.argv[1]).writing('a night'):\n"
        "    print('held', flush=True); sys.stdin.readline()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "held\n"
    writer.send_signal(signal.SIGSTOP)
    try:
        assert store.sql("SELECT count(*) AS n FROM samples")["n"].item() == 30
        with (
            pytest.raises(StoreError, match=rf"process {writer.pid} .*a night.*stopped"),
            store.writing("another", wait=0.3),
        ):
            pass
    finally:
        writer.send_signal(signal.SIGCONT)
        writer.communicate("\n")
    with store.writing("another", wait=5):
        pass


KILLED_EXPORT = """
import os, signal, sys
from pathlib import Path
from assay.flows.export.write import export
from assay.storage import ScoreStore
from assay.storage.disk.boundaries import hooked

store, out = map(Path, sys.argv[1:])
for existing in (False, True):
    for at in range(6):
        out.unlink(missing_ok=True)
        if existing:
            out.write_text("mine")
        child = os.fork()
        if child == 0:
            moments = []
            def hook(moment, path):
                if len(moments) == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                moments.append(moment)
            with hooked(hook):
                export(ScoreStore(store), out, overwrite=existing)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        left = out.read_text().count(chr(10)) if out.exists() else None
        print(existing, at, os.WIFSIGNALED(status), left, flush=True)
"""


@pytest.mark.slow
def test_an_export_that_is_killed_leaves_a_whole_file(trials: Trials, tmp_path: Path) -> None:
    store = trials.after("first")
    before = contents(store)
    command = [sys.executable, "-c", KILLED_EXPORT, str(store), str(tmp_path / "rows.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    killed = {line.rpartition(" ")[0] for line in done.stdout.splitlines() if " True " in line}
    assert len(killed) == 10  # before and after each step of writing, with and without a file
    for line in done.stdout.splitlines():
        existing, _, was_killed, left = line.split()
        assert left in {"21", "0" if existing == "True" else "None"}, line
        assert was_killed == "True" or left == "21"
    assert differences(contents(store), before) == []


# --- readers ------------------------------------------------------------------------------------


def test_a_reader_keeps_what_it_opened(store: ScoreStore) -> None:
    store.publish()
    with (
        store.connect() as con,
        duckdb.connect(str(store.path / "published/latest.duckdb"), read_only=True) as tool,
    ):
        before = con.sql("FROM latest_scores ORDER BY ALL").fetchall()
        with store.writing("upkeep"):
            store.archive("small", keep=1)
            (file,) = (store.path / "runs").glob("*.duckdb")
            (store.path / "archive").mkdir(exist_ok=True)
            collect(store)
            store.publish()
        file.unlink()
        shutil.rmtree(store.path / "published")
        assert con.sql("FROM latest_scores ORDER BY ALL").fetchall() == before
        assert con.sql("SELECT count(*) FROM samples").fetchall() == [(30,)]
        assert tool.sql("SELECT count(*) FROM latest_selection").fetchall() == [(5,)]


AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
QUERY = ["sql", "SELECT count(*) FROM latest_selection", "--format", "csv"]
READS = [
    QUERY,
    pytest.param(["explain", "3"], marks=pytest.mark.slow),
    pytest.param(["runs"], marks=pytest.mark.slow),
    pytest.param(["check"], marks=pytest.mark.slow),
]


AS_ANOTHER = """
import importlib, os, pkgutil, sys
import duckdb, encodings.idna, polars, pyarrow.parquet, rich.console, rich.markup, rich.table
for layer in ("storage", "flows.commands", "flows.config", "index.blas", "selection.registry"):
    package = importlib.import_module("assay." + layer)
    for module in pkgutil.walk_packages(getattr(package, "__path__", ()), package.__name__ + "."):
        importlib.import_module(module.name)
from assay.flows.cli import main
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""


def as_another(store: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who may write nowhere; what it imports is there before."""
    return subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, *command, "--store", str(store)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
@pytest.mark.parametrize("command", READS, ids=lambda command: command[0])
def test_another_user_may_read(store: ScoreStore, command: list[str]) -> None:
    for folder in (store.path, *store.path.parents):
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    before = sorted(str(path) for path in store.path.rglob("*"))
    done = as_another(store.path, command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(str(path) for path in store.path.rglob("*")) == before


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_what_another_user_may_not_read_is_named(store: ScoreStore) -> None:
    for folder in store.path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for run in (store.path / "runs").glob("*.duckdb"):
        run.chmod(0o600)
    done = as_another(store.path, QUERY)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_a_file_that_another_user_may_not_read_does_not_stop_check(store: ScoreStore) -> None:
    for folder in store.path.parents:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    for path in (store.path, *store.path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (run,) = (store.path / "runs").glob("*.duckdb")
    run.chmod(0o600)
    damaged = store.path / "runs" / f"{'b' * 16}.duckdb"
    damaged.write_bytes(b"no run")
    done = as_another(store.path, ["check"])
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said
    assert run.name in said
    assert damaged.name in said


# --- versions -----------------------------------------------------------------------------------


def test_a_store_that_a_newer_version_took_over(store: ScoreStore) -> None:
    opened = ScoreStore(store.path)
    marker = {"format": "assay-store", "schema_version": SCHEMA_VERSION + 1}
    (store.path / "store.json").write_text(json.dumps(marker))
    before = sorted(path.name for path in (store.path / "runs").iterdir())
    for use in (lambda: ScoreStore(store.path), lambda: opened.writing("a night").__enter__()):
        with pytest.raises(StoreError, match="newer one"):
            use()
    assert sorted(path.name for path in (store.path / "runs").iterdir()) == before


# --- memory and compiled code ---------------------------------------------------------------------

GIB = 1 << 30


@pytest.mark.parametrize(
    ("cgroup", "files", "limits"),
    [
        ("0::/a/b\n", {"a/b/memory.max": 3 * GIB, "a/memory.max": "max"}, [3 * GIB]),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": 2 * GIB}, [2 * GIB]),
        ("0::/../../pod\n", {"memory.max": GIB}, [GIB]),
        ("0::/\n", {}, []),
        (
            "7:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n",
            {"memory/docker/1/memory.limit_in_bytes": GIB, "memory/memory.limit_in_bytes": 2**63 - 4096},
            [GIB, 2**63 - 4096],
        ),
        ("4:memory:/docker/1\n", {"memory/memory.limit_in_bytes": GIB}, [GIB]),
    ],
)  # fmt: skip
def test_a_containers_memory_is_known(
    tmp_path: Path, cgroup: str, files: dict[str, Any], limits: list[int]
) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    for name, limit in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    assert list(memory_size._group_limits(tmp_path, tmp_path / "groups")) == limits


def test_the_machines_memory_is_that_of_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_size, "_group_limits", lambda *_: iter([GIB, 3 * GIB]))
    assert memory_size.machine_memory() == GIB


@pytest.mark.parametrize("limit", [GIB // 4, 2 * GIB])
def test_too_little_address_space_is_refused(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    unlimited = resource.RLIM_INFINITY
    monkeypatch.setattr(
        resource,
        "getrlimit",
        lambda which: (limit if which == resource.RLIMIT_AS else unlimited,) * 2,
    )
    with pytest.raises(ResourceError, match="ulimit -v"):
        check_address_space()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (unlimited, unlimited))
    check_address_space()


@pytest.mark.slow
@pytest.mark.parametrize("kib", [300_000, 1_000_000, 1_500_000, 2_500_000, 4_500_000, 6_000_000])
def test_a_limited_process_refuses_or_works(tmp_path: Path, kib: int) -> None:
    words = [f"words {i} of {i % 7}" for i in range(60)]
    pl.DataFrame({"id": range(60), "text": words}).write_parquet(tmp_path / "p.parquet")
    limit = (kib << 10, resource.RLIM_INFINITY)
    for command in (
        ["curate", "--pool", "p.parquet", "--id", "id", "--text", "text", "--store", "s"],
        ["runs", "--store", "s"],
    ):
        run = started(
            *command,
            cwd=tmp_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
        )
        _, said = run.communicate()
        assert run.returncode in (0, 1), said
        if run.returncode:
            assert said.count("assay: ") == 1
            assert "Traceback" not in said
        if not (tmp_path / "s").exists():
            break


def test_kernels_are_compiled_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    real = numba.njit

    def without_a_folder(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return real(**options)

    monkeypatch.setattr(numba, "njit", without_a_folder)

    @njit(cache=True, nogil=True)
    def twice(x: Any) -> Any:
        return x * 2

    assert twice(np.arange(3)).tolist() == [0, 2, 4]
