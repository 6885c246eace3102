"""Progress of long work: bars on a terminal, plain log lines elsewhere; always on standard error."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, copy_context
from threading import Event, Thread
from typing import Protocol

logger = logging.getLogger("assay")

# seconds: between two lines that count, and after which a step that counts nothing says that it runs
_BETWEEN, _SILENCE = 10.0, 30.0


class Step(Protocol):
    """One piece of work whose progress is shown."""

    def advance(self, rows: int) -> None:
        """Say that `rows` more rows are done."""

    def reached(self, part: str, done: int, total: int) -> None:
        """Say that `done` of `total` pieces of a part of the work are done."""


class _Line:
    """Log lines: at most one every ten seconds, at least one every thirty, and one at the end."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name, self.total, self.done = name, total, 0
        self.where = ""
        self.began = self.said = time.monotonic()

    def advance(self, rows: int) -> None:
        self.done += rows
        of = f" of {self.total:,}" if self.total else ""
        self._say(f"{self.done:,}{of} rows", _BETWEEN)

    def reached(self, part: str, done: int, total: int) -> None:
        self._say(f"{part} {done:,} of {total:,}", _BETWEEN)

    def beat(self, ended: Event) -> None:
        """Say that the step still runs wherever nothing was said for long, until it has ended."""
        while not ended.wait(max(self.said + _SILENCE - time.monotonic(), 0.01)):
            so_far = f"{time.monotonic() - self.began:.0f} s so far"
            self._say(self.where, _SILENCE, so_far)

    def _say(self, where: str, after: float, more: str = "") -> None:
        self.where = where
        now = time.monotonic()
        if now - self.said >= after:
            self.said = now
            logger.info("%s: %s", self.name, ", ".join(part for part in (where, more) if part))


@contextmanager
def _lines(name: str, total: int | None) -> Iterator[Step]:
    line, ended = _Line(name, total), Event()
    # in the context of the step, from which a handler may learn which run it logs for
    beat = Thread(target=copy_context().run, args=(line.beat, ended), daemon=True)
    beat.start()
    try:
        yield line
    finally:
        ended.set()
        beat.join()
    logger.info("%s: done in %.1f s", name, time.monotonic() - line.began)


Reporter = Callable[[str, int | None], AbstractContextManager[Step]]
_reporter: ContextVar[Reporter] = ContextVar("assay_progress", default=_lines)


def step(name: str, total: int | None = None) -> AbstractContextManager[Step]:
    """Open a step of work, to be used in a `with` statement."""
    return _reporter.get()(name, total)


def found(name: str) -> None:
    """Report that a stage's output already existed."""
    logger.info("%s: unchanged, taken from the store", name)


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to what standard error is now, not to what it was when the handler was made."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def log_to_stderr() -> None:
    """Send the log to standard error, one plain line each; once."""
    if not logger.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("assay: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)


@contextmanager
def bars() -> Iterator[None]:
    """Show steps as bars where standard error is a terminal, else as log lines."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        class Bar:
            def __init__(self, task: TaskID) -> None:
                self.task = task

            def advance(self, rows: int) -> None:
                progress.advance(self.task, rows)

            def reached(self, part: str, done: int, total: int) -> None:
                progress.update(self.task, completed=done, total=total)

        @contextmanager
        def bar(name: str, total: int | None) -> Iterator[Step]:
            task = progress.add_task(name, total=total)
            yield Bar(task)
            progress.update(task, total=1, completed=1)

        level = logger.level
        logger.setLevel(logging.WARNING)
        token = _reporter.set(bar)
        try:
            yield
        finally:
            _reporter.reset(token)
            logger.setLevel(level)
