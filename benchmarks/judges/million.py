"""Deduplicates a Parquet file of texts, exact then near, and tells time and memory as JSON.

python -m judges.million TEXTS.parquet
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import polars as pl
from common.process import peak_bytes

from assay.selection.steps.exact_duplicates import ExactDuplicates
from assay.selection.steps.near_duplicates import NearDuplicates


def main() -> None:
    """Leave out copies, then near copies of what stays."""
    NearDuplicates().fit(["to compile on", "to compile on"])
    texts = pl.read_parquet(sys.argv[1], columns=["text"])["text"]
    told = {"rows": len(texts), "bytes": int(texts.str.len_bytes().sum()), "loaded": peak_bytes()}
    cpu, wall = time.process_time(), time.perf_counter()
    exact = ExactDuplicates().fit(texts)
    told |= {"exact_cpu": time.process_time() - cpu, "exact_wall": time.perf_counter() - wall}
    rows = np.flatnonzero(exact.keep_)
    near = NearDuplicates().fit(texts.gather(rows))
    told |= {
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "peak": peak_bytes(),
        "exact": exact.report_["duplicates"],
        "near": near.report_["duplicates"],
        "compared": near.report_["compared"],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
