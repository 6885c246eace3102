"""Fingerprints: what an artifact was made of, as 32 hex digits."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

FINGERPRINT = re.compile(r"[0-9a-f]{32}")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} can't be fingerprinted")


def fingerprint(*parts: Any) -> str:
    """Return the 128-bit BLAKE2b of `parts` written as canonical JSON (keys sorted).

    Examples
    --------
    >>> fingerprint("graph", {"k": 15, "metric": "cosine"}) == fingerprint(
    ...     "graph", {"metric": "cosine", "k": 15}
    ... )
    True
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
