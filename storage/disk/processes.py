"""Which process wrote something, and whether it still runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def _stat(process: int) -> list[str]:
    """Return the fields of `/proc/<process>/stat` after the name, or an empty list."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return []


def process_started(process: int) -> str | None:
    """Return when a process of this machine began, in a form that is good only for comparing.

    A number of a process is given again; the number and its start are not. None where the system
    does not tell (it is read from `/proc`).
    """
    fields = _stat(process)
    if len(fields) < 20:
        return None
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{boot}-{fields[19]}"


def process_began(process: int) -> float | None:
    """Return the time at which a process of this machine began, to a second or two.

    None where the system does not tell.
    """
    fields = _stat(process)
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
        return boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return None


def process_lives(process: int, started: str | None = None) -> bool:
    """Return whether a process of this machine runs and is the one that began at `started`."""
    if os.name == "nt":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # type: ignore[attr-defined,unused-ignore]
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined,unused-ignore]
        return bool(handle)
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    if _stat(process)[:1] in (["Z"], ["X"]):
        return False  # ended, and its parent has not looked yet
    return started is None or process_started(process) in (None, started)


def this_process() -> dict[str, Any]:
    """Return what identifies this process: `process`, `process_started` and `host`."""
    process = os.getpid()
    return {
        "process": process,
        "process_started": process_started(process),
        "host": platform.node(),
    }


def is_stopped(mark: Mapping[str, Any]) -> bool:
    """Return whether the process marked by `this_process` was stopped by a signal, and not ended."""
    here = mark.get("host") in (None, platform.node())
    return here and _stat(int(mark["process"]))[:1] in (["T"], ["t"])


def writer_lives(mark: Mapping[str, Any]) -> bool | None:
    """Return whether the process marked by `this_process` lives; None: it is on another host."""
    if mark.get("host") not in (None, platform.node()):
        return None
    return process_lives(int(mark["process"]), mark.get("process_started"))
