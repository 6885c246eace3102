"""What a shell offers while a command is typed: methods, runs and columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from assay.selection import registry


def _after_comma(incomplete: str, names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the names that the last part of a list A,B may become, each with its help."""
    before, comma, last = incomplete.rpartition(",")
    for name, help in names:
        if name.startswith(last):
            yield f"{before}{comma}{name}", help


def _methods(kind: str) -> list[tuple[str, str]]:
    return [(entry.name, entry.help) for entry in registry.entries(kind)]


def complete_selectors(incomplete: str) -> list[tuple[str, str]]:
    """Return the selectors that begin like this."""
    return [(name, help) for name, help in _methods("selector") if name.startswith(incomplete)]


def complete_scores(incomplete: str) -> list[tuple[str, str]]:
    """Return the scores that a list may go on with."""
    return list(_after_comma(incomplete, _methods("scorer")))


def complete_recipes(incomplete: str) -> list[tuple[str, str]]:
    """Return the recipes that begin like this."""
    from assay.flows.config.recipe import recipes

    return [
        (recipe.name, recipe.help) for recipe in recipes() if recipe.name.startswith(incomplete)
    ]


def complete_rankers(incomplete: str) -> list[tuple[str, str]]:
    """Return the rankers that a list may go on with."""
    return list(_after_comma(incomplete, _methods("ranker")))


def complete_methods(incomplete: str) -> list[tuple[str, str]]:
    """Return all methods that begin like this."""
    return [(e.name, e.help) for e in registry.entries() if e.name.startswith(incomplete)]


def complete_runs(context: Any, incomplete: str) -> list[str]:
    """Return the runs of the store that the command line names, by the files that it holds."""
    store = context.params.get("store") or "assay-store"
    runs = sorted(path.stem for path in Path(store).glob("runs/*.duckdb"))
    return [run for run in runs if run.startswith(incomplete)]


def complete_columns(context: Any, incomplete: str) -> list[str]:
    """Return the columns of the pool that the command line names, for a list of columns."""
    pool = context.params.get("pool") or context.params.get("table")
    if not pool or re.match(r"\w+://", str(pool)):
        return []
    from assay.storage.errors import AssayError
    from assay.storage.reading.tables import table_columns

    try:
        columns = table_columns(pool)
    except (AssayError, OSError):
        return []
    return [name for name, _ in _after_comma(incomplete, [(column, "") for column in columns])]
