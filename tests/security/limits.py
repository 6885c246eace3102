"""A time limit for what must not hang, in seconds of this process: a busy machine is no hang."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# by the clock so many times the limit: what waits takes no time of the process
PATIENCE = 5


class Hang(BaseException):
    """It took longer than it may; not an `Exception`, so that nothing takes it for an error."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the body after so many seconds of the processor, or five times as many by the clock.

    It does nothing where the system has no such alarms.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    start, used = time.monotonic(), time.process_time()

    def ring(*_: Any) -> None:
        waited = time.monotonic() - start
        if time.process_time() - used >= seconds or waited >= PATIENCE * seconds:
            raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    # again each second: Python drops what is raised in some callbacks
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
