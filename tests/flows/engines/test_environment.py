"""What workers find in their environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from assay.flows.engines.environment import of_workers

KEYS = ("MALLOC_ARENA_MAX", "_RJEM_MALLOC_CONF", "RAY_USAGE_STATS_ENABLED")


def test_workers_are_told_to_hold_little_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "dirty_decay_ms:7")
    with of_workers():
        assert os.environ["MALLOC_ARENA_MAX"] == "1"
        assert os.environ["_RJEM_MALLOC_CONF"] == "dirty_decay_ms:7"
    assert "MALLOC_ARENA_MAX" not in os.environ
    assert os.environ["_RJEM_MALLOC_CONF"] == "dirty_decay_ms:7"


def test_a_process_without_workers_keeps_its_allocators() -> None:
    code = f"""if True:
        import os
        before = [os.environ.get(key) for key in {KEYS}]
        import assay.flows.deployments, polars
        from assay.flows.engines.environment import of_workers
        there = [os.environ.get(key) for key in {KEYS}]
        with of_workers():
            print(before, [os.environ[key] for key in {KEYS}])
        assert there[::2] == before[::2]
        assert there == [os.environ.get(key) for key in {KEYS}]
    """
    env = {key: value for key, value in os.environ.items() if key not in KEYS}
    for user, told in ((None, "dirty_decay_ms:0,"), ("narenas:3", "dirty_decay_ms:500,")):
        if user is not None:
            env["_RJEM_MALLOC_CONF"] = user
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
        )
        assert done.stdout.startswith(f"[None, {user!r}, None] ['1', '{told}")
