"""Which errors are worth another try, and when."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from assay.storage.errors import AssayError, ServiceError, ServiceRefusedError, SourceError

# seconds before each further try: an outage of ten minutes passes; each is stretched at random by
# up to half, so that many runs don't come back at once
DELAYS = (2, 8, 32, 128, 512)
JITTER = 0.5

_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "EAGAIN",
        "EBUSY",
        "ECONNABORTED",
        "ECONNREFUSED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EINTR",
        "EIO",
        "ENETDOWN",
        "ENETRESET",
        "ENETUNREACH",
        "EPIPE",
        "EREMOTEIO",
        "ESTALE",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
# by name, so that no client library is imported to ask; bases count
_NAMES = frozenset(
    {
        "aiohttp.ClientConnectionError",
        "aiohttp.ClientPayloadError",
        "botocore.ConnectionError",
        "botocore.HTTPClientError",
        "botocore.IncompleteReadError",
        "httpcore.NetworkError",
        "httpcore.TimeoutException",
        "httpx.TransportError",
        "requests.ConnectionError",
        "requests.Timeout",
        "urllib3.HTTPError",
    }
)
_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


def is_transient(error: BaseException | None) -> bool:
    """Say whether the same call may well succeed in a minute.

    Lost connections, timeouts, busy or overloaded services, input and output errors of a disk or
    a network share are transient. What assay says of wrong input or a wrong configuration is not,
    nor is a missing file, a full disk, or an error that nothing is known of.

    Parameters
    ----------
    error : exception
        An error of assay that means that something failed, or that a source can't be read, counts
        as transient where the error that caused it does.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(FileNotFoundError())
    (True, False)
    """
    return any(_transient(cause) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, and what caused it where it says that something failed or can't be read."""
    while error is not None:
        used_wrongly = isinstance(error, AssayError) and isinstance(error, (ValueError, KeyError))
        if used_wrongly and not isinstance(error, SourceError):
            return
        yield error
        error = error.__cause__ if isinstance(error, AssayError) else None


def _transient(error: BaseException) -> bool:
    if isinstance(error, ServiceError):
        return not isinstance(error, ServiceRefusedError)
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    names = {f"{c.__module__.partition('.')[0]}.{c.__name__}" for c in type(error).__mro__}
    if names & _NAMES or _status(error) in _STATUSES:
        return True
    # a lock or a device error; a file that is missing or is no database says so in words
    return names >= {"_duckdb.IOException"} and not _final(str(error))


def _status(error: BaseException) -> Any:
    """Return the HTTP status that a client library's error carries, None where it carries none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    status = getattr(response, "status_code", None)
    return status if status is not None else getattr(error, "status", None)


def _final(message: str) -> bool:
    explanation = (
        "No such file",
        "does not exist",
        "No files found",
        "No space left",
        "Permission denied",
        "not a valid",
    )
    return any(words in message for words in explanation)


def retry(task: Any, task_run: Any, state: Any) -> bool:
    """Say to Prefect whether a failed task is tried again."""
    error = state.data
    if not isinstance(error, BaseException):
        error = state.result(raise_on_failure=False)
    return is_transient(error if isinstance(error, BaseException) else None)
