"""What Prefect must find in the environment when it is imported, and workers when they start."""

from __future__ import annotations

import os

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "assay",
    # what a task has freed is not kept: one heap for all threads, and none of Polars' pages
    "MALLOC_ARENA_MAX": "1",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
}


def prepare() -> None:
    """Set what is not set: no telemetry, time for a slow server, and workers that hold little memory."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
