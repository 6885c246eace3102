"""Docstrings whose entries are described once, on a base class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import cleandoc

_TITLE = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
# sections that a class has in common with its bases, in numpydoc's order
_INHERITED = ("Parameters", "Attributes", "Raises")


def filled_doc(doc: str, bases: Sequence[str]) -> str:
    """Return a numpydoc docstring with the parameters, attributes and errors that bases describe.

    An entry of the docstring itself comes first and counts, unless it is a bare name; the first
    base that describes an entry counts among the bases.

    Examples
    --------
    >>> base = "Base.\\n\\nParameters\\n----------\\nk : int\\n    How many.\\nm : int\\n    More.\\n"
    >>> print(filled_doc("One.\\n\\nParameters\\n----------\\nl : int\\nk\\n", [base]))
    One.
    <BLANKLINE>
    Parameters
    ----------
    l : int
    k : int
        How many.
    m : int
        More.
    """
    doc = cleandoc(doc) + "\n"
    for place, title in enumerate(_INHERITED):
        own, section = _entries(doc, title)
        inherited: dict[str, str] = {}
        for base in bases:
            for name, entry in _entries(cleandoc(base) + "\n", title)[0].items():
                if entry != f"{name}\n":
                    inherited.setdefault(name, entry)
        filled = {n: inherited.get(n, e) if e == f"{n}\n" else e for n, e in own.items()}
        listed = {name for names in own for name in names.split(", ")}
        entries = [*filled.values(), *(e for n, e in inherited.items() if n not in listed)]
        if not entries:
            continue
        text = f"{title}\n{'-' * len(title)}\n" + "".join(entries)
        if section is None:
            later = (s.start() for s in _TITLE.finditer(doc) if s[1] not in _INHERITED[:place])
            at = next(later, len(doc))
            section = slice(at, at)
            text = text + "\n" if at < len(doc) else "\n" + text
        else:
            text += "\n" if section.stop < len(doc) else ""
        doc = doc[: section.start] + text + doc[section.stop :]
    return doc.rstrip()


def _entries(doc: str, title: str) -> tuple[dict[str, str], slice | None]:
    """Return the entries of a section by name or names, and where the section is."""
    starts = list(_TITLE.finditer(doc))
    ends = [*(start.start() for start in starts), len(doc)][1:]
    for start, after in zip(starts, ends, strict=True):
        if start[1] == title:
            parts = re.split(r"^(?=\S)", doc[start.end() : after], flags=re.MULTILINE)[1:]
            entries = {re.split(r" : |\n", part)[0]: part.rstrip() + "\n" for part in parts}
            return entries, slice(start.start(), after)
    return {}, None


def section_of(doc: str, title: str) -> str | None:
    """Return the text of one numpydoc section, None where there is none.

    Examples
    --------
    >>> section_of("Line.\\n\\nNotes\\n-----\\nO(n).\\n", "Notes")
    'O(n).'
    """
    match = re.search(
        rf"^{title}\n-{{3,}}\n(.*?)(?=^\S[^\n]*\n-{{3,}}\n|\Z)",
        cleandoc(doc),
        re.DOTALL | re.MULTILINE,
    )
    return None if match is None else match[1]


def definitions(section: str) -> dict[str, str]:
    """Return the terms of a section, each with the indented text below it on one line.

    Examples
    --------
    >>> definitions("here\\n    The rows of the\\n    highest scores.")
    {'here': 'The rows of the highest scores.'}
    """
    terms: dict[str, str] = {}
    term = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            term = line.strip()
            terms[term] = ""
        elif line.strip() and term:
            terms[term] = f"{terms[term]} {line.strip()}".strip()
    return terms


def described_parameters(doc: str) -> dict[str, str]:
    """Return the type and the meaning of each parameter of a numpydoc docstring.

    Examples
    --------
    >>> described_parameters("Line.\\n\\nParameters\\n----------\\nk : int, default 3\\n    How many.\\n")
    {'k': 'int: How many.'}
    """
    section = section_of(doc, "Parameters")
    if section is None:
        return {}
    meanings: dict[str, str] = {}
    names: list[str] = []
    kinds: dict[str, str] = {}
    waiting: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            listed, _, kind = line.partition(" : ")
            names = [name.strip() for name in listed.split(",")]
            # entries without text of their own share that of the entry they lead up to
            waiting = [*(name for name in waiting if not meanings[name]), *names]
            kinds |= dict.fromkeys(names, re.sub(r", default .*", "", kind).strip())
            meanings |= dict.fromkeys(names, "")
        elif line.strip():
            shared = waiting if "All as in" in line else names
            meanings |= {name: f"{meanings[name]} {line.strip()}".strip() for name in shared}
    return {
        name: ": ".join(part for part in (kinds[name], text) if part)
        for name, text in meanings.items()
    }
