"""Sizes of memory: read from text, written in words, and that of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from assay.index.threads import thread_count
from assay.storage.errors import ConfigError, ResourceError

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)
# address space that the libraries take on two cores, and what each core's threads add to it
_RUNNING_SPACE = 3 << 30, 512 << 20
_READING_SPACE = 896 << 20, 64 << 20
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_memory(given: Any) -> int:
    """Return a number of bytes, from a whole number or text such as "16GiB" or "500 MB".

    Raises
    ------
    ConfigError
        It is neither, or less than one byte.

    Examples
    --------
    >>> parse_memory("16GiB"), parse_memory("1.5 MB"), parse_memory(4096)
    (17179869184, 1500000, 4096)
    """
    if isinstance(given, str) and (match := _TEXT.fullmatch(given)):
        number, unit = match.groups()
        letter, base = _unit(unit.lower())
        if letter is not None:
            given = int(float(number) * base ** _POWERS[letter])
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(
            f"The memory limit is {given!r}; it may be a number of bytes, or text such as '16GiB' "
            "or '500 MB'."
        )
    return given


def _unit(unit: str) -> tuple[str | None, int]:
    """Return the letter of a unit (None where it is none), and what it is a power of."""
    for ending, base in (("ib", 1024), ("b", 1000), ("", 1000)):
        letter = unit.removesuffix(ending) if unit.endswith(ending) else unit
        if unit.endswith(ending) and letter in _POWERS and (letter or ending != "ib"):
            return letter, base
    return None, 0


def memory_told(size: float) -> str:
    """Return a number of bytes in words.

    Examples
    --------
    >>> memory_told(17_179_869_184), memory_told(5_000_000)
    ('16.0 GiB', '5 MiB')
    """
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def machine_memory() -> int | None:
    """Return the memory that this process may use in bytes, None where it can't be known.

    That is the machine's, or its container's where that is less.
    """
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    return min([machine, *_group_limits(Path("/proc/self"), Path("/sys/fs/cgroup"))])


def _group_limits(process: Path, groups: Path) -> Iterator[int]:
    """Yield the memory limits of a process's control groups, of version 1 or 2, and those above."""
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        root, name = (groups / "memory", "memory.limit_in_bytes")
        if not controllers:
            root, name = groups, "memory.max"
        # a container often sees its own group as the root, whatever its path says
        below = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for depth in range(len(below), -1, -1):
            with suppress(OSError, ValueError):
                yield int(root.joinpath(*below[:depth], name).read_text())


def check_address_space(*, reading: bool = False) -> None:
    """Raise where this process may map less memory (`ulimit -v`) than the libraries ask for.

    Most of it is never touched: stacks and buffers of threads. A library that does not get it ends
    the process, so it is asked first. `reading` is for what opens a store and computes nothing.

    Raises
    ------
    ResourceError
        It may map less.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    base, of_core = _READING_SPACE if reading else _RUNNING_SPACE
    needed = base + of_core * thread_count()
    for name, option in (("RLIMIT_AS", "-v"), ("RLIMIT_DATA", "-d")):
        limit, _ = resource.getrlimit(getattr(resource, name))
        wanted = needed if option == "-v" else needed // 2
        if limit != resource.RLIM_INFINITY and 0 <= limit < wanted:
            raise ResourceError(
                f"This process may map {memory_told(limit)} of memory (`ulimit {option}`), and it takes "
                f"about {memory_told(wanted)}, most of which is never used. Raise the limit (`ulimit "
                f"{option} unlimited`); a container or memory_limit bounds what is really used."
            )
