"""How much memory a run may take, and what is known of how much it will."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from assay.storage.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from assay.flows.config.curation import CurationConfig

_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
# of a process that has imported everything, compiled and read a batch
_BASE = 600 * 2**20
# what the fit of the default embedder needs beside, at its default size
_FITTING = 250 * 2**20
# vectors of a model that does not say how long they are
_DIMENSIONS = 768


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


def known_memory(
    config: CurationConfig, kind: str, rows: int, dimensions: int | None = None
) -> int:
    """Return the bytes that a run of the default methods takes, from the number of rows alone.

    The largest of the stages counts: the index (copies of the vectors), the scores on the graph
    (copies of its edges), the selection and its judgement (both). `assay plan` measures instead.

    Parameters
    ----------
    config : CurationConfig
    kind : {"text", "vector", "image"}
    rows : int
    dimensions : int, optional
        Length of the vectors where the pool holds vectors.

    Examples
    --------
    >>> from assay.flows.config.curation import CurationConfig
    >>> memory_told(known_memory(CurationConfig(), "text", 1_000_000))
    '2.7 GiB'
    """
    if dimensions is None:
        own = config.embedding.name == "default"
        dimensions = (
            config.embedding.dimensions
            if own
            else int(config.embedding.options.get("dimensions", _DIMENSIONS))
        )
    k = config.graph.k
    of_row = max(
        200 + 15 * dimensions,
        250 + 95 * k,
        500 + 9 * dimensions + 42 * k,
        1_200 + 6 * dimensions + 23 * k,
    )
    fitting = _FITTING if kind != "vector" and config.embedding.name == "default" else 0
    return _BASE + max(fitting, of_row * rows)


def check_memory(
    config: CurationConfig, kind: str, rows: int, dimensions: int | None = None
) -> None:
    """Raise `ResourceError` where a pool of so many rows would need more than `memory_limit`."""
    if config.memory_limit is None:
        return
    needed = known_memory(config, kind, rows, dimensions)
    if needed > config.memory_limit:
        raise refusal(rows, needed, config.memory_limit)


def refusal(rows: int, needed: int, limit: int) -> ResourceError:
    """Build the error for a run that would need more memory than it may."""
    return ResourceError(
        f"A run over {rows:,} rows takes about {memory_told(needed)} of memory, and memory_limit is "
        f"{memory_told(limit)}. Raise the limit, lower `dimensions` of [embedding] or `k` of [graph], "
        "or run parts of the pool; `assay plan` shows which stage takes how much."
    )
