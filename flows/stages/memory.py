"""How much memory a run of known size takes, and the refusal of one that would take too much."""

from __future__ import annotations

from assay.flows.config.curation import CurationConfig
from assay.flows.config.memory_size import memory_told
from assay.storage.errors import ResourceError

# of a process that has imported everything, compiled and read a batch
_BASE = 600 * 2**20
# what the fit of the default embedder needs beside, at its default size
_FITTING = 250 * 2**20
# what the judgement reads and counts, however many rows there are
_JUDGING = 200 * 2**20
# of a row in an index of words: its text, its distinct words and the rarest of them
_WORDS = 2_000
# vectors of a model that does not say how long they are
_DIMENSIONS = 768


def known_memory(
    config: CurationConfig, kind: str, rows: int, dimensions: int | None = None
) -> int:
    """Return the bytes that a run of the default methods takes, from the number of rows alone.

    The largest of the stages counts: the graph (its lists and edges beside the vectors), or what selects
    and persists (the vectors once more). `assay plan` measures instead.

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
    '1.9 GiB'
    """
    if dimensions is None:
        own = config.embedding.name == "default"
        dimensions = (
            config.embedding.dimensions
            if own
            else int(config.embedding.options.get("dimensions", _DIMENSIONS))
        )
    dimensions += config.embedding.structure
    hybrid = config.graph.kind == "hybrid"
    k = config.graph.k * (2 if hybrid else 1)
    of_row = max(100 + 5 * dimensions + 28 * k, 200 + 7 * dimensions)
    fitting = _FITTING if kind != "vector" and config.embedding.name == "default" else 0
    if hybrid:
        of_row += _WORDS
    return _BASE + max(fitting, of_row * rows + min(_JUDGING, of_row * rows))


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
