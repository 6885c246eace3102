"""What hangs is stopped, what only waits for its turn is not."""

from __future__ import annotations

import time

import pytest

from tests.security.limits import PATIENCE, Hang, time_limit


def spin() -> None:
    """Use the processor without an end."""
    while True:
        pass


def test_work_is_stopped_after_its_seconds() -> None:
    """A loop without an end uses the processor."""
    with pytest.raises(Hang), time_limit(0.1):
        spin()


def test_waiting_is_stopped_by_the_clock() -> None:
    """A wait uses no processor, so the clock ends it, later."""
    start = time.monotonic()
    with pytest.raises(Hang), time_limit(0.1):
        time.sleep(30)
    assert PATIENCE * 0.1 <= time.monotonic() - start < 30


def test_what_ends_in_time_is_let_be() -> None:
    """No alarm is left behind."""
    with time_limit(0.1):
        pass
    time.sleep(0.2)
