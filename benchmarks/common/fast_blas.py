"""Lets the BLAS in the FAISS wheel use what the processor can do; import it before NumPy and FAISS.

That BLAS is older than today's processors and falls back to its slowest kernels on them.
"""

from __future__ import annotations

import os
from pathlib import Path

_FLAGS = Path("/proc/cpuinfo")


def _core_type() -> str | None:
    told = _FLAGS.read_text(encoding="utf-8") if _FLAGS.exists() else ""
    if "avx512bw" in told and "avx512vl" in told:
        return "SkylakeX"
    return "Haswell" if "avx2" in told else None


if (core := _core_type()) is not None:
    os.environ.setdefault("OPENBLAS_CORETYPE", core)
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
