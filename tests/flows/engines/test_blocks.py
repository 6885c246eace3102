"""Blocks say where pool and store are, and automations hear of failures and drift: on a real server."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from assay.examples import example_path
from assay.flows import PoolBlock, StoreBlock
from assay.flows.engines.blocks import placed
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError
from tests.flows.prefect_server import PrefectServer, prefect_server, stop, wait_for

ROOT = Path(__file__).resolve().parents[3]
SMALL = {"embedding": {"dimensions": 16, "buckets": 4096}, "scores": ["pagerank"]}


@pytest.mark.parametrize(("block", "field"), [(StoreBlock, "path"), (PoolBlock, "location")])
def test_a_block_holds_no_secret(block: type[Any], field: str) -> None:
    with pytest.raises(ValidationError, match="a password in a URL") as refusal:
        block(**{field: "s3://me:hunter22@bucket/pool"})
    assert "hunter22" not in str(refusal.value)
    with pytest.raises(ValidationError):
        block(**{field: ""})


def test_a_place_is_named_once() -> None:
    with pytest.raises(ConfigError, match="name the pool; leave one out"):
        placed({"pool": "p.parquet"}, "web", None)
    assert placed({"budget": 3}, None, None) == {"budget": 3}


def test_blocks_read_what_they_name(tmp_path: Path, curated: Any, files: dict[str, str]) -> None:
    assert StoreBlock(path=str(curated.store.path)).open().sql("FROM runs").height == 1
    assert PoolBlock(location=files["pool"]).read(id="id", text="text").samples().height == 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as started:
        yield started


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Return the address of a webhook, and what it is told."""
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    hook = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=hook.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{hook.server_port}/", told
    hook.shutdown()
    hook.server_close()


def python(server: PrefectServer, folder: Path, *arguments: str) -> int:
    return server.spawn(list(arguments), "python.log", cwd=folder).wait(200)


def test_a_failed_night_and_a_drifted_pool_are_told(
    server: PrefectServer, posted: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    url, told = posted
    for _ in range(2):  # again: they are replaced
        script = ROOT / "examples" / "prefect" / "automations.py"
        assert python(server, tmp_path, str(script), url) == 0, server.log("python.log")
    found = server.ask("POST", "/automations/filter", {})
    assert sorted(a["name"] for a in found) == [
        "assay: a night failed",
        "assay: a pool has drifted",
    ]

    pool = pl.read_parquet(example_path("pool.parquet"))
    place = tmp_path / "pool.parquet"
    code = (
        "from assay.flows import PoolBlock, StoreBlock\n"
        f"PoolBlock(location={str(place)!r}).save('web', overwrite=True)\n"
        f"StoreBlock(path={str(tmp_path / 'store')!r}).save('nightly', overwrite=True)\n"
        "from assay.flows.deployments import curate_flow\n"
        "curate_flow({'name': 'Web', 'id': 'id', 'text': 'text', 'budget': 20, "
        f"'drift_limit': 0.05, **{SMALL!r}}}, pool_block='web', store_block='nightly')\n"
    )

    def night(frame: pl.DataFrame | None) -> int:
        if frame is None:
            place.write_bytes(b"PAR1 broken")
        else:
            frame.write_parquet(place)
        return python(server, tmp_path, "-c", code)

    assert night(pool.filter(domain="health_qa").head(200)) == 0, server.log("python.log")
    chosen = StoreBlock(path=str(tmp_path / "store")).open().sql("FROM latest_selection")
    assert chosen.height == 20
    assert told == []
    assert night(None) != 0
    (failure,) = wait_for("the webhook", lambda: told or None, 60)
    assert "pool.parquet" in failure["said"]
    assert night(pool.filter(domain="code_java").head(200)) == 0, server.log("python.log")
    wait_for("the webhook", lambda: len(told) > 1 or None, 60)
    assert told[1]["drifted"] == "Web"
    assert told[1]["run"] == ScoreStore(tmp_path / "store").sql(
        "SELECT DISTINCT run_id FROM latest_selection"
    ).item()  # fmt: skip


def test_what_init_writes_is_deployed_and_runs(server: PrefectServer, tmp_path: Path) -> None:
    pl.read_parquet(example_path("pool.parquet")).gather_every(20).write_parquet(
        tmp_path / "pool.parquet"
    )
    shutil.copy(example_path("target.parquet"), tmp_path)
    assert python(server, tmp_path, "-m", "assay", "init", "pool.parquet") == 0
    for command in (
        ["work-pool", "create", "assay", "--type", "process"],
        ["--no-prompt", "deploy", "--all"],
    ):
        assert python(server, tmp_path, "-m", "prefect", *command) == 0, server.log("python.log")
    deployed = server.ask("GET", "/deployments/name/assay-curate/nightly")
    config = deployed["parameters"]["config"]
    assert (config["pool"], config["id"], config["text"]) == ("pool.parquet", "id", "text")
    assert [s["schedule"]["cron"] for s in deployed["schedules"]] == ["0 3 * * *"]
    assert deployed["job_variables"]["env"]["DO_NOT_TRACK"] == "1"

    run = server.start_run(deployed["id"], **config)
    worker = server.spawn(
        ["-m", "prefect", "worker", "start", "--pool", "assay", "--type", "process"],
        "worker.log",
        cwd=tmp_path,
    )
    try:
        ended = server.ended(run)
    finally:
        stop(worker, signal.SIGINT)
    assert ended["state_type"] == "COMPLETED", server.log("worker.log")
    left = {a["key"] for a in server.of_run("artifacts", run)}
    assert {f"assay-pool-{what}" for what in ("summary", "metrics", "progress")} <= left
