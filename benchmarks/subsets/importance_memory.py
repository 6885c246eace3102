"""Chooses from a Parquet file under a limit of memory, and tells the peak as JSON.

python -m subsets.importance_memory POOL.parquet TARGET.parquet MODE LIMIT
"""

from __future__ import annotations

import json
import resource
import sys

import polars as pl
from common.process import peak_bytes

from assay.selection.importance.resampler import ImportanceResampler
from assay.storage import read_pool


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
