"""The rules of the house: layers only point down, faces are light, the wheel is whole."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("storage", "index", "selection", "flows")
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
HEAVY = ("prefect", "pandas", "torch", "sklearn", "faiss", "numba", "scipy", "networkx")


def imported(path: Path) -> set[str]:
    """Return every dotted name that the file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_imports_only_point_down(path: Path) -> None:
    own = LAYERS.index(path.parent.name)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "assay" and parts[1] in LAYERS:
            assert LAYERS.index(parts[1]) <= own, f"{path} imports upward: {name}"
        if path.parent.name != "flows":
            assert parts[0] != "prefect", f"only flows knows Prefect: {path}"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_face_imports_nothing_heavy(layer: str) -> None:
    code = f"import sys, assay.{layer}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("layer", LAYERS)
def test_a_face_hands_on_what_exists_and_no_module_bears_such_a_name(layer: str) -> None:
    face = import_module(f"assay.{layer}")
    modules = {path.stem for path in (ROOT / layer).rglob("*.py")}
    assert face.__all__
    for name in face.__all__:
        assert getattr(face, name) is not None
        assert name not in modules
    with pytest.raises(AttributeError):
        getattr(face, "no_such_name")  # noqa: B009


def test_every_package_and_module_is_in_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for layer in (*LAYERS, "examples"):
        for folder in {path.parent for path in (ROOT / layer).rrglob("*.py")}:
            package = "assay." + ".".join(folder.relative_to(ROOT).parts)
            assert package in settings["packages"], f"{package} would be left out of the wheel"


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > 350
    }
    assert not long


def test_only_the_atomic_writer_opens_files_for_writing() -> None:
    # folders handed out by the artifact store and paths of `atomic_path` are private until renamed
    allowed = {"storage/atomic.py", "storage/artifacts.py"}
    pattern = re.compile(r"""open\([^)]*["'][wax]b?\+?["']|import pickle|np\.random\.seed""")
    found = [
        f"{path.parent.name}/{path.name}"
        for path in MODULES
        if pattern.search(path.read_text()) and f"{path.parent.name}/{path.name}" not in allowed
    ]
    assert found == ["storage/locks.py"]  # a lock file carries no content
