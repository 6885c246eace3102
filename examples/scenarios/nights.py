"""A schedule with a night that fails, a store and a pool that move, and programs that read.

    python nights.py                   # 400 texts, a night every 10 seconds
    python nights.py --rows 6000 --interval 1m

Starts a Prefect server on this machine, in a folder of its own. The published file is also read by
SQLAlchemy (`duckdb-engine`) and ibis (`ibis-framework[duckdb]`) where they are installed. Follows
docs/site/every-night.md and moving.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from _shell import assay, run, start

from assay.examples import example_path

CONFIG = """
pool = "pool.parquet"
name = "texts"
id = "id"
text = "text"
keep = ["domain"]
budget = "10%"
store = "store"

[plan]
churn = 0.2
"""


def wait_for(what: str, look: Callable[[], Any], seconds: float = 240) -> Any:
    """Return what `look` finds, asking twice a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            print(f"  {what}: {found}", flush=True)
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: nothing after {seconds:g} s")


@contextmanager
def prefect_server(home: Path) -> Iterator[None]:
    """Run a Prefect server on a free port, and name it to what is started from here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ |= {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
    }
    run(f"prefect server start --background --port {port}")
    try:
        yield
    finally:
        run("prefect server stop")


@contextmanager
def served(interval: str) -> Iterator[None]:
    """Serve the configuration on a schedule, and stop as Ctrl+C does."""
    command = [sys.executable, "-m", "assay", "serve", "nightly.toml", "--interval", interval]
    print("$", *command[1:], flush=True)
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def failed() -> list[str]:
    """Return what Prefect says of nights that failed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": ["FAILED"]}}})
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=wanted)
    return [str(run.state.message) for run in runs if run.state is not None]


def chosen(store: str) -> list[tuple[Any, ...]]:
    """Return the newest selection as a program reads it that knows DuckDB alone."""
    with duckdb.connect(f"{store}/published/latest.duckdb", read_only=True) as con:
        return con.execute(
            "SELECT sample_id, position FROM latest_selection ORDER BY position"
        ).fetchall()


def published(store: str) -> str | None:
    """Return the run that is published, None before the first."""
    file = Path(store, "published", "latest.duckdb")
    if not file.exists():
        return None
    with duckdb.connect(str(file), read_only=True) as con:
        found = con.execute("SELECT DISTINCT run_id FROM latest_selection").fetchone()
    return str(found[0]) if found else None


def main(options: Namespace) -> None:
    """Do what somebody does who runs a service, in the current folder."""
    rows: int = options.rows
    pool = pl.read_parquet(example_path("pool.parquet")).sample(rows, seed=0)
    pool.head(int(0.9 * rows)).write_parquet("pool.parquet")
    Path("nightly.toml").write_text(CONFIG)
    with prefect_server(Path("prefect").absolute()), served(options.interval):
        night = wait_for("published", lambda: published("store"))
        first = chosen("store")

        # a night whose pool is half written
        whole = Path("pool.parquet").read_bytes()
        Path("pool.parquet").write_bytes(whole[: len(whole) // 2])
        (message, *_) = wait_for("failed", failed)
        assert "pool.parquet" in message
        assert chosen("store") == first, "readers have the last good night"

        # the pool comes whole, with more rows
        pool.write_parquet("new.parquet")
        os.replace("new.parquet", "pool.parquet")
        wait_for("published", lambda: published("store") not in (None, night))
    second = chosen("store")
    budget = rows // 10
    assert len(second) == budget

    # store and pool move
    Path("elsewhere").mkdir()
    shutil.move("store", "elsewhere/store")
    shutil.move("pool.parquet", "elsewhere/pool.parquet")
    store = "elsewhere/store"
    assert chosen(store) == second
    assay(f"check --store {store}")
    changes = json.loads(assay(f"diff --store {store} --json"))["rows"]
    came = {row["sample_id"] for row in changes if row["change"] == "in"}
    went = {row["sample_id"] for row in changes if row["change"] == "out"}
    assert {name for name, _ in second} - {name for name, _ in first} == came
    assert {name for name, _ in first} - {name for name, _ in second} == went
    assay(f"relocate --store {store} --pool elsewhere/pool.parquet")
    assay(f"export --store {store} --out subset.parquet")
    subset = pl.read_parquet("subset.parquet")
    assert subset["id"].to_list() == [name for name, _ in second]
    assert subset["text"].is_in(pool["text"].implode()).all()

    # readers: anything that speaks DuckDB
    query = "SELECT domain, count(*) AS n FROM latest_selection JOIN latest_samples USING (pool, sample_id) GROUP BY ALL"
    file = Path(store, "published", "latest.duckdb").absolute()
    readers = ["duckdb"]
    with duckdb.connect(str(file), read_only=True) as con:
        counts = dict(con.execute(query).fetchall())
    assert sum(counts.values()) == budget
    if find_spec("duckdb_engine") and find_spec("sqlalchemy"):
        import sqlalchemy

        engine = sqlalchemy.create_engine(
            f"duckdb:///{file}", connect_args={"read_only": True}, poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as link:
            assert {r.domain: r.n for r in link.execute(sqlalchemy.text(query))} == counts
        readers.append("SQLAlchemy")
    if find_spec("ibis"):
        import ibis

        backend = ibis.duckdb.connect(str(file), read_only=True)
        assert int(backend.table("latest_selection").count().execute()) == budget
        readers.append("ibis")
    print(f"{budget} texts, read by {', '.join(readers)}: {counts}")


if __name__ == "__main__":
    start(main, __doc__, rows=400, interval="10s")
