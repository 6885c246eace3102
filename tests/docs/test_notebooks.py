"""The notebooks are stored with the outputs of their code, and with nothing that differs between runs."""

from __future__ import annotations

import ast
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
UNSTABLE = re.compile(r"/(tmp|home|root|usr|private|var)/|[A-Z]:\\\\|\b0x[0-9a-f]{6,}\b|done in \d")
WRITE = "`python notebooks/execute.py --write` stores them"


def code_cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shows_something(source: str) -> bool:
    """Say whether a cell ends with an expression other than a call for its effect."""
    body = ast.parse(source).body
    return (
        bool(body) and isinstance(body[-1], ast.Expr) and not isinstance(body[-1].value, ast.Call)
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_are_there_and_belong_to_the_code(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("nbclient")
    spec = spec_from_file_location("execute", NOTEBOOKS / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    execute = module_from_spec(spec)
    spec.loader.exec_module(execute)
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["assay"]["sources"] == execute.sources_of(notebook), WRITE
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs), WRITE
    empty = [c["source"] for c in code_cells(path) if not c["outputs"]]
    assert not any(shows_something("".join(source)) for source in empty), WRITE


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_outputs_hold_nothing_that_differs_between_runs(path: Path) -> None:
    for cell in code_cells(path):
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}
        for output in cell["outputs"]:
            assert output.get("execution_count") is None
            assert output.get("name") != "stderr"
            assert output["output_type"] != "error"
            texts = output.get("text", []) + output.get("data", {}).get("text/plain", [])
            assert UNSTABLE.search("".join(texts)) is None, texts


def test_notebooks_stay_small() -> None:
    assert all(path.stat().st_size < 1_500_000 for path in PATHS)
