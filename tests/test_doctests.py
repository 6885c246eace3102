"""Every example in a docstring runs."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from tests.test_layers import MODULES, ROOT

NAMES = sorted(
    ".".join(["assay", *path.relative_to(ROOT).with_suffix("").parts])
    for path in MODULES
    if ">>>" in path.read_text(encoding="utf-8") and path.stem != "deployments"
)


@pytest.mark.parametrize("name", NAMES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(
        import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert tried > 0
    assert failed == 0
