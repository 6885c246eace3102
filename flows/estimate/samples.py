"""Samples of a pool, run one after the other in this process, whose stages are measured.

``python -m assay.flows.estimate.samples FOLDER`` reads `asked` there, and leaves `answer`.
"""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.config.had import condition_of
from assay.flows.config.memory_size import machine_memory
from assay.flows.estimate.estimation import Estimate
from assay.flows.estimate.growth import FITTED, Costs, Sample, sample_sizes
from assay.flows.estimate.measuring import Meter, as_share, beginning, resident_memory
from assay.flows.progress import bars, log_to_stderr, step
from assay.flows.running.runner import curate
from assay.flows.stages.artifacts import usable
from assay.flows.stages.memory import known_memory
from assay.flows.stages.run import Run, labels_of, read_references, resolve_run
from assay.storage import Pool, read_pool
from assay.storage.errors import AssayError, ResourceError
from assay.storage.reading.types import storable

# n n d up to which `method = "auto"` of the graph compares all pairs
_EXACT = 2e10
# what the memory for a row is known of
_KNOWN = ({"stratified", "facility_location"}, {"pagerank", "knn_density"})
_MANY = 1_000_000
# what everything that a run imports takes
STARTED = beginning()


def estimated(config: CurationConfig, folder: Path) -> Estimate:
    """Run samples in a folder, and return what the run of the configuration will take."""
    run = resolve_run(config)
    pool = run.read_pool()
    rows = pool.n_rows if pool.n_rows is not None else pool.samples().height
    most = _most_per_row(run)
    sizes = sample_sizes(rows, known=most is not None)
    samples = [
        _measured(run, pool, rows, size, folder / str(place), f"{place + 1} of {len(sizes)}")
        for place, size in enumerate(sizes)
    ]
    hybrid = run.config.graph.kind == "hybrid"
    costs = Costs(samples, run.config.embedding.fit_rows, hybrid, most)
    room = config.memory_limit or machine_memory()
    at_once = None if room is None else costs.rows_within(room, rows)
    found = Estimate(rows, sizes, costs.of(rows), config.memory_limit, at_once)
    if config.engine == "process":
        return found
    shard = min(rows, config.shard_rows)
    memory = max(stage.memory for stage in costs.of(shard))
    return replace(found, shard_rows=config.shard_rows, shard_memory=memory)


def _most_per_row(run: Run) -> int | None:
    """Return the bytes that a row takes in the largest stage, None where methods may take more."""
    selectors, scorers = _KNOWN
    named = run.select in selectors and scorers.issuperset(run.scores)
    if not named or run.config.graph.kind == "hybrid":
        return None
    dimensions = run.read_pool().dimension if run.kind == "vector" else None
    few, many = (known_memory(run.config, run.kind, n, dimensions) for n in (_MANY, 2 * _MANY))
    return round((many - few) / _MANY)


def _measured(run: Run, pool: Pool, rows: int, size: int, folder: Path, place: str) -> Sample:
    """Run a sample and return what its stages took."""
    folder.mkdir()
    values = _written(run, pool, rows, size, folder)
    gc.collect()
    with as_share(size / rows), step(f"sample {place}, {size:,} rows"):
        config = CurationConfig.build(values)
        meter = Meter(folder / "store", STARTED)
        held = resident_memory()
        try:
            curate(config, call=meter)
        except Exception as error:
            raise ResourceError(
                f"A sample of {size:,} rows can't be run, so that nothing is known of the whole pool: "
                f"{error}"
            ) from error
    fitted = min(size, config.embedding.fit_rows)
    return Sample(size, fitted, meter.costs, held, meter.after)


def _written(run: Run, pool: Pool, rows: int, size: int, folder: Path) -> dict[str, Any]:
    """Write a sample and what belongs to it, and return its configuration."""
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
    return values


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
        values["embedding"]["fit_rows"] = min(values["embedding"]["fit_rows"], FITTED)
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


def main() -> None:
    """Answer what is asked in the folder that is named."""
    folder = Path(sys.argv[1])
    asked = json.loads((folder / "asked").read_text(encoding="utf-8"))
    if asked["show"]:
        log_to_stderr()
    try:
        with bars():
            if "file" in asked:
                config = CurationConfig.from_toml(Path(asked["file"]), **asked["settings"])
            else:
                config = CurationConfig.build(asked["values"])
            answer = asdict(estimated(config, folder))
    except AssayError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    (folder / "answer").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
