"""Chooses from a Parquet file under a limit of memory, and tells the peak as JSON.

python benchmarks/_peak_memory.py POOL.parquet TARGET.parquet MODE LIMIT
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import polars as pl

from assay.selection.importance.resampler import ImportanceResampler
from assay.storage import read_pool


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # what getrusage tells there may be the parent's
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Choose a hundredth."""
    pool, target, mode, limit = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit), int(limit)))
    before = peak_bytes()
    selector = ImportanceResampler(budget=0.01, mode=mode)
    selector.fit(read_pool(pool, text="text"), target=pl.read_parquet(target)["text"])
    told = {"peak": peak_bytes(), "imports": before, "rows": selector.report_["rows"]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
