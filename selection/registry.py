"""Every method by name: where its class is, what it needs, and one line of help.

Entries hold import strings, so that looking through them imports nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from assay.selection import ranker_entries, scorer_entries, selector_entries
from assay.selection.entries import KINDS, Entry, Kind
from assay.storage.errors import ColumnError, ConfigError

__all__ = ["KINDS", "Entry", "Kind", "entries", "entry", "get", "help_text", "markdown_table"]

_ENTRIES = (*selector_entries.ENTRIES, *scorer_entries.ENTRIES, *ranker_entries.ENTRIES)


def entries(kind: str | None = None) -> tuple[Entry, ...]:
    """Return all entries, or those of one kind, in the order of the documentation.

    Raises
    ------
    ConfigError
        `kind` is none of `KINDS`.

    Examples
    --------
    >>> [entry.name for entry in entries("ranker")][:2]
    ['ecfs', 'inf_fs']
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"There is no kind {kind!r}; kinds are: {', '.join(KINDS)}.")
    return tuple(entry for entry in _ENTRIES if kind in (None, entry.kind))


def entry(name: str, kind: str) -> Entry:
    """Return the entry of one method.

    Raises
    ------
    ColumnError
        No method of that kind has this name; the message names the likely one.
    """
    found = {entry.name: entry for entry in entries(kind)}
    if name not in found:
        raise ColumnError.missing(name, found, what=kind)
    return found[name]


def get(name: str, kind: str) -> Any:
    """Return the class of one method, imported now.

    Raises
    ------
    ColumnError
        No method of that kind has this name.

    Examples
    --------
    >>> get("random", "selector").__name__
    'RandomSelector'
    """
    module, _, attribute = entry(name, kind).path.partition(":")
    return getattr(import_module(module), attribute)


def help_text(kind: str) -> str:
    """Return one line per method of a kind, for the command line.

    Examples
    --------
    >>> print(help_text("ranker").splitlines()[0])
    ecfs                  columns by eigenvector centrality in a graph of relevance and spread (needs vectors, labels)
    """
    found = entries(kind)
    width = max((len(entry.name) for entry in found), default=0)
    return "\n".join(
        f"{entry.name:<{width}}  {entry.help}"
        + (f" (needs {', '.join(entry.needs_told())})" if entry.needs else "")
        for entry in found
    )


def markdown_table(kind: str | None = None) -> str:
    """Return the documentation's table of methods.

    Examples
    --------
    >>> print(markdown_table("ranker").splitlines()[0])
    | name | kind | what it does | needs | nested | class |
    """
    lines = ["| name | kind | what it does | needs | nested | class |", "|" + " --- |" * 6]
    for entry in entries(kind):
        module, _, attribute = entry.path.partition(":")
        needs = ", ".join([*entry.needs_told(), *(f"[{name}]" for name in entry.uses)])
        nested = "yes" if entry.nested else ""
        lines.append(
            f"| `{entry.name}` | {entry.kind} | {entry.help} | {needs} | {nested} "
            f"| `{module}.{attribute}` |"
        )
    return "\n".join(lines)
