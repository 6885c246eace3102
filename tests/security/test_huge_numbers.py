"""Numbers far beyond sense: a method fits with them, or an error says what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.selection import registry
from assay.storage.limits import Number, Whole
from tests.security.fuzzing import check

HUGE: dict[type, tuple[Any, ...]] = {Whole: (2**63, 10**30), Number: (1e300, 1e-300)}
CASES = [
    (entry.kind, entry.name, name, value)
    for kind in ("selector", "scorer", "ranker", "step")
    for entry in registry.entries(kind)
    for name, limits in registry.get(entry.name, kind).limits.items()
    for limit in limits
    for value in HUGE.get(type(limit), ())
]


@pytest.mark.parametrize(("kind", "name", "parameter", "value"), CASES)
def test_huge_numbers_are_refused_or_mean_as_much_as_there_is(
    kind: str, name: str, parameter: str, value: Any, tmp_path: Path
) -> None:
    assert check("options", (kind, name, {parameter: value}), tmp_path)
