"""What workers find in their environment."""

from __future__ import annotations

import os

import pytest

from assay.flows.engines.environment import prepare


def test_workers_are_told_to_hold_little_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "dirty_decay_ms:7")
    prepare()
    assert os.environ["MALLOC_ARENA_MAX"] == "1"
    assert os.environ["_RJEM_MALLOC_CONF"] == "dirty_decay_ms:7"
