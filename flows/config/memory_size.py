"""Sizes of memory: read from text, written in words, and that of this machine."""

from __future__ import annotations

import os
import re
from typing import Any

from assay.storage.errors import ConfigError

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)
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
    if isinstance(given, str) and (found := _TEXT.fullmatch(given)):
        number, unit = found.groups()
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
    """Return the memory of this machine in bytes, None where it can't be known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
