"""Settings of every test: no telemetry, and properties that don't depend on a machine's speed."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ.pop("PREFECT_API_URL", None)

settings.register_profile("assay", deadline=None)
# a change is not held up by an example that it did not bring about
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "assay")


@pytest.fixture(autouse=True)
def _log_of_its_own() -> Iterator[None]:
    """Take away the handlers of a test: Prefect's write to what standard error was at its first run."""
    yield
    log = logging.getLogger("assay")
    for handler in list(log.handlers):
        log.removeHandler(handler)
    log.propagate = True
    log.setLevel(logging.NOTSET)
