"""What larger pools need, worked out on paper from the stages of one measured run."""

from __future__ import annotations

import math
from typing import Any

from common.report import table

GIB = 2**30
HOUR = 3_600
SHARD = 1_000_000
LARGER = (100_000_000, 10_000_000_000)
# stages that stay one process: the whole graph at once, or one file
ALONE = ("score pagerank", "persist", "publish")
# fitted on a sample of fixed size, or nothing that grows
FIXED = ("start", "plan", "fit", "drift")
# of what a greedy second stage is sent of each candidate (benchmarks/results/two_stage.md)
CANDIDATE_BYTES = 315
OVERSAMPLING = 3
# in so many rounds, each of which holds its share of the candidates
ROUNDS = 8
BUDGET = 0.1
# vectors of 128 float32; 15 neighbors and similarities; about 21 edge ends of 8 bytes, and a place
VECTOR_BYTES = 128 * 4
GRAPH_BYTES = 15 * 8 + 21 * 8 + 8
# what a row number of the graph can count
NUMBERED = 2**31 - 1


def _name(rows: int) -> str:
    return f"{rows // 10**9} billion" if rows >= 10**9 else f"{rows // 10**6} million"


def _size(value: float) -> str:
    for unit, size in (("PiB", 2**50), ("TiB", 2**40), ("GiB", GIB)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value / 2**20:.0f} MiB"


def _cpu(stage: dict[str, Any], measured: int, rows: int) -> float:
    """Return CPU seconds of a stage at another size."""
    if stage["stage"] in FIXED:
        return float(stage["cpu_seconds"])
    growth = rows / measured
    if stage["stage"] == "graph":
        growth *= math.log2(rows) / math.log2(measured)
    return float(stage["cpu_seconds"] * growth)


def on_paper(measured: int, stages: list[dict[str, Any]], disk: int) -> str:
    """Return the section on larger pools.

    Parameters
    ----------
    measured : int
        Rows of the run.
    stages : list of dict
        Its stages, as `assay.flows.estimate.measuring` tells them.
    disk : int
        Bytes that it left.
    """
    base = next(stage["memory"] for stage in stages if stage["stage"] == "plan")
    slopes = {
        stage["stage"]: max(1.0, (stage["memory"] - base) / measured)
        for stage in stages
        if stage["stage"] not in FIXED
    }
    largest = sorted(slopes, key=lambda name: -slopes[name])
    steepest = slopes[largest[0]]
    run_file = next(stage["disk"] for stage in stages if stage["stage"] == "persist")
    whole = {rows: {} for rows in LARGER}
    for rows in LARGER:
        cpu = {stage["stage"]: _cpu(stage, measured, rows) for stage in stages}
        alone = sum(seconds for name, seconds in cpu.items() if name in ALONE)
        spread = sum(cpu.values()) - alone
        cores = max(1, math.ceil(spread / HOUR))
        candidates = OVERSAMPLING * BUDGET * rows / ROUNDS
        whole[rows] = {
            "shards of 1,000,000 rows": f"{math.ceil(rows / SHARD):,}",
            "CPU hours that spread over shards": f"{spread / HOUR:,.1f}",
            "of which the graph": f"{cpu['graph'] / HOUR:,.1f}",
            "cores to spread them within an hour": f"{cores:,}",
            "hours that stay in one process (PageRank, run file, publishing)": f"{alone / HOUR:,.1f}",
            "memory of a shard's worker": _size(base + steepest * SHARD),
            "memory in one process, not spread": _size(base + steepest * rows),
            "vectors": _size(VECTOR_BYTES * rows),
            "graph, whole": _size(GRAPH_BYTES * rows),
            "largest union of the greedy (3 x 10% candidates in 8 rounds)": _size(
                CANDIDATE_BYTES * candidates
            ),
            "disk of the store": _size(disk / measured * rows),
        }
    head = ("", *(_name(rows) for rows in LARGER))
    lines = [(key, *(whole[rows][key] for rows in LARGER)) for key in whole[LARGER[0]]]
    rooms = (24 * GIB, 256 * GIB, 1024 * GIB)
    breaks = [
        (
            name,
            f"{slopes[name]:,.0f}",
            *(f"{(room - base) / slopes[name] / 1e6:,.0f}" for room in rooms),
        )
        for name in largest
    ]
    first = (rooms[0] - base) / steepest / 1e6
    return f"""## Larger pools, on paper

Nothing here was run. Every figure follows from the stages above: CPU time in proportion to the rows
(the graph with n log n), memory in proportion beyond what the process takes anyway
({_size(base)}), the embedder's fit the same at any size. What moves over a network, and what waits
for the slowest worker, is left out. A worker holds one shard of 1,000,000 rows.

{table(head, lines)}

**In one process** memory ends it. Rows, in millions, that each stage has room for:

{table(("stage", "bytes a row", "24 GiB", "256 GiB", "1 TiB"), breaks)}

So on a machine of 24 GiB `{largest[0]}` breaks first, at about {first:,.0f} million rows. Where a stage
maps files (graph, vectors, index), their pages are counted, though the system may take them back.

**At 100 million rows, spread**, what embeds, tokenizes, searches and scores single rows needs no more
than a shard at a time. What does not shrink with the shard: the vectors that a shard's rows are
compared with ({_size(VECTOR_BYTES * LARGER[0])} in all, read cell by cell from disk or object
storage), and what one process holds of every row: ids, scores, the decision, and the largest union of
the greedy, unless its tree's inner unions are spread too. PageRank and the other scores of a graph read
it block by block from its files ({_size(GRAPH_BYTES * LARGER[0])}, once a sweep); beside those, they took
88 bytes for each further row of 300,000, {_size(88 * LARGER[0])} in all. The run
file is written and published by one process. The first to break is `{largest[0]}`, at
{(rooms[1] - base) / steepest / 1e6:,.0f} million rows on 256 GiB.

**At 10 billion rows** the graph breaks first, and not for memory: row numbers of a graph are 32 bits
wide, so it ends at {NUMBERED:,} rows. Beyond, each part of at most that many rows must have a graph
of its own, with a search across parts. Next come PageRank, whose one process must read
{_size(GRAPH_BYTES * LARGER[1])} once a sweep and hold {_size(88 * LARGER[1])} beside them, and would have
to pass messages between parts; the largest union of a greedy selector
({_size(CANDIDATE_BYTES * OVERSAMPLING * BUDGET * LARGER[1] / ROUNDS)}; more rounds make it smaller in
proportion); and one run file of {_size(run_file / measured * LARGER[1])}, written by one process, where
a file per shard is needed. `importance`, `random`, `top` and strata by score need counts and
histograms of the shards only, and have no such limit."""
