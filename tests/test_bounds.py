"""Every compiled kernel is run with checks of array bounds before a change lands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# what the step is for compiles other people's functions, and runs none of its own
NO_KERNELS = {"storage/compiling.py"}


def compiled(path: Path) -> bool:
    """Return whether a module imports Numba's `njit`, or ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)]
    return any(alias.name in ("njit", "numba") for node in imports for alias in node.names)


MODULES = [
    path.relative_to(ROOT)
    for layer in ("storage", "index", "selection", "flows")
    for path in sorted((ROOT / layer).rglob("*.py"))
    if compiled(path) and path.relative_to(ROOT).as_posix() not in NO_KERNELS
]


def recipe(target: str) -> str:
    """Return the commands of a target of the Makefile as one line each."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert found, target
    return found[1]


def test_the_step_is_one_of_what_must_hold() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line.split("#")[0].split() for line in lines]
    assert ["make", "--no-print-directory", "bounds"] in commands
    assert "NUMBA_BOUNDSCHECK=1" in recipe("bounds").split()


def test_kernels_are_found() -> None:
    assert len(MODULES) > 40
    assert {path.parts[0] for path in MODULES} == {"storage", "index", "selection"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.as_posix())
def test_the_step_has_the_tests_of_every_kernel(module: Path) -> None:
    tests = Path("tests") / module.parent
    assert (ROOT / tests).is_dir()
    assert tests.as_posix() in recipe("bounds").split()
