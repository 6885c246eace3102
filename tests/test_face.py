"""The top face: `import assay` is light, and hands on what users type first."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import assay

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("numpy", "polars", "pyarrow", "pydantic", "prefect", "sklearn", "faiss", "numba", "duckdb")


def test_the_import_is_light() -> None:
    code = f"import assay, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in assay.__all__ if name != "__version__"])
def test_every_name_is_the_one_of_its_layer(name: str) -> None:
    value = getattr(assay, name)
    assert value.__module__.startswith("assay.")
    assert name in dir(assay)


def test_version_is_the_distribution_s() -> None:
    assert assay.__version__ == version("assay-curation")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(assay, "nothing")  # noqa: B009


def test_the_module_runs_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay", "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"assay {version('assay-curation')}"


def test_no_folder_of_the_root_hides_the_installed_package() -> None:
    assert not (ROOT / "assay").exists()
    assert (Path(assay.__file__).parent / "py.typed").exists()
