"""Schedules against a real Prefect server: runs fire, publish, are retried, refused and serialized."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import polars as pl
import pytest

from assay.examples import example_path
from assay.storage import ScoreStore
from tests.flows.prefect_server import PrefectServer, prefect_server, stop, wait_for
from tests.index.embedding.test_models import KEY, Endpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as started:
        yield started


def logged(server: PrefectServer, words: str, *runs: str) -> bool | None:
    """Say whether a line of these runs' logs, which arrive late, holds the words."""
    found = [log["message"] for run in runs for log in server.of_run("logs", run)]
    return any(words in line for line in found) or None


def running(server: PrefectServer, deployment: str, *runs: str) -> bool | None:
    """Say whether all these runs are under way at once."""
    found = {run["id"] for run in server.flow_runs(deployment, "RUNNING")}
    return set(runs) <= found or None


@dataclass
class Service:
    """`assay serve` under way."""

    process: Popen[bytes]
    deployment: str
    config: dict[str, Any]
    first: dict[str, Any]

    @property
    def store(self) -> ScoreStore:
        return ScoreStore(self.config["store"])


@pytest.fixture(scope="module")
def service(
    server: PrefectServer, files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Serve a pool by a schedule, which rests once it has fired."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(files["pool"], folder / "pool.parquet")
    (folder / "nightly.toml").write_text(
        'pool = "pool.parquet"\nname = "Web pages"\nid = "id"\ntext = "text"\nkeep = ["domain"]\n'
        'budget = "10%"\nstore = "store"\nscores = ["pagerank"]\nselect = "facility_location"\n'
        "[embedding]\ndimensions = 16\nbuckets = 4096\n"
    )
    process = server.spawn(
        [
            "-m",
            "assay.flows.cli",
            "serve",
            "nightly.toml",
            "--name",
            "often",
            "--interval",
            "20s",
            "--limit",
            "4",
        ],
        "serve.log",
        cwd=folder,
        OPENAI_API_KEY=KEY,
    )

    def served() -> dict[str, Any] | None:
        assert process.poll() is None, server.log("serve.log")
        try:
            found: dict[str, Any] = server.ask("GET", "/deployments/name/assay-curate/often")
        except httpx.HTTPStatusError:
            return None
        return found

    def begun() -> dict[str, Any] | None:
        assert process.poll() is None, server.log("serve.log")
        found = server.flow_runs(deployment, "RUNNING", "COMPLETED", "FAILED", "CRASHED")
        return found[0] if found else None

    def resting() -> bool | None:
        for run in server.flow_runs(deployment, "SCHEDULED"):
            server.ask("DELETE", f"/flow_runs/{run['id']}")
        return None if server.flow_runs(deployment, "PENDING", "RUNNING") else True

    try:
        found = wait_for("the deployment", served)
        deployment = found["id"]
        first = wait_for("a scheduled run", begun)
        server.ask("PATCH", f"/deployments/{deployment}", {"paused": True})
        first = server.ended(first["id"])
        wait_for("the schedule to rest", resting)
        yield Service(process, deployment, found["parameters"]["config"], first)
    finally:
        stop(process)


def test_a_schedule_fires_and_its_run_publishes(server: PrefectServer, service: Service) -> None:
    run = service.first
    assert run["state_type"] == "COMPLETED", server.log("serve.log")
    assert run["auto_scheduled"]
    done = service.store.sql("SELECT run_id, status, pool FROM runs").row(0)
    assert done[1:] == ("done", "Web pages")
    assert (service.store.path / "published" / "latest.duckdb").exists()
    # what the file names is found from anywhere
    assert Path(service.config["pool"]).is_absolute()
    assert Path(service.config["store"]).is_absolute()


def test_what_the_run_came_to_is_there_through_the_api(
    server: PrefectServer, service: Service
) -> None:
    left = {a["key"]: a for a in server.of_run("artifacts", service.first["id"])}
    summary = left["assay-web-pages-summary"]
    assert summary["type"] == "markdown"
    assert summary["data"].startswith("# Web pages: 60 of 600 rows chosen")
    table = json.loads(left["assay-web-pages-metrics"]["data"])
    told = {row["metric"]: (row["value"], row["baseline"]) for row in table}
    stored = service.store.sql("SELECT name, value, baseline FROM metrics")
    assert told == {name: (value, baseline) for name, value, baseline in stored.rows()}
    progress = left["assay-web-pages-progress"]
    assert (progress["type"], progress["data"]) == ("progress", 100)
    assert progress["updated"] > progress["created"]
    wait_for("the log", lambda: logged(server, "persist: done", service.first["id"]), 20)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"bugdet": 3}, "bugdet"),
        ({"seed": "x"}, "not of type 'integer'"),
        ({"embedding": {"options": {"api_key": KEY}}}, "api_key"),
        ({"pool": f"s3://me:{KEY}@bucket/pool"}, "does not match"),
    ],
)
def test_a_wrong_parameter_is_refused(
    server: PrefectServer, service: Service, keys: dict[str, Any], said: str
) -> None:
    answer = server.client.post(
        f"/deployments/{service.deployment}/create_flow_run",
        json={"parameters": {"config": service.config | keys}},
    )
    assert answer.status_code == 409
    assert said in answer.json()["detail"]


