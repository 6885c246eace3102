"""What is freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

# pieces that the allocator keeps, because the last one is still used
_CODE = """
import numpy as np
from assay.storage.heap import give_back

def held():
    status = open("/proc/self/status").read()
    return int(status.split("RssAnon:")[1].split()[0]) // 1024

pieces = [np.ones(8_000) for _ in range(2_000)]
last = pieces[-1]
del pieces
before = held()
give_back()
print(before - held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_freed_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    # MiB of the 122 that were freed
    assert int(done.stdout) > 60
