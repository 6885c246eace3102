"""A Prefect server on the loopback device, with its own home and database, and what to ask it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 240) -> T:
    """Return what `look` finds, asking twice a second; fail when it finds nothing in time."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: nothing after {seconds:g} s")
        time.sleep(0.5)


def stop(process: subprocess.Popen[Any], number: int = signal.SIGTERM, seconds: float = 30) -> int:
    """End a process that was started here, with all it started; return its exit status."""
    if process.poll() is None:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


class PrefectServer:
    """A server that answers at `url`; everything it keeps is in `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        # telemetry is left to assay: nothing here turns it off for what it starts
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        kept.pop("DO_NOT_TRACK", None)
        self.environment = kept | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        quiet = {
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "5",
        }
        command = ["server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        process = self.spawn(["-m", "prefect", *command], "server.log", **quiet)
        self.process = process

        def healthy() -> bool | None:
            assert process.poll() is None, self.log("server.log")
            try:
                return self.client.get("/health").status_code == 200 or None
            except httpx.TransportError:
                return None

        wait_for("the Prefect server", healthy)

    def spawn(
        self, arguments: list[str], log: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start Python with these arguments in a process group of its own; its words go to a log."""
        with (self.home / log).open("ab") as file:
            return subprocess.Popen(
                [sys.executable, *arguments],
                stdout=file,
                stderr=file,
                env=self.environment | environment,
                cwd=cwd,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """Return a log so far."""
        return (self.home / name).read_text(errors="replace")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer's JSON; what the server refuses is an error."""
        answer = self.client.request(method, path, json=body)
        for _ in range(10):
            if answer.status_code != 503:
                break
            time.sleep(1)  # its database was locked
            answer = self.client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def flow_runs(self, deployment: str, *states: str) -> list[dict[str, Any]]:
        """Return the runs of a deployment in these states, the oldest first."""
        wanted: dict[str, Any] = {"deployments": {"id": {"any_": [deployment]}}}
        if states:
            wanted["flow_runs"] = {"state": {"type": {"any_": list(states)}}}
        found: list[dict[str, Any]] = self.ask(
            "POST", "/flow_runs/filter", wanted | {"sort": "EXPECTED_START_TIME_ASC"}
        )
        return found

    def start_run(self, deployment: str, **config: Any) -> str:
        """Start a run at once with these keys; return its id."""
        path = f"/deployments/{deployment}/create_flow_run"
        return str(self.ask("POST", path, {"parameters": {"config": config}})["id"])

    def ended(self, run: str, seconds: float = 240) -> dict[str, Any]:
        """Return a run when it has come to an end."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.ask("GET", f"/flow_runs/{run}")
            over = found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            return found if over else None

        return wait_for(f"the end of flow run {run}", look, seconds)

    def of_run(self, what: str, run: str) -> list[dict[str, Any]]:
        """Return the artifacts, logs or task_runs of a flow run."""
        known = {"artifacts": "artifacts", "logs": "logs", "task_runs": "task_runs"}[what]
        if what == "task_runs":
            wanted: dict[str, Any] = {"flow_runs": {"id": {"any_": [run]}}}
        else:
            wanted = {known: {"flow_run_id": {"any_": [run]}}}
        found: list[dict[str, Any]] = self.ask("POST", f"/{what}/filter", wanted)
        return found


@contextmanager
def prefect_server(home: Path) -> Iterator[PrefectServer]:
    """Run a server for the time of a `with` statement."""
    server = PrefectServer(home)
    try:
        server.start()
        yield server
    finally:
        server.client.close()
        if server.process is not None:
            stop(server.process, signal.SIGINT, 10)
