"""Runs on a cluster of this machine, one of whose workers is killed while it works on a shard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.flows.stages.sharding import PARTS
from assay.storage.disk.atomic import writer_of


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes
    ----------
    killed : str
        The kind of artifact that the killed worker was writing; empty where none was killed.
    log : str
        What was said.
    seconds : float
    """

    killed: str
    log: str
    seconds: float


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a run that starts its own Prefect server, whose home is `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    return kept | {
        "PREFECT_HOME": str(home),
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        # Ray starts workers in a package's folder otherwise
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


def toml(config: dict[str, Any]) -> str:
    """Return a configuration of plain values and tables as TOML."""
    plain = {k: v for k, v in config.items() if not isinstance(v, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for name, table in config.items():
        if isinstance(table, dict):
            lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def run(folder: Path, config: dict[str, Any], *, kill: bool, seconds: float = 540) -> Ended:
    """Run a configuration as a Prefect flow in a process of its own.

    `kill`: kill one worker with SIGKILL, the first that is seen writing a shard.
    """
    store = Path(config["store"])
    (folder / "run.toml").write_text(toml(config))
    began = time.monotonic()
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "assay.flows.deployments", str(folder / "run.toml")],
            stdout=log,
            stderr=log,
            env=environment(folder / "prefect"),
            start_new_session=True,
        )
        killed = ""
        try:
            while process.poll() is None and time.monotonic() - began < seconds:
                if kill and not killed:
                    killed = _kill_writer(store, process.pid)
                    time.sleep(0.002)
                else:
                    time.sleep(0.2)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = (folder / "run.log").read_text(errors="replace")
    assert process.returncode == 0, said[-5_000:]
    return Ended(killed, said, time.monotonic() - began)


def _kill_writer(store: Path, flow: int) -> str:
    for kind in PARTS[1:]:
        for path in (store / "artifacts" / kind).glob(".*.tmp"):
            writer = writer_of(path)
            if writer not in (None, flow):
                os.kill(writer, signal.SIGKILL)
                return kind
    return ""
