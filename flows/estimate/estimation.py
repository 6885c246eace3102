"""What a run will take, before it is run: rows, shards, memory, disk and time of each stage."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.config.had import condition_of
from assay.flows.config.memory_size import machine_memory
from assay.flows.estimate.measuring import StageCost
from assay.flows.stages.artifacts import usable
from assay.flows.stages.memory import refusal
from assay.flows.stages.run import Run, labels_of, read_references, resolve_run
from assay.storage import Pool, read_pool
from assay.storage.errors import ResourceError
from assay.storage.reading.types import storable

# up to here the whole pool is the sample
_SMALL = 10_000
_LARGE = 80_000
# n n d up to which `method = "auto"` of the graph compares all pairs
_EXACT = 2e10
# texts up to which the rarest words stay as rare, however many there are
_FEW = 25_600
# peaks of the same run differ: by up to 6 % where they were measured
_MARGIN = 1.1
# freed memory goes back at once, so that what is held grows evenly with the rows
_EVEN = {
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
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
        Rows of the samples that were run.
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


def estimate(config: CurationConfig) -> Estimate:
    r"""Run samples of the pool through every stage, and extrapolate what each takes.

    The samples are evenly spaced rows of the pool: all of them up to 10,000 rows, else a quarter
    (10,000 to 80,000 rows), and half of that for how the costs grow. They run in processes and
    stores of their own; the configured store is not written to. A stage takes a fixed part and one
    that grows with n; the graph's time grows with n log n, that of a hybrid one with the square of n above 25,600 rows.

    References are sampled with the pool, as large a share of their rows, so that asking costs less
    than hashing them: what is said of fewer rows is about as much smaller references.

    Memory: allocators keep freed memory, by an amount that does not grow with n for long. So the
    growth is measured where freed memory goes back at once, and added to what the larger sample
    took with the allocator as it is. A tenth is added to the sum, as peaks differ from run to run.

    Parameters
    ----------
    config : CurationConfig

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
    run = resolve_run(config)
    pool = run.read_pool()
    rows = pool.n_rows if pool.n_rows is not None else pool.samples().height
    sizes = sample_sizes(rows)
    with tempfile.TemporaryDirectory(prefix="assay-run-") as folder:
        larger = _measured(run, pool, rows, sizes[-1], Path(folder, "as-it-is"), {})
        growth = [
            _measured(run, pool, rows, size, Path(folder, str(size)), _EVEN)
            for size in (sizes if sizes[-1] < rows else ())
        ]
    hybrid = run.config.graph.kind == "hybrid"
    costs = Costs(sizes, larger, growth, run.config.embedding.fit_rows, hybrid)
    room = config.memory_limit or machine_memory()
    at_once = None if room is None else costs.rows_within(room, rows)
    estimated = Estimate(rows, sizes, costs.of(rows), config.memory_limit, at_once)
    if config.engine == "process":
        return estimated
    shard = min(rows, config.shard_rows)
    memory = max(stage.memory for stage in costs.of(shard))
    return replace(estimated, shard_rows=config.shard_rows, shard_memory=memory)


