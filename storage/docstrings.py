"""Docstrings whose entries are described once, on a base class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from inspect import cleandoc

# a name alone on its line, with nothing said about it below
_BARE = re.compile(r"^(\w+)\n(?! )", re.MULTILINE)
_TITLE = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)


def filled_doc(doc: str, bases: Sequence[str]) -> str:
    """Return a numpydoc docstring whose bare entries have the text that a base gives them.

    An entry is bare if its name stands alone on its line. The first base that describes it counts.

    Examples
    --------
    >>> base = "Base.\\n\\nParameters\\n----------\\nk : int\\n    How many.\\n"
    >>> print(filled_doc("One.\\n\\nParameters\\n----------\\nk\\n", [base]))
    One.
    <BLANKLINE>
    Parameters
    ----------
    k : int
        How many.
    """
    known: dict[tuple[str, str], str] = {}
    for base in bases:
        for title, section in _sections(cleandoc(base) + "\n"):
            for entry in re.split(r"^(?=\w)", section, flags=re.MULTILINE)[1:]:
                name, described, _ = entry.partition(" : ")
                if described:
                    known.setdefault((title, name), entry.rstrip() + "\n")
    doc = cleandoc(doc) + "\n"
    for title, section in _sections(doc):

        def fill(bare: re.Match[str], title: str = title) -> str:
            return known.get((title, bare[1]), bare[0])

        doc = doc.replace(section, _BARE.sub(fill, section), 1)
    return doc.rstrip()


def _sections(doc: str) -> list[tuple[str, str]]:
    """Return title and text of every section."""
    starts = list(_TITLE.finditer(doc))
    ends = [*(start.start() for start in starts), len(doc)][1:]
    return [(start[1], doc[start.end() : end]) for start, end in zip(starts, ends, strict=False)]


def section_of(doc: str, title: str) -> str | None:
    """Return the text of one numpydoc section, None where there is none.

    Examples
    --------
    >>> section_of("Line.\\n\\nNotes\\n-----\\nO(n).\\n", "Notes")
    'O(n).'
    """
    found = re.search(
        rf"^{title}\n-{{3,}}\n(.*?)(?=^\S[^\n]*\n-{{3,}}\n|\Z)",
        cleandoc(doc),
        re.DOTALL | re.MULTILINE,
    )
    return None if found is None else found[1]


def definitions(section: str) -> dict[str, str]:
    """Return the terms of a section, each with the indented text below it on one line.

    Examples
    --------
    >>> definitions("here\\n    The rows of the\\n    highest scores.")
    {'here': 'The rows of the highest scores.'}
    """
    told: dict[str, str] = {}
    term = ""
    for line in section.splitlines():
        if line and not line.startswith(" "):
            term = line.strip()
            told[term] = ""
        elif line.strip() and term:
            told[term] = f"{told[term]} {line.strip()}".strip()
    return told


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
