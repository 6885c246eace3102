"""Secrets: kept out of configurations, which are stored with every run, and out of what is said."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from assay.storage.errors import ConfigError

HIDDEN = "***"
_SHORTEST = 8
_SECRET = re.compile(
    r"""(^|_)(passw(or)?d|passphrase|secret|credentials?|token|auth(orization)?|connection_string
    |(api|access|account|private|secret|shared|sas|ssh|signing|encryption)_?key)(_id)?(_|$)""",
    re.VERBOSE | re.IGNORECASE,
)
# names of variables that hold a path to a secret, or where to ask for one
_ELSEWHERE = re.compile(r"(_(file|path|dir|folder|sock|url|uri|endpoint|variable))$", re.IGNORECASE)
_IN_TEXT = (
    re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
    re.compile(r"(?<=Bearer )[\w.~+/-]{8,}=*"),
    re.compile(
        r"(?<=[?&])(sig|signature|token|api_key|key|x-amz-[a-z-]+)=[^&\s\"']+", re.IGNORECASE
    ),
)


def is_secret(name: str) -> bool:
    """Say whether a key or an environment variable of that name holds a secret.

    Examples
    --------
    >>> [is_secret(n) for n in ("api_key", "AWS_SECRET_ACCESS_KEY", "key_variable", "tokenizer")]
    [True, True, False, False]
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace("-", "_")
    return bool(_SECRET.search(words)) and not _ELSEWHERE.search(words)


def without_secrets(options: dict[str, Any]) -> dict[str, Any]:
    """Return `options`, in which no key, however deep, may hold a secret.

    Raises
    ------
    ConfigError
        One does. Its value is not shown.
    """
    for name in _names(options):
        if is_secret(name):
            raise ConfigError(
                f"{name} is a secret, and a configuration is stored with every run: put it into "
                "an environment variable (whose name is `key_variable` of the embedder 'openai'), "
                "and leave it out here"
            )
    return options


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name)
            yield from _names(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _names(inner)


def without_password(location: str | None) -> str | None:
    """Return `location`, which may be a URL but not one with a password.

    Raises
    ------
    ConfigError
        It holds one. The password is not shown.
    """
    if location and "://" in location:
        try:
            given = urlsplit(location).password
        except ValueError:
            given = None
        if given:
            raise ConfigError(
                f"{scrub(location)} holds a password, and a configuration is stored with every "
                "run: put credentials into the environment"
            )
    return location


def scrub(text: str) -> str:
    """Return `text` without passwords in URLs, and without the secrets of the environment.

    Examples
    --------
    >>> scrub("no answer from https://me:hunter22@host/pool")
    'no answer from https://***@host/pool'
    """
    secrets = {
        value.strip()
        for name, value in os.environ.items()
        if is_secret(name) and len(value.strip()) >= _SHORTEST
    }
    # the longest first: one may hold another
    for value in sorted(secrets, key=lambda v: (-len(v), v)):
        text = text.replace(value, HIDDEN)
    for pattern in _IN_TEXT:
        text = pattern.sub(lambda m: f"{m[1]}={HIDDEN}" if m.lastindex else HIDDEN, text)
    return text


def scrub_error(error: BaseException) -> None:
    """Take secrets out of the texts of an error and of what caused it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if scrub(str(current)) != str(current):
            current.args = tuple(scrub(a) if isinstance(a, str) else a for a in current.args)
            for name in ("strerror", "filename", "filename2"):
                if isinstance(getattr(current, name, None), str):
                    setattr(current, name, scrub(getattr(current, name)))
        current = current.__cause__ or current.__context__


class Scrubbing(logging.Filter):
    """Takes secrets out of log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, its message without secrets."""
        said = record.getMessage()
        clean = scrub(said)
        if clean != said:
            record.msg, record.args = clean, ()
        return True