def sample_sizes(rows: int) -> tuple[int, ...]:
    """Return how many rows the samples have, the smaller first.

    Examples
    --------
    >>> sample_sizes(3_000), sample_sizes(20_000), sample_sizes(1_000_000)
    ((3000,), (5000, 10000), (40000, 80000))
    """
    if rows <= _SMALL:
        return (rows,)
    larger = min(max(rows // 4, _SMALL), _LARGE)
    return larger // 2, larger


@dataclass(frozen=True)
class Costs:
    """What was measured of samples.

    Attributes
    ----------
    sizes : sequence of int
        Rows of the samples, the smaller first.
    larger : sequence of StageCost
        Of the larger sample.
    growth : sequence of two sequences of StageCost, or empty
        Of both samples, where freed memory goes back at once. Empty: the sample is the whole pool.
    fit_rows : int
        Rows that the embedder is fitted on.
    by_words : bool
        Whether the graph joins texts by their words, too.

    Examples
    --------
    >>> at = lambda n: [StageCost("read", n / 100, n / 100, 500 + 2 * n, 3 * n)]
    >>> costs = Costs((100, 200), at(200), (at(100), at(200)), 10)
    >>> costs.of(1_000)
    (StageCost(stage='read', cpu_seconds=10.0, seconds=10.0, memory=2750, disk=3000),)
    >>> costs.rows_within(1_650, 1_000)
    500
    """

    sizes: Sequence[int]
    larger: Sequence[StageCost]
    growth: Sequence[Sequence[StageCost]]
    fit_rows: int
    by_words: bool = False

    def of(self, rows: int) -> tuple[StageCost, ...]:
        """Estimate what the stages take for a number of rows."""
        if not self.growth:
            return tuple(self.larger)
        return tuple(self._stage(place, rows) for place in range(len(self.larger)))

    def _stage(self, place: int, rows: int) -> StageCost:
        cost = self.larger[place]
        values = asdict(cost)
        for name in ("cpu_seconds", "seconds", "memory", "disk"):
            low, high = (getattr(sample[place], name) for sample in self.growth)
            time = name.endswith("seconds")
            before, here, later = (
                self._scale(cost.stage, n, time=time) for n in (*self.sizes, rows)
            )
            slope = max(0.0, (high - low) / (here - before)) if here > before else 0.0
            value = values[name] + slope * (later - here)
            values[name] = value if time else round(value * (_MARGIN if name == "memory" else 1))
        return StageCost(**values)

    def _scale(self, stage: str, rows: int, *, time: bool) -> float:
        """Return what a stage's cost grows in proportion to."""
        if stage == "fit":
            return min(rows, self.fit_rows)
        if stage == "graph" and time and self.by_words:
            # every text meets those of its words, of which none is in more than so many texts
            return rows * max(1.0, rows / _FEW)
        if stage == "graph" and time:
            return rows * math.log2(max(2, rows))
        return rows

    def rows_within(self, room: int, rows: int) -> int:
        """Return how many rows (at most `rows`) take no more memory than `room`, 0: not one."""
        low, high = 0, rows
        while low < high:
            middle = (low + high + 1) // 2
            fits = max(stage.memory for stage in self.of(middle)) <= room
            low, high = (middle, high) if fits else (low, middle - 1)
        return low


def _measured(
    run: Run, pool: Pool, rows: int, size: int, folder: Path, environment: dict[str, str]
) -> list[StageCost]:
    """Run a sample in a process of its own and return what its stages took."""
    folder.mkdir()
    _write_sample(pool, rows, size, folder / "pool.parquet")
    values = sample_config(run, rows, size)
    references = read_references(run.config) if size < rows else {}
    for place, (name, held) in enumerate(references.items()):
        path = folder / f"reference-{place}.parquet"
        count = held.n_rows if held.n_rows is not None else held.samples().height
        _write_sample(held, count, max(1, count * size // rows), path)
        values["plan"]["reference"][name] = str(path)
    values |= {"pool": str(folder / "pool.parquet"), "store": str(folder / "store")}
    if size < rows and run.config.like:
        # as many seeds, of those that the sample holds
        samples = read_pool(values["pool"], **run.config.roles()).samples()
        values["like"] = usable(samples)["sample_id"].head(len(run.config.like)).to_list()
    if run.config.labels is not None:
        # as large a share of the sample's rows, with the same labels
        ids = read_pool(values["pool"], **run.config.roles()).samples()["sample_id"]
        labels = labels_of(run.config)["label"].head(max(2, round(size / rows * ids.len())))
        ids = ids.head(len(labels))
        values["labels"] = str(folder / "labels.parquet")
        named = {"sample_id": ids, values["label"]: labels.head(len(ids))}
        pl.DataFrame(named).write_parquet(folder / "labels.parquet")
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "assay.flows.estimate.measuring"),
            *(str(folder / "config.json"), str(size / rows)),
        ],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise ResourceError(
            f"A sample of {size:,} rows can't be run, so that nothing is known of the whole pool: "
            f"{lines[-1]}"
        )
    return [StageCost(**cost) for cost in json.loads(done.stdout.splitlines()[-1])]


def _write_sample(pool: Pool, rows: int, size: int, path: Path) -> None:
    """Write evenly spaced rows of a pool, or of a reference."""
    taken = (np.arange(size) * rows) // size
    sample = pool.take(taken)
    if pool.kind == "image":  # whose paths lead nowhere from the sample
        content = pl.Series(pool.roles.content, pool.contents_at(taken))
        sample = sample.with_columns(content)
    storable(sample, as_tables=False).write_parquet(path)


def sample_config(run: Run, rows: int, size: int) -> dict[str, Any]:
    """Return the configuration of a sample in one process: same methods, counts in proportion.

    Parameters
    ----------
    run : Run
        Of the whole pool.
    rows, size : int
        Of the pool and of the sample.
    """
    values = run.config.model_dump(mode="json")
    share = size / rows
    budget = values["budget"]
    if isinstance(budget, int):
        counted = run.config.plan.cost is not None
        values["budget"] = max(1, round(budget * share)) if counted else min(1.0, budget / rows)
    rules = values["plan"]
    # ids and sources, which the sample may not hold
    rules |= {"must_include": [], "must_exclude": [], "churn": None}
    if condition_of(run.config.plan.covered) is None:
        rules["covered"] = []
    if isinstance(rules["mixture"], dict):
        rules["mixture"] = None
    rules |= {"mixture_from_runs": None, "mixture_from_models": None, "mixture_options": {}}
    for name in ("quotas", "minima"):
        rules[name] = {
            group: max(1, int(n * share)) if isinstance(n, int) else n
            for group, n in rules[name].items()
        }
    graph = values["graph"]
    if size < rows:
        # edges join rows that the sample lacks: its neighbors stand for them
        values["edges"] = graph["attribute_weight"] = None
        values["embedding"] |= {"smooth": 0, "structure": 0, "structure_method": "spectral"}
    dimensions = (
        run.read_pool().dimension if run.kind == "vector" else run.config.embedding.dimensions
    )
    exact = float(rows) ** 2 * dimensions <= _EXACT or graph["target_recall"] == 1
    if graph["method"] == "auto":
        graph["method"] = "exact" if exact else "block_join"
    return values | {"memory_limit": None, "refit": False, "engine": "process"}
