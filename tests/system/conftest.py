"""One fork server for all tests of a session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.system.trials import Trials


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Return the scenarios, each run undisturbed when it is first asked for."""
    if not hasattr(os, "fork"):
        pytest.skip("processes can't be forked here")
    made = Trials(tmp_path_factory.mktemp("trials"))
    yield made
    made.close()
