"""References to artifacts: what stages hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Ref(NamedTuple):
    """The kind and the fingerprint of an artifact in the store."""

    kind: str
    fingerprint: str


class ReferenceRefs(NamedTuple):
    """Where the hashed content of a reference is, and its vectors if they are needed."""

    content: Ref
    vectors: Ref | None


@dataclass(frozen=True)
class Outputs:
    """References to everything that the stages of a curation run left.

    While stages are submitted, a field may hold the future of its reference.

    Attributes
    ----------
    samples, vectors, graph, index, selection, ledger : Ref
    scores, streams : dict of str to Ref
        Scores, and hashed texts, by the method they are for.
    changes, drift : Ref or None
        None if there was nothing to compare the pool with.
    references : dict of str to ReferenceRefs
        By name.
    encoded : Ref or None
        The vectors of the content alone, where edges were put into `vectors`.
    """

    samples: Ref
    vectors: Ref
    graph: Ref
    index: Ref
    scores: dict[str, Ref]
    streams: dict[str, Ref]
    selection: Ref
    ledger: Ref
    changes: Ref | None
    drift: Ref | None
    references: dict[str, ReferenceRefs] = field(default_factory=dict)
    encoded: Ref | None = None
