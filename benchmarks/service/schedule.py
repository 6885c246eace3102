"""Nights of a growing pool, fired by the schedules of a real Prefect server on loopback."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from assay.examples import example_path
from assay.storage import ScoreStore
from tests.flows.prefect_server import PrefectServer, prefect_server, stop, wait_for

ROOT = Path(__file__).resolve().parents[2]
NIGHTS = 4
NEW_ROWS = 60
_OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_TEXT = """
## Schedules

{machine}. A real `prefect server` on loopback, with a database of its own. `assay serve --interval
45s` runs the example pool, which gets {new} rows more after each run; then the `prefect.yaml` of this
repository, with an interval for its cron line, is deployed to a process work pool with one worker.
Late: from the time that the schedule names to the beginning of the flow, so the start of a process
and its imports are in it.

| by | run | rows | late (s) | took (s) | state | published |
| --- | ---: | ---: | ---: | ---: | --- | --- |
{table}

{fired} of {fired} schedules fired, {done} runs completed, and each published its selection; the latest
began {late:.1f} s after its time (load average of the machine then: {load:.0f}).
"""


def section() -> str:
    """Let the schedules fire and tell how late; raises where a run fails or does not publish."""
    with (
        tempfile.TemporaryDirectory() as folder,
        prefect_server(Path(folder) / "prefect") as server,
    ):
        nights = _served(server, Path(folder) / "served")
        nights += _pooled(server, Path(folder) / "team")
    late = max(float(night[3]) for night in nights)
    rows = "\n".join(f"| {' | '.join(map(str, night))} |" for night in nights)
    return _TEXT.format(
        machine=f"2 shared cores, Python {platform.python_version()}, "
        f"Prefect {version('prefect')}, DuckDB {version('duckdb')}",
        new=NEW_ROWS,
        table=rows,
        fired=len(nights),
        done=sum(night[5] == "completed" for night in nights),
        late=late,
        load=os.getloadavg()[1],
    )


def _served(server: PrefectServer, folder: Path) -> list[tuple[Any, ...]]:
    """Serve the example pool; let it grow after each run."""
    folder.mkdir()
    whole = pl.read_parquet(example_path("pool.parquet"))
    rows = whole.height - NIGHTS * NEW_ROWS
    whole.head(rows).write_parquet(folder / "pool.parquet")
    shutil.copy(example_path("target.parquet"), folder)
    (folder / "nightly.toml").write_text(
        'pool = "pool.parquet"\nname = "example"\nid = "id"\ntext = "text"\nkeep = ["domain"]\n'
        'target = "target.parquet"\nbudget = "5%"\nstore = "store"\n'
    )
    command = ["-m", "assay.flows.cli", "serve", "nightly.toml", "--interval", "45s"]
    process = server.spawn(command, "serve.log", cwd=folder)
    told = []
    try:
        for night in range(1, NIGHTS + 1):
            run = _run(server, "nightly", night, "serve.log")
            told.append(_night("`assay serve`", night, rows, run, folder / "store"))
            rows += NEW_ROWS
            whole.head(rows).write_parquet(folder / "pool.new")
            (folder / "pool.new").replace(folder / "pool.parquet")
    finally:
        status = stop(process)
    if status != 0:
        raise AssertionError(f"assay serve ended with {status}:\n{server.log('serve.log')}")
    return told


def _pooled(server: PrefectServer, folder: Path) -> list[tuple[Any, ...]]:
    """Deploy the repository's `prefect.yaml` to a work pool, and start a worker."""
    (folder / "examples").mkdir(parents=True)
    for name in ("pool.parquet", "target.parquet"):
        shutil.copy(example_path(name), folder / "examples")
    text = (ROOT / "prefect.yaml").read_text()
    often = text.replace('cron: "0 3 * * *"\n        timezone: UTC', "interval: 30")
    (folder / "prefect.yaml").write_text(often)
    for command in (
        ["work-pool", "create", "assay", "--type", "process"],
        ["--no-prompt", "deploy", "--all"],
    ):
        if server.spawn(["-m", "prefect", *command], "deploy.log", cwd=folder).wait(120) != 0:
            raise AssertionError(server.log("deploy.log"))
    command = ["-m", "prefect", "worker", "start", "--pool", "assay", "--type", "process"]
    worker = server.spawn(command, "worker.log", cwd=folder)
    try:
        run = _run(server, "example", 1, "worker.log")
    finally:
        stop(worker)
    rows = pl.read_parquet(folder / "examples" / "pool.parquet").height
    return [_night("work pool", 1, rows, run, folder / "assay-store")]


def _run(server: PrefectServer, deployment: str, number: int, log: str) -> dict[str, Any]:
    """Return the `number`-th run of a deployment when it is over."""

    def look() -> dict[str, Any] | None:
        if server.client.get(f"/deployments/name/assay-curate/{deployment}").status_code != 200:
            return None
        found = server.ask("GET", f"/deployments/name/assay-curate/{deployment}")
        over = server.flow_runs(found["id"], *_OVER)
        return over[number - 1] if len(over) >= number else None

    run = wait_for(f"run {number} of {deployment}", look, 300)
    if run["state_type"] != "COMPLETED" or not run["auto_scheduled"]:
        raise AssertionError(f"{run['state_type']}, {run['state']['message']}:\n{server.log(log)}")
    return run


def _night(by: str, number: int, rows: int, run: dict[str, Any], store: Path) -> tuple[Any, ...]:
    late = _time(run["start_time"]) - _time(run["expected_start_time"])
    seen = ScoreStore(store).sql("SELECT count(*) AS n FROM latest_samples")["n"].item()
    published = sorted((store / "published").glob("latest-*.duckdb"))
    if seen != rows or not published:
        raise AssertionError(f"the newest run holds {seen} rows of {rows}, published {published}")
    state = run["state_type"].lower()
    took = run["total_run_time"]
    return (by, number, f"{rows:,}", f"{late.total_seconds():.1f}", f"{took:.1f}", state, "yes")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
