"""Readers in a loop while runs are finished, published, archived and cleaned up after."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_readers_never_fail_and_never_see_a_mixed_state() -> None:
    command = [sys.executable, "-m", "service.readers", "--readers", "3", "--seconds", "6"]
    done = subprocess.run(
        [*command, "--control", "0", "--json"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["errors"], "\n".join(found["errors"])
    assert found["nights"] >= 1
    assert found["archived"] > 0
    assert len(found["busy"]) >= 4
    assert sum(one["reads"] for one in found["busy"].values()) >= 12
