"""What the registry knows of a method."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Kind = Literal["selector", "scorer", "ranker", "step"]
KINDS: tuple[Kind, ...] = ("selector", "scorer", "ranker", "step")


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes
    ----------
    name, kind : str
        Unique together.
    path : str
        ``"module:Class"``.
    help : str
        One line, for the command line and the documentation.
    needs : tuple of str
        Inputs it can't do without: "texts", "vectors", "graph", "labels", "target", "scores";
        "log": a training log as its parameter.
    uses : tuple of str
        Inputs it uses where they are given.
    vectors_for_texts : bool
        Whether vectors will do where there are no texts (the target's too then).
    nested : bool
        Whether every budget is a prefix of one ranking.
    exempt_from_order : bool
        Whether the result depends on the order of the rows, with default parameters.
    exempt_modes : tuple of str
        Values of its `mode` for which the result depends on the order of the rows.
    copies_tie : bool
        Rankers: whether copies of a column score equally (not where redundancy counts against a
        column, or a column's place in the table decides its random start).
    """

    name: str
    kind: Kind
    path: str
    help: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    nested: bool = False
    exempt_from_order: bool = False
    exempt_modes: tuple[str, ...] = ()
    copies_tie: bool = True
    vectors_for_texts: bool = False

    def lacks(self, there: Collection[str]) -> tuple[str, ...]:
        """Return what it needs that is not among the inputs `there`.

        Examples
        --------
        >>> from assay.selection.registry import entry
        >>> entry("importance", "selector").lacks({"vectors"})
        ('target',)
        """
        if self.vectors_for_texts and "vectors" in there:
            there = {*there, "texts"}
        return tuple(need for need in self.needs if need not in there)

    def needs_told(self) -> list[str]:
        """Return what it needs, in words."""
        words = {"texts": "texts or vectors"} if self.vectors_for_texts else {}
        return [words.get(need, need) for need in self.needs]
