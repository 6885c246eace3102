"""What the scenarios share: commands as somebody would type them, in a folder of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any


def assay(line: str) -> str:
    """Run a command of assay in the current folder, and return what it printed."""
    return run(f"assay {line}")


def run(line: str) -> str:
    """Run a program of this Python's environment, and return what it printed."""
    print("$", line, flush=True)
    command = [sys.executable, "-m", *shlex.split(line)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def ask(query: str, store: str = "store") -> list[dict[str, Any]]:
    """Return the rows that a query of the store gives."""
    answer: dict[str, Any] = json.loads(assay(f'sql "{query}" --store {store} --json'))
    return list(answer["rows"])


def start(main: Callable[[Any], None], description: str | None, **options: Any) -> None:
    """Run `main` with the options of the command line, in a temporary folder."""
    parser = ArgumentParser(description=(description or "").partition("\n")[0])
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            main(chosen)
        finally:
            os.chdir(Path(__file__).parent)
