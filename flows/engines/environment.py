"""What Prefect must find in the environment when it is imported."""

from __future__ import annotations

import os

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "assay",
}


def prepare() -> None:
    """Turn telemetry off, and let a slow machine start the server, unless the user says otherwise."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
