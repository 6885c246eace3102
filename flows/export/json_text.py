"""JSON of any value, for the commands and for the cells of tables; it imports no library of frames."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def as_json(value: Any) -> str:
    """Return a value as JSON (RFC 8259): what it has no word for is text, NaN and infinities null.

    Examples
    --------
    >>> as_json({"a": [float("nan"), 1.5], "b": {1: Decimal("12")}})
    '{"a": [null, 1.5], "b": {"1": 12}}'
    """
    return json.dumps(_jsonable(value), allow_nan=False)


def _jsonable(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value.as_tuple().exponent == 0 else str(value)
    if isinstance(value, Mapping):
        return {k if isinstance(k, str) else _key(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    return str(value)


def _key(value: Any) -> str:
    known = _jsonable(value)
    return known if isinstance(known, str) else json.dumps(known)
