"""Execute every notebook beside this file from the first cell to the last; a failing cell fails."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run the notebooks in an empty folder; with `--write`, keep their outputs."""
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
        if "--write" in sys.argv:
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
