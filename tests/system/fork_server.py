"""Runs of assay in processes that are killed, forked from one that has imported everything.

`python -m tests.system.fork_server` reads a job a line from standard input and answers with a line.
It starts no thread and computes nothing itself: what was imported, and the compiled kernels that
were loaded, are all that its children inherit.
"""

from __future__ import annotations

import base64
import gc
import importlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class ForkServer:
    """The client: starts the server, hands it jobs, ends it.

    Jobs are run one after the other. `run` returns `killed` (bool), `error` (the traceback of a run
    that raised, else None), `seconds`, `moments` (the boundaries that were passed), `run_id` and
    `log` (what the run said).
    """

    def __init__(self) -> None:
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.fork_server"],
            cwd=ROOT,
            env=os.environ | one,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, job: str, settings: dict[str, Any], folder: Path, **how: Any) -> dict[str, Any]:
        """Run `curate` or `rank_features` in a child.

        Parameters
        ----------
        job : {"curate", "rank_features"}
        settings : dict
            Keys of the configuration.
        folder : Path
            Where the child leaves its account.
        kill_at : int, optional
            The child kills itself at this boundary, counted from 0.
        kill_after : float, optional
            The server kills the child after so many seconds.
        copy_at, move_at : int, optional
            The store is copied or moved to the path `to` at this boundary, under the child.
        max_file : int, optional
            The greatest size of a file, in bytes, that the child may write.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"job": job, "settings": settings, "folder": str(folder), **how}
        self._process.stdin.write(json.dumps(asked, default=str) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    import assay.flows.running.runner  # noqa: F401

    known: set[str] = set()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        account = Path(job["folder"]) / "account.json"
        account.unlink(missing_ok=True)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _child(job, account)
        killed = _wait(child, job.get("kill_after"))
        seconds = time.monotonic() - began
        said: dict[str, Any] = {"error": None, "run_id": None, "moments": [], "log": ""}
        with suppress(OSError, ValueError):
            said |= json.loads(account.read_text())
        # what the child had to import and to load is there for the next one
        for name in said.pop("modules", []):
            if name not in known:
                known.add(name)
                with suppress(Exception):
                    importlib.import_module(name)
        for kernel in said.pop("kernels", []):
            if kernel not in known:
                known.add(kernel)
                with suppress(Exception):
                    _load(kernel)
        gc.collect()
        gc.freeze()
        said |= {"killed": killed, "seconds": seconds}
        answers.write(json.dumps(said) + "\n")
        answers.flush()
    gc.unfreeze()


def _wait(child: int, kill_after: float | None) -> bool:
    if kill_after is not None:
        end = time.monotonic() + kill_after
        while time.monotonic() < end:
            if os.waitpid(child, os.WNOHANG)[0]:
                return False
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _child(job: dict[str, Any], account: Path) -> None:
    said: dict[str, Any] = {}
    code = 1
    try:
        said = _run(job)
        code = 0
    except BaseException as error:
        said = {"error": "".join(traceback.format_exception(error))}
        said |= {"type": type(error).__name__, "message": str(error)}
    finally:
        with suppress(BaseException):
            import resource

            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            said["log"] = "\n".join(_LOG)
            said["moments"] = _MOMENTS
            said["kernels"] = _kernels()
            said["modules"] = sorted(n for n in sys.modules if n.split(".")[0] in _PRELOADED)
            account.write_text(json.dumps(said))
        os._exit(code)


def _kernels() -> list[str]:
    """Return the compiled kernels that this process has loaded, each with its types."""
    from numba.core.dispatcher import Dispatcher

    found = []
    for name, module in list(sys.modules.items()):
        if name.startswith("assay."):
            for key, value in vars(module).items():
                if isinstance(value, Dispatcher):
                    for types in value.signatures:
                        packed = base64.b64encode(pickle.dumps(types)).decode()
                        found.append(f"{name}:{key}:{packed}")
    return found


def _load(kernel: str) -> None:
    """Load a compiled kernel from Numba's cache; it is not run."""
    name, key, packed = kernel.split(":")
    getattr(importlib.import_module(name), key).compile(pickle.loads(base64.b64decode(packed)))


_PRELOADED = {"assay", "scipy", "sklearn", "numba", "faiss", "networkx", "duckdb", "pyarrow"}
_LOG: list[str] = []
_MOMENTS: list[str] = []


def _run(job: dict[str, Any]) -> dict[str, Any]:
    import logging

    from assay.flows.running import runner
    from assay.storage.disk.boundaries import hooked

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _LOG.append(record.getMessage())

    logging.getLogger("assay").addHandler(Listener())
    logging.getLogger("assay").setLevel(logging.INFO)
    _limit(job.get("max_file"))
    kill_at = job.get("kill_at")

    def hook(moment: str, path: Path) -> None:
        if len(_MOMENTS) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(_MOMENTS) == job.get("copy_at"):
            shutil.copytree(job["settings"]["store"], job["to"], symlinks=True)
        if len(_MOMENTS) == job.get("move_at"):
            os.rename(job["settings"]["store"], job["to"])
        _MOMENTS.append(f"{moment}: {path.parent.name}/{path.name}")

    with hooked(hook):
        result = getattr(runner, job["job"])(**job["settings"])
    return {"run_id": result.run_id, "computed": result.computed}


def _limit(max_file: int | None) -> None:
    if max_file is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, resource.RLIM_INFINITY))


if __name__ == "__main__":
    _serve()
