"""What a run will take, before it is run: rows, shards, memory, disk and time of each stage."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.flows.estimate.measuring import StageCost
from assay.storage import errors
from assay.storage.errors import ResourceError

if TYPE_CHECKING:
    from assay.flows.config.curation import CurationConfig

# allocators that give freed memory back at once, or when asked, so that what is held grows with the rows
_EVEN = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
}


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    rows : int
        Of the pool.
    sampled : tuple of int
        Rows of the samples that were run, in that order.
    stages : tuple of StageCost
        In the order in which they run.
    memory_limit : int or None
        Bytes that the run may take: as configured, else None.
    rows_at_once : int or None
        Rows that the limit (else this machine's memory) has room for; None where there is neither.
    shard_rows, shard_memory : int or None
        Where an engine runs shards: the rows of each, and the bytes that one takes by itself.
    """

    rows: int
    sampled: tuple[int, ...]
    stages: tuple[StageCost, ...]
    memory_limit: int | None
    rows_at_once: int | None
    shard_rows: int | None = None
    shard_memory: int | None = None

    @property
    def memory(self) -> int:
        """Bytes at the peak."""
        return max(stage.memory for stage in self.stages)

    @property
    def disk(self) -> int:
        """Bytes that the run leaves in an empty store."""
        return sum(stage.disk for stage in self.stages)

    @property
    def shards(self) -> int | None:
        """Shards that the engine runs, or parts of the pool that fit in memory.

        None where there is room for not one row.
        """
        if self.shard_rows is not None:
            return math.ceil(self.rows / self.shard_rows)
        if self.rows_at_once is None:
            return 1
        return math.ceil(self.rows / self.rows_at_once) if self.rows_at_once else None

    @property
    def refused(self) -> ResourceError | None:
        """Why the run is refused, None where it is not."""
        if self.memory_limit is None or self.memory <= self.memory_limit:
            return None
        from assay.flows.stages.memory import refusal

        return refusal(self.rows, self.memory, self.memory_limit)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "rows": self.rows,
            "shards": self.shards,
            "shard_rows": self.shard_rows,
            "shard_memory": self.shard_memory,
            "rows_at_once": self.rows_at_once,
            "memory": self.memory,
            "memory_limit": self.memory_limit,
            "disk": self.disk,
            "cpu_seconds": sum(stage.cpu_seconds for stage in self.stages),
            "seconds": sum(stage.seconds for stage in self.stages),
            "sampled": list(self.sampled),
            "stages": [asdict(stage) for stage in self.stages],
        }


def estimate(config: CurationConfig | Path, *, show: bool = False, **settings: Any) -> Estimate:
    r"""Run samples of the pool through every stage, and extrapolate what each takes.

    The samples are evenly spaced rows of the pool, read once, which one process of its own runs one
    after the other, in stores of their own; the configured store is not written to. Up to 10,000 rows the
    sample is the whole pool. Else a first sample of 1,000 to 2,000 rows tells what is loaded and fitted
    once; two after it (as many rows again, and four times as many: 4,000 to 8,000, with the cube root of
    the pool's rows; of methods whose memory is not known an eighth, up to 40,000) differ by their rows alone, so
    they tell how the costs grow: with n, the graph's time with n^(7/6) (that of a hybrid one with the square
    of n above 25,600 rows), that of a selector of clusters with the centroids that rows meet, the
    judgement's with the root of n, the fit's with the root of the rows that it takes. Samples fit
    their embedder on at most 2,000 rows.

    References are sampled with the pool, as large a share of their rows, so that asking costs less
    than hashing them: what is said of fewer rows is about as much smaller references.

    Memory: allocators keep freed memory, by an amount that does not grow with n for long. So freed
    memory is given back before every stage of a sample, and what is kept is added, as it was measured
    at 1,000 to 100,000 rows.

    Parameters
    ----------
    config : CurationConfig or Path
        Or the TOML file that it is read from, by the other process alone: what this one need not load
        it does not wait for.
    show : bool
        Whether to show which sample runs, and its stages, on standard error.
    **settings
        Of the configuration, in place of those of the file.

    Returns
    -------
    Estimate
        For a store that holds nothing of the pool yet; a later run over a changed pool takes less.

    Raises
    ------
    AssayError
        As `curate` does where the configuration is at fault.
    ResourceError
        A sample can't be run.
    """
    with tempfile.TemporaryDirectory(prefix="assay-run-") as folder:
        asked, answer = Path(folder, "asked"), Path(folder, "answer")
        given = (
            {"file": str(config), "settings": settings}
            if isinstance(config, Path)
            else {"values": config.model_dump(mode="json", exclude_unset=True)}
        )
        asked.write_text(json.dumps(given | {"show": show}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "assay.flows.estimate.child", folder],
            env=os.environ | _EVEN,
            stdout=subprocess.DEVNULL,
            stderr=None if show else subprocess.PIPE,
            text=True,
            check=False,
        )
        if not answer.exists():
            said = (done.stderr or "").strip().splitlines()
            raise ResourceError(
                "The process that runs samples of the pool ended before it was done, so that nothing is "
                f"known of the whole pool: {said[-1] if said else f'it ended with {done.returncode}'}. "
                "Close what else takes memory, or ask about a part of the pool."
            )
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise getattr(errors, found["error"], ResourceError)(found["message"])
    stages = tuple(StageCost(**stage) for stage in found.pop("stages"))
    return Estimate(**found | {"stages": stages, "sampled": tuple(found["sampled"])})
