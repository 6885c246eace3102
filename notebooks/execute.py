"""Execute every notebook beside this file from the first cell to the last; a failing cell fails.

`--write` keeps their outputs, so that a notebook can be read without being run. What differs between two
runs of the same code is left out: numbers of executions, times, paths and what went to standard error.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def sources_of(notebook: Any) -> str:
    """Return a digest of the code, by which outputs that are out of date are known."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.blake2b(code.encode(), digest_size=16).hexdigest()


def settle(notebook: Any) -> None:
    """Leave in a notebook what the same code writes again."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [
            output
            for output in cell.outputs
            if not (output.output_type == "stream" and output.name == "stderr")
        ]
        for output in cell.outputs:
            output.pop("execution_count", None)
            if output.output_type == "execute_result":
                output.execution_count = None
            if "metadata" in output:
                output.metadata = {}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "assay": {"sources": sources_of(notebook)}}


def main() -> None:
    """Run the notebooks in an empty folder; with `--write`, keep their outputs."""
    write = "--write" in sys.argv
    if write:  # outputs are those of the data that everybody has
        os.environ.pop("ASSAY_TEST_DATA", None)
    for path in sorted(HERE.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                notebook,
                timeout=600,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
            ).execute()
        pictures = sum(
            "image/png" in output.get("data", {})
            for cell in notebook.cells
            for output in cell.get("outputs", [])
        )
        print(f"{path.name}: executed, {pictures} pictures")
        if write:
            settle(notebook)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