def test_runs_at_once_wait_for_each_other_and_errors_are_told_or_retried(
    server: PrefectServer, service: Service, tmp_path: Path
) -> None:
    endpoint = Endpoint()
    model = {"model": "m", "base_url": endpoint.url, "retries": 0}
    endpoint.script = [(503, {})]
    try:
        with service.store.writing():
            pair = [server.start_run(service.deployment, **service.config, seed=s) for s in (1, 2)]
            gone = server.start_run(
                service.deployment,
                **service.config
                | {"pool": str(tmp_path / "gone.parquet"), "store": str(tmp_path / "a")},
            )
            retried = server.start_run(
                service.deployment,
                **service.config
                | {
                    "store": str(tmp_path / "b"),
                    "embedding": {"name": "openai", "options": model},
                },
            )

            wait_for("two runs under way", lambda: running(server, service.deployment, *pair))
            failed = server.ended(gone)
            mended = server.ended(retried)
        ended = [server.ended(run) for run in pair]
    finally:
        endpoint.server.shutdown()
        endpoint.server.server_close()

    assert [run["state_type"] for run in ended] == ["COMPLETED"] * 2, server.log("serve.log")
    times = service.store.sql(
        "SELECT started_at, finished_at FROM runs WHERE seed > 0 ORDER BY started_at"
    ).rows()
    assert len(times) == 2
    assert times[0][1] <= times[1][0]
    wait_for("the log", lambda: logged(server, "is being written by", *pair), 20)

    # a user's mistake is told at once
    assert failed["state_type"] == "FAILED"
    assert "gone.parquet" in failed["state"]["message"]
    (plan,) = server.of_run("task_runs", gone)
    assert plan["run_count"] == 1
    assert not (tmp_path / "a").exists()

    assert mended["state_type"] == "COMPLETED", server.log("serve.log")
    tasks = {
        t["name"].rpartition("-")[0]: t["run_count"] for t in server.of_run("task_runs", retried)
    }
    assert tasks["embed"] == 2
    assert set(tasks.values()) == {1, 2}
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_no_secret_is_kept_anywhere(server: PrefectServer, service: Service) -> None:
    for folder in (server.home, service.store.path):
        for path in folder.rglob("*"):
            if path.is_file():
                assert KEY.encode() not in path.read_bytes(), path


def test_it_stops_when_told_and_cancels_what_runs(server: PrefectServer, service: Service) -> None:
    with service.store.writing():
        run = server.start_run(service.deployment, **service.config, seed=3)
        wait_for("a run under way", lambda: running(server, service.deployment, run))
        assert stop(service.process, signal.SIGINT, 60) == 0, server.log("serve.log")
    assert "assay: stopped" in server.log("serve.log")
    assert "Traceback" not in server.log("serve.log").rpartition("assay: stopping")[2]
    assert server.ask("GET", f"/flow_runs/{run}")["state_type"] == "CANCELLED"
    assert server.ask("GET", f"/deployments/{service.deployment}")["paused"]
    assert service.store.sql("SELECT count(*) AS n FROM runs WHERE seed = 3").item() == 0


@pytest.mark.slow
def test_a_work_pool_runs_the_shipped_deployment(server: PrefectServer, tmp_path: Path) -> None:
    text = (ROOT / "prefect.yaml").read_text()
    often = text.replace('cron: "0 3 * * *"\n        timezone: UTC', "interval: 10")
    assert often != text
    (tmp_path / "prefect.yaml").write_text(often)
    (tmp_path / "examples").mkdir()
    for name in ("pool.parquet", "target.parquet"):
        shutil.copy(example_path(name), tmp_path / "examples")
    for command in (
        ["work-pool", "create", "assay", "--type", "process"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = server.spawn(["-m", "prefect", *command], "deploy.log", cwd=tmp_path)
        assert done.wait(120) == 0, server.log("deploy.log")
    found = server.ask("GET", "/deployments/name/assay-curate/example")
    shipped = found["job_variables"]["env"]
    assert (shipped["DO_NOT_TRACK"], shipped["PREFECT_SERVER_ANALYTICS_ENABLED"]) == ("1", "false")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    worker = server.spawn(
        ["-m", "prefect", "worker", "start", "--pool", "assay", "--type", "process"],
        "worker.log",
        cwd=elsewhere,
    )

    def completed() -> dict[str, Any] | None:
        assert worker.poll() is None, server.log("worker.log")
        done = server.flow_runs(found["id"], "COMPLETED", "FAILED", "CRASHED")
        return done[0] if done else None

    try:
        run = wait_for("a scheduled run", completed, 180)
    finally:
        stop(worker, signal.SIGINT)
    assert run["state_type"] == "COMPLETED", server.log("worker.log")
    chosen = ScoreStore(tmp_path / "assay-store").sql("SELECT count(*) AS n FROM latest_selection")
    assert chosen["n"].item() == 300
    assert "assay-example-summary" in {a["key"] for a in server.of_run("artifacts", run["id"])}


@pytest.mark.slow
def test_a_feature_ranking_is_a_flow_too(server: PrefectServer, tmp_path: Path) -> None:
    pl.DataFrame(
        {"a": [0, 0, 1, 1] * 5, "b": [0, 1] * 10, "y": ["n", "n", "p", "p"] * 5}
    ).write_parquet(tmp_path / "Table.parquet")
    (tmp_path / "c.toml").write_text('table = "Table.parquet"\nlabel = "y"\nk = 1\nstore = "s"\n')
    done = server.spawn(["-m", "assay.flows.deployments", "c.toml"], "features.log", cwd=tmp_path)
    assert done.wait(120) == 0, server.log("features.log")
    left = {a["key"]: a for a in server.ask("POST", "/artifacts/filter", {})}
    (row,) = json.loads(left["assay-table-metrics"]["data"])
    assert (row["method"], row["feature"], row["rank"]) == ("ecfs", "a", 1)
    assert "| ecfs | 1 | a |" in left["assay-table-summary"]["data"]
    assert left["assay-table-progress"]["data"] == 100
