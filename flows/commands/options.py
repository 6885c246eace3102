"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Store = Annotated[Path, typer.Option(help="The store's folder.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="CSV: leave texts that begin as a formula does as they are.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the file of --out where it exists.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

AllRuns = Annotated[bool, typer.Option("--all-runs", help="Look into the archived runs too.")]


def open_store(store: Path) -> Any:
    """Open the store that a command names."""
    from assay.storage import ScoreStore

    return ScoreStore(store)
