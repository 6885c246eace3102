"""What Prefect must find in the environment when it is imported, and workers when they start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "assay",
}
_WORKERS = {
    # Ray would tell its makers that it is used
    "RAY_USAGE_STATS_ENABLED": "0",
    # what a task has freed is not kept: one heap for all threads, and none of Polars' pages
    "MALLOC_ARENA_MAX": "1",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
}
# what Polars sets itself when it is imported, where the user set nothing
_POLARS = "dirty_decay_ms:500,muzzy_decay_ms:1000"


def prepare() -> None:
    """Set what is not set for Prefect: no telemetry, and time for a slow server."""
    for key, value in _PREFECT.items():
        os.environ.setdefault(key, value)


@contextmanager
def of_workers() -> Iterator[None]:
    """Set what is not set for processes that start while this lasts: they hold little memory."""
    before = {key: os.environ.get(key) for key in _WORKERS}
    mine = [key for key, value in before.items() if value in (None, _POLARS)]
    os.environ.update({key: _WORKERS[key] for key in mine})
    try:
        yield
    finally:
        for key in mine:
            value = before[key]
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
