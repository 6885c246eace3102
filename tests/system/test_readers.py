"""Readers in a loop while runs are finished, published, archived and cleaned up after."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "_soak_readers.py"


def test_readers_never_fail_and_never_see_a_mixed_state() -> None:
    command = [sys.executable, PROGRAM, "--readers", "3", "--seconds", "6", "--control", "0"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["nights"] >= 1
    assert found["archived"] > 0
    assert len(found["busy"]) >= 4
    assert sum(one["reads"] for one in found["busy"].values()) >= 12
