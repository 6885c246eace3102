"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.selection import registry

# what stands for the value of an option that was given none
REPORT = "report.html"
WEIGH = "pool"
Store = Annotated[Path, typer.Option(help="Folder of the store.")]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="CSV: do not quote cells that start like a spreadsheet formula."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file of --out if it exists.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

# steps that other keys of the plan stand for
_KEYS_OF_THEIR_OWN = frozenset({"hard_cutoff", "leakage", "in_reference"})
AllRuns = Annotated[bool, typer.Option("--all-runs", help="Include archived runs.")]


def open_store(store: Path) -> Any:
    """Open the store that a command names."""
    from assay.storage import ScoreStore

    return ScoreStore(store)


def method_names(kind: str) -> str:
    """Return the names of all methods of a kind, for an option's help."""
    return ", ".join(entry.name for entry in registry.entries(kind))


# steps that a plan has keys of their own for
_OWN_KEYS = ("hard_cutoff", "in_reference")


def step_names() -> str:
    """Return the names of the steps that remove duplicates or leaks, for an option's help."""
    return ", ".join(e.name for e in registry.entries("step") if e.name not in _OWN_KEYS)
