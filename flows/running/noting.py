"""Noting a run that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from assay.flows.config.credentials import scrub, scrub_error
from assay.storage import ScoreStore
from assay.storage.disk.refusals import refusals_explained
from assay.storage.runs.run_file import RunInfo


@contextmanager
def noted(store: ScoreStore, info: RunInfo) -> Iterator[None]:
    """Note the run as failed where the body raises after it had begun."""
    try:
        with refusals_explained(store.path):
            yield
    except BaseException as error:
        scrub_error(error)
        # a full disk has no room for the note either: the next writer marks the run
        with suppress(OSError):
            if store.has_begun(info.run_id):
                store.fail(info, scrub(f"{type(error).__name__}: {error}"))
        raise
