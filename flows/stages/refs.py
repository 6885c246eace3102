"""References to artifacts: what stages hand to each other."""

from __future__ import annotations

from typing import NamedTuple


class Ref(NamedTuple):
    """The kind and the fingerprint of an artifact in the store."""

    kind: str
    fingerprint: str
