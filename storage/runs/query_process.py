"""Queries that users wrote, each in a process that is ended where the query takes more than it may."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Timer
from typing import Any, BinaryIO

import pyarrow as pa

from assay.storage import errors
from assay.storage.errors import AssayError, QueryError
from assay.storage.runs.querying import query_store
from assay.storage.sql.sandbox import memory_limit, time_limit, took_too_long, took_too_much

logger = logging.getLogger("assay.storage")

# seconds for opening the store, and for coming to the next step after an interrupt
_GRACE = 3.0
# what a process takes beside a query: buffers, and for each core the stack of a thread
_BESIDE, _PER_CORE = 64 << 20, 10 << 20
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from assay.storage.runs.query_process import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)


class _EndedError(Exception):
    """The process ended by itself, most likely since the system gave it no more memory."""


class QueryProcess:
    """A process that runs queries over stores, one after the other.

    Raises
    ------
    OSError
        It can't be started.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():  # it says when it has imported what it needs
            self.close()
            raise OSError("a process for queries can't be started")

    def run(self, query: dict[str, Any]) -> pa.Table:
        """Run a query in the process, which ends where it takes too much.

        Raises
        ------
        AssayError
            What the query raised there, or `QueryError` where it took too long.
        _EndedError
            The process ended by itself.
        """
        seconds = time_limit()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        ended: list[bool] = []

        def end() -> None:
            ended.append(True)
            self._process.kill()

        alarm = Timer(seconds + _GRACE, end)
        alarm.daemon = True
        alarm.start()
        try:
            limits = {"ASSAY_SQL_SECONDS": str(seconds), "ASSAY_SQL_MEMORY": str(memory_limit())}
            stdin.write(json.dumps(query | {"limits": limits}).encode() + b"\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
            for warning in answer.get("warnings", ()):
                logger.warning("%s", warning)
            if "error" in answer:
                raise getattr(errors, answer["error"])(answer["message"])
            with pa.ipc.open_stream(stdout) as reader:
                return reader.read_all()
        except (OSError, ValueError, pa.ArrowException) as error:
            if isinstance(error, AssayError):
                raise
            self.close()
            if ended:
                raise QueryError(took_too_long(seconds)) from None
            raise _EndedError from None
        except BaseException as error:
            if not isinstance(error, AssayError):
                self.close()
            raise
        finally:
            alarm.cancel()

    @property
    def alive(self) -> bool:
        """Whether it can take another query."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close this process's ends of its pipes."""
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


_idle: list[QueryProcess] = []
_lock = Lock()


def query_apart(store: Path, query: str, **how: Any) -> pa.Table:
    """Query the runs of a store's folder as `query_store` does, in another process.

    Time and memory are hard limits there: an operator that does not come to its end is killed, and
    what DuckDB does not count (lists and texts while they are made) is counted by the system.
    """
    try:
        query.encode()
    except UnicodeEncodeError:
        raise QueryError(f"The query {query!a} is not valid UTF-8; write it in UTF-8.") from None
    request = {"store": str(store), "folder": os.getcwd(), "query": query, "how": how}
    with _lock:
        process = _idle.pop() if _idle else None
    if process is not None and process.alive:
        try:
            return _run(process, request)
        except _EndedError:  # it may have been dying before it was asked
            pass
    try:
        process = QueryProcess()
    except OSError:  # no room for another process
        return query_store(store, query, **how)
    try:
        return _run(process, request)
    except _EndedError:
        raise QueryError(took_too_much(memory_limit())) from None


def _run(process: QueryProcess, request: dict[str, Any]) -> pa.Table:
    """Run a query in a process, which waits for the next one afterward."""
    try:
        return process.run(request)
    finally:
        if process.alive:
            with _lock:
                _idle.append(process)


def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


def _after_fork() -> None:
    """Leave the processes of the parent to it."""
    global _lock
    _lock = Lock()
    while _idle:
        _idle.pop().forget()


atexit.register(_close_idle)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# --- the process --------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Run a query for each line of JSON, and answer with a line of JSON and an Arrow stream."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is told, and ends this process
    warnings = _Warnings()
    logger.addHandler(warnings)
    _tell(answers, {})
    for line in requests:
        query = json.loads(line)
        os.environ |= query["limits"]
        try:
            with suppress(OSError):
                os.chdir(query["folder"])
            with _bounded():
                table = query_store(Path(query["store"]), query["query"], **query["how"])
        except AssayError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
            _tell(answers, answer | warnings.taken())
        except MemoryError:
            explanation = took_too_much(memory_limit())
            _tell(
                answers, {"error": QueryError.__name__, "message": explanation} | warnings.taken()
            )
        else:
            _tell(answers, warnings.taken())
            with pa.ipc.new_stream(answers, table.schema) as writer:
                writer.write_table(table)
            answers.flush()


class _Warnings(logging.Handler):
    """Keeps what is logged for the process that asked."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())

    def taken(self) -> dict[str, Any]:
        """Return what was logged since the last call, as a part of an answer."""
        messages, self._messages = self._messages, []
        return {"warnings": messages} if messages else {}


def _tell(answers: BinaryIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


@contextmanager
def _bounded() -> Iterator[None]:
    """Let the body take so much memory and time more, as far as the system can bound them.

    Its end comes from the system, also where nobody waits for the answer any more.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    status = Path("/proc/self/status").read_text().splitlines()
    held = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    wanted = held + memory_limit() + _BESIDE + _PER_CORE * (os.cpu_count() or 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    signal.setitimer(signal.ITIMER_REAL, time_limit() + 2 * _GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
