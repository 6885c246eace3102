from __future__ import annotations

import subprocess
import sys

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from assay.index.threads import one_thread


def threads_of(user_api: str) -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == user_api}


def test_blas_has_one_thread_within() -> None:
    assert np.eye(2).trace() == 2
    with threadpool_limits(2, user_api="blas"):
        assert threads_of("blas") == {2}
        with one_thread("blas"):
            with one_thread("blas"):
                assert threads_of("blas") == {1}
            assert threads_of("blas") == {1}
        assert threads_of("blas") == {2}


# in a process of its own: numpy's BLAS is known before that of scipy is loaded
LATER = """
import sys
import numpy
from threadpoolctl import threadpool_info
from assay.index.threads import one_thread

with one_thread("blas"):
    known = len(threadpool_info())
assert "scipy.linalg" not in sys.modules
import scipy.linalg
with one_thread("blas"):
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
assert len(threadpool_info()) > known, "nothing was loaded"
assert {pool["num_threads"] for pool in pools} == {1}, pools
"""


def test_a_library_that_an_import_loads_is_limited_too() -> None:
    subprocess.run(
        [sys.executable, "-c", LATER],
        check=True,
        env={"OPENBLAS_NUM_THREADS": "2", "PATH": ""},
    )
