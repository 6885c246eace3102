"""A run on a Dask cluster that loses a worker, beside the same run in one process."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from common.data import documents
from common.report import table

from assay.flows.running.runner import curate
from tests.flows import cluster_runs
from tests.system.comparing import contents, differences

ROWS = 20_000
SHARD_ROWS = 5_000
_SPREAD = ("encode", "hash_shard", "assign_cells", "join", "expand")
_TEXT = """
## A cluster that loses a worker

2 shared cores. {rows:,} documents are curated in one process, and as a Prefect flow on a local Dask
cluster of 2 workers, one thread each, in shards of {shard_rows:,} rows. One worker is killed with
SIGKILL, the first that is seen writing a shard (here one of kind `{killed}`). Compared: every table
(times, versions and the engine's own keys left out), every byte of every artifact and manifest, and
what is left over.

{table}

Prefect's tasks that ran to their end, each with all shards of its stage: {tasks}. The graph is a block join (k = {k}), searched in shards.
{differences} differences. Most of the cluster's time goes into starting a Prefect server and the
workers: at this size a cluster is of no use but for this comparison (`cluster.md`).
"""


def section() -> str:
    """Run both and tell what came of it; raises where anything differs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = documents().sample(ROWS, seed=0)
        pool.write_parquet(folder / "pool.parquet")
        target = pool.filter(domain=pool["domain"].mode().sort()[0]).head(300)
        target.write_parquet(folder / "target.parquet")
        config = {
            "pool": str(folder / "pool.parquet"),
            "target": str(folder / "target.parquet"),
            "id": "id",
            "text": "text",
            "budget": 1_000,
        }
        began = time.monotonic()
        whole = curate(**config, store=str(folder / "whole"))
        alone = time.monotonic() - began
        where = {"store": str(folder / "cluster"), "engine": "dask", "workers": 2}
        ended = cluster_runs.run(folder, config | where | {"shard_rows": SHARD_ROWS}, kill=True)
        if not ended.killed:
            raise RuntimeError("no worker was seen writing a shard, so none was killed")
        wrong = differences(contents(folder / "cluster"), contents(folder / "whole"))
        if wrong:
            raise RuntimeError(f"the runs differ: {wrong}")
        graph = whole.sql(
            "SELECT name, value FROM metrics WHERE name IN ('graph.k', 'graph.probes')"
        )
        metrics = dict(graph.iter_rows())
        if not metrics["graph.probes"]:
            raise RuntimeError("the graph was searched exactly; give more rows")
    found = Counter(
        re.findall(r"Task run '([a-z_]+)[^']*' - Finished in state Completed", ended.log)
    )
    rows = [("one process", f"{alone:.0f}"), ("Dask, a worker killed", f"{ended.seconds:.0f}")]
    return _TEXT.format(
        rows=ROWS,
        shard_rows=SHARD_ROWS,
        killed=ended.killed,
        table=table(("run", "seconds"), rows),
        tasks=", ".join(f"{found[stage]} {stage}" for stage in _SPREAD),
        k=int(metrics["graph.k"]),
        differences=len(wrong),
    )


if __name__ == "__main__":
    print(section())
