"""What `assay plan` prints."""

from __future__ import annotations

import sys

import polars as pl

from assay.flows.commands.output import print_table
from assay.flows.estimate.estimation import Estimate
from assay.flows.estimate.memory import machine_memory, memory_told


def print_estimate(found: Estimate) -> None:
    """Print the stages as a table, then the whole in words."""
    print_table(
        pl.DataFrame(
            {
                "stage": [stage.stage for stage in found.stages],
                "memory": [memory_told(stage.memory) for stage in found.stages],
                "disk": [memory_told(stage.disk) for stage in found.stages],
                "CPU s": [round(stage.cpu_seconds, 1) for stage in found.stages],
                "seconds": [round(stage.seconds, 1) for stage in found.stages],
            }
        )
    )
    peak = max(found.stages, key=lambda stage: stage.memory)
    seconds = sum(stage.seconds for stage in found.stages)
    sampled = " and ".join(f"{size:,}" for size in found.sampled)
    sys.stdout.write(
        f"{found.rows:,} rows: {memory_told(found.memory)} of memory (stage {peak.stage}), "
        f"{memory_told(found.disk)} on disk, about {_time_told(seconds)}; measured on samples of "
        f"{sampled} rows.\n"
    )
    if found.shard_memory is not None:
        sys.stdout.write(
            f"{found.shards:,} shards of {found.shard_rows:,} rows: a worker takes about "
            f"{memory_told(found.shard_memory)} for one.\n"
        )
        return
    room = found.memory_limit or machine_memory()
    if room is None or found.shards == 1:
        return
    whose = "memory_limit" if found.memory_limit else "this machine's memory"
    if found.shards is None:
        sys.stdout.write(f"{whose} ({memory_told(room)}) has no room for any part of the pool.\n")
        return
    sys.stdout.write(
        f"{whose} ({memory_told(room)}) has room for {found.rows_at_once:,} rows: {found.shards} "
        "shards.\n"
    )


def _time_told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
