"""Parts that run in a process of their own, and the memory they take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]


def run_alone(
    module: str, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a module of the benchmarks' rooms, such as "graphs.memory", and capture its output."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def output_alone(module: str, *arguments: object, **environment: str) -> str:
    """Run a module as `run_alone` does; return its standard output, or raise if it fails."""
    finished = run_alone(module, *arguments, **environment)
    if finished.returncode:
        raise RuntimeError(f"{module} failed:\n{finished.stderr}")
    return finished.stdout


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # what getrusage tells there may be the parent's
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
