"""The rules of the house: layers only point down, faces are light, the wheel is whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).resolve().parents[1]
LAYERS = house.LAYERS
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
HEAVY = ("prefect", "pandas", "torch", "sklearn", "faiss", "numba", "scipy", "networkx")


RULES = {
    "upward": house.upward,
    "rightward": house.rightward,
    "circles": house.circles,
    "writers": house.writers,
    "mappings": house.mappings,
}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_its_rules(rule: str) -> None:
    assert list(RULES[rule](ROOT)) == []


# rule -> (a file, what is added to it): each in a copy of the sources, each breaks that rule
FAULTS = [
    ("upward", "storage/reading/pools.py", "from assay.index.threads import thread_count"),
    ("upward", "index/knn/shards.py", "def late():\n    import assay.selection.registry"),
    ("upward", "selection/plan/plan.py", "def late():\n    from prefect import flow"),
    ("rightward", "selection/algorithms/cells.py", "from assay.selection.plan import plan"),
    (
        "rightward",
        "index/vectors/exact.py",
        "def late():\n    import assay.index.graph.graph_files",
    ),
    ("rightward", "storage/sql/expressions.py", "from assay.storage.reading import pools"),
    ("rightward", "selection/plan/plan.py", "def late():\n    from assay.selection import ECFS"),
    ("rightward", "selection/steps/__init__.py", "from assay.selection.base import Selector"),
    ("mappings", "index/knn/cells.py", "def late():\n    return np.load('a', mmap_mode='r')"),
    ("mappings", "flows/stages/run.py", "def late(np):\n    return np.asarray(np.memmap('a'))"),
    ("rightward", "flows/attic/old.py", ""),
    (
        "circles",
        "selection/contract/budgets.py",
        "def late():\n    import assay.selection.contract.outcomes",
    ),
    ("writers", "selection/scorers/graph.py", "def save(path):\n    return open(path, 'w')"),
    ("writers", "index/search/files.py", "def save(path):\n    return path.open(mode='xb')"),
    ("writers", "flows/export/frames.py", "def save(path):\n    return path.open('r+b')"),
    ("writers", "storage/runs/attic.py", "def save(p):\n    return os.open(p, os.O_RDWR)"),
    ("writers", "index/graph/graph_files.py", "def load():\n    import pickle"),
]


@pytest.mark.parametrize(("rule", "file", "fault"), FAULTS, ids=lambda text: text[:40])
def test_a_fault_breaks_its_rule(rule: str, file: str, fault: str, tmp_path: Path) -> None:
    for layer in LAYERS:
        shutil.copytree(
            ROOT / layer, tmp_path / layer, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    # closes the circle: the other file imports this one already
    if rule == "circles":
        other = tmp_path / "selection/contract/outcomes.py"
        other.write_text(other.read_text() + "\nimport assay.selection.contract.budgets\n")
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n\n{fault}\n")
    broken = list(RULES[rule](tmp_path))
    assert broken
    assert all(
        ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__") in b for b in broken
    )


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
    folders = {path.parent for path in MODULES} | {ROOT / "examples"}
    for folder in folders:
        package = "assay." + ".".join(folder.relative_to(ROOT).parts)
        assert package in settings["packages"], f"{package} would be left out of the wheel"


def test_a_file_holds_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := house.code_lines(path)) > 350
    }
    assert not long
