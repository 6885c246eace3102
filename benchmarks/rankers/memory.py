"""Ranks generated columns by ECFS and tells time and peak memory as JSON.

python -m rankers.memory ROWS COLUMNS
"""

from __future__ import annotations

import json
import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from common.process import peak_bytes

from assay.selection.rankers.ecfs import ECFS


def main() -> None:
    """Rank them."""
    rows, columns = map(int, sys.argv[1:])
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 2
    X = np.empty((rows, columns), dtype=np.float32)
    for row in range(rows):
        rng.standard_normal(out=X[row], dtype=np.float32)
    X[y == 1, :100] += 1
    before = process_time()
    ranker = ECFS(n_features_to_select=100).fit(X, y)
    told = {
        "cpu": process_time() - before,
        "peak": peak_bytes(),
        "input": X.nbytes,
        "found": int(ranker.get_support()[:100].sum()),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
