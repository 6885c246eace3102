"""The five jobs of `examples/scenarios` are done, each as somebody would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).resolve().parents[2] / "examples" / "scenarios"
NEEDS = {"images": ("PIL",), "tables": ("pandas", "imblearn")}


@pytest.mark.parametrize("name", sorted(path.stem for path in SCENARIOS.glob("[a-z]*.py")))
def test_a_scenario_holds_what_it_promises(name: str, tmp_path: Path) -> None:
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    environment = {key: value for key, value in os.environ.items() if "PREFECT" not in key}
    done = subprocess.run(
        [sys.executable, SCENARIOS / f"{name}.py"],
        cwd=tmp_path,
        env=environment | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # it works in a folder of its own
    assert list(tmp_path.iterdir()) == []


def test_every_scenario_is_listed() -> None:
    listed = (SCENARIOS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in listed for path in SCENARIOS.glob("[a-z]*.py"))
