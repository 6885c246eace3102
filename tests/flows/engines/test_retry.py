"""What is tried again, and what is told at once."""

from __future__ import annotations

import errno
import io
import itertools
from typing import Any

import botocore.exceptions
import duckdb
import httpx
import pytest

from assay.flows.engines.retry import DELAYS, is_transient, retry
from assay.storage.errors import (
    AssayError,
    ConfigError,
    InputError,
    ServiceError,
    ServiceRefusedError,
    SourceError,
    StoreError,
)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def amazon(status: int) -> Exception:
    answer: Any = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.exceptions.ClientError(answer, "GetObject")


def answered(status: int) -> Exception:
    request = httpx.Request("GET", "http://127.0.0.1")
    return httpx.HTTPStatusError("", request=request, response=httpx.Response(status))


PASSING = [
    ConnectionResetError(),
    ConnectionRefusedError(),
    TimeoutError(),
    BlockingIOError(errno.EAGAIN, "busy"),
    OSError(errno.EIO, "input/output error"),
    OSError(errno.ESTALE, "stale file handle"),
    httpx.ConnectError("no route"),
    httpx.ReadTimeout("late"),
    answered(503),
    amazon(503),
    botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    botocore.exceptions.ReadTimeoutError(endpoint_url="http://127.0.0.1"),
    duckdb.IOException('IO Error: Could not set lock on file "a.duckdb"'),
    ServiceError("out of order"),
    caused(StoreError("not written"), OSError(errno.EIO, "input/output error")),
    caused(SourceError("not reached"), ConnectionError()),
]
LASTING = [
    FileNotFoundError(errno.ENOENT, "none"),
    PermissionError(errno.EACCES, "no"),
    OSError(errno.ENOSPC, "full"),
    io.UnsupportedOperation("not readable"),
    ValueError("wrong"),
    MemoryError(),
    answered(404),
    amazon(403),
    duckdb.IOException("IO Error: No files found that match the pattern"),
    duckdb.ConversionException("not a number"),
    ServiceRefusedError("no such model"),
    ConfigError("wrong"),
    StoreError("newer"),
    SourceError("none"),
    caused(ConfigError("wrong"), ConnectionError()),
    caused(InputError("wrong"), TimeoutError()),
    caused(SourceError("none"), FileNotFoundError(errno.ENOENT, "none")),
    caused(RuntimeError("of someone else"), ConnectionError()),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_stays_is_not(error: Exception) -> None:
    assert not is_transient(error)


def errors_of(root: type[AssayError]) -> list[type[AssayError]]:
    return [root, *(e for sub in root.__subclasses__() for e in errors_of(sub))]


@pytest.mark.parametrize("kind", errors_of(AssayError))
def test_of_our_own_errors_only_a_service_out_of_order_may_pass(kind: type[AssayError]) -> None:
    assert is_transient(kind("said")) == (kind is ServiceError)


def test_prefect_is_told_by_the_state() -> None:
    class State:
        data: Any = TimeoutError()

        def result(self, raise_on_failure: bool) -> Any:
            return ConnectionError()

    assert retry(None, None, State())
    state = State()
    state.data = "stored elsewhere"
    assert retry(None, None, state)
    state.data = KeyError("x")
    assert not retry(None, None, state)


def test_the_waits_grow_and_end_within_a_quarter_of_an_hour() -> None:
    assert all(b >= 2 * a for a, b in itertools.pairwise(DELAYS))
    assert sum(DELAYS) < 15 * 60
