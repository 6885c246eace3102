"""Secrets: kept out of messages, and out of configurations, which are stored with every run."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

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
_NAMES = (
    r"\w*passw(?:or)?d|pwd|passphrase|\w*secret|\w*(?:api|account|access|private|sas)[_-]?key"
    r"|shared[_-]?access[_-]?(?:key|signature)|(?:auth|access|refresh|bearer|hf|api)[_-]?token"
)
# what -> how it looks; the group `secret` is what must not be said
_SHAPES = {
    "a password in a URL": r"://(?P<secret>[^\s/?#:@]*:[^\s/?#@]+)@",
    "a bearer token": r"\bbearer\s+(?P<secret>[\w.~+/-]{8,}=*)",
    "credentials of a header": (
        r"(?:\bbasic\s+(?=[\w+/=]*[\d+/=])|\b(?:token|apikey)\s+(?=\S*\d))"
        r"(?P<secret>[\w.~+/-]{12,}=*)"
    ),
    "a key or a signature in a URL": (
        r"[?&;#](?:(?:x-(?:amz|goog|ms|oss|cos)-[a-z-]+|sig|signature|token|apikey|jwt|hmac"
        rf"|key-pair-id|awsaccesskeyid|googleaccessid|ossaccesskeyid|{_NAMES})="
        r"(?=[^&\s\"'#]{3})|(?:key|sign|auth|code|policy)=(?=[^&\s\"'#]{12}))(?P<secret>[^&\s\"'#]+)"
    ),
    "a key": (
        r"\b(?P<secret>(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
        r"|hf_[a-z0-9]{20,}|sk-(?:[a-z0-9]+-)*\w{16,}|[sr]k_(?:live|test)_\w{16,}|xox[a-z]-[\w-]{10,}"
        r"|AIza[\w-]{30,}|ya29\.[\w-]{20,}|npm_\w{30,}|pypi-[\w-]{30,}|dop_v1_\w{30,}"
        r"|SG\.[\w-]{16,}\.[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    ),
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*)",
}
_ASSIGNED = rf"(?<![\w?&;#-])(?:{_NAMES})[\"']?\s*[:=]\s*[\"']?(?P<secret>[^\s;&,'\"{{}}]{{4,}})"
_IN_SQL = {what: re.compile(shape, re.IGNORECASE | re.DOTALL) for what, shape in _SHAPES.items()}
_IN_TEXT = _IN_SQL | {"a password or a key": re.compile(_ASSIGNED, re.IGNORECASE)}
SECRET_SHAPE = (
    r"://[^/@\s]*:[^/@\s]*@|[Bb]earer\s+\S{8}"
    r"|[?&](sig|[Ss]ignature|[Tt]oken|access_token|key|api_?key|[Xx]-[A-Za-z]+-[A-Za-z-]*)="
)
"""What a scheduler's form refuses in a value: a part of the above, as JSON Schema can say it."""


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


def secret_in(text: str, *, sql: bool = False) -> str | None:
    """Return what a text holds that must not be stored, None: nothing that looks like a secret.

    Parameters
    ----------
    text : str
    sql : bool, default False
        Whether it is an SQL expression, in which ``password = 'x'`` compares a column.

    Examples
    --------
    >>> secret_in("tls://me:hunter22@host:8786"), secret_in("https://host/a.csv?page=2")
    ('a password in a URL', None)
    """
    return _secret_in(text, _of_the_environment(), sql=sql)


def _secret_in(text: str, secrets: Sequence[str], *, sql: bool) -> str | None:
    for readable in dict.fromkeys((text, unquote(text))):
        for what, shape in (_IN_SQL if sql else _IN_TEXT).items():
            if shape.search(readable):
                return what
        if any(value in readable for value in secrets):
            return "a secret of the environment"
    return None


def refuse_secrets(value: Any, key: str = "", *, sql: Collection[str] = ()) -> None:
    """Raise `ConfigError` where a key or a value, however deep, holds a secret; it is not shown.

    `sql` names the keys whose values are SQL.
    """
    _refuse(value, key, sql, _of_the_environment())


def _refuse(value: Any, key: str, sql: Collection[str], secrets: Sequence[str]) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse(str(name), "a key" + (f" of {key}" if key else ""), (), secrets)
            _refuse(inner, f"{key}.{name}" if key else str(name), sql, secrets)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            _refuse(inner, key, sql, secrets)
    elif isinstance(value, (str, bytes, os.PathLike)):
        text = os.fsdecode(value)
        held = _secret_in(text, secrets, sql=any(part in sql for part in key.split(".")))
        if held is not None:
            raise ConfigError(
                f"{key or 'it'} holds {held}, and a configuration is stored with every run: put "
                "credentials into the environment, and leave them out here"
            )


def _of_the_environment() -> list[str]:
    """Return the secrets of the environment, the longest first: one may hold another."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if is_secret(name) and len(value.strip()) >= _SHORTEST
    }
    return sorted(values, key=lambda value: (-len(value), value))


def scrub(text: str) -> str:
    """Return `text` without passwords in URLs, and without the secrets of the environment.

    Examples
    --------
    >>> scrub("no answer from https://me:hunter22@host/pool")
    'no answer from https://***@host/pool'
    """
    for value in _of_the_environment():
        text = text.replace(value, HIDDEN)
    for shape in _IN_TEXT.values():
        text = shape.sub(_hidden, text)
    return text


def _hidden(match: re.Match[str]) -> str:
    start, end = (place - match.start() for place in match.span("secret"))
    return match[0][:start] + HIDDEN + match[0][end:]


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
        message = record.getMessage()
        clean = scrub(message)
        if clean != message:
            record.msg, record.args = clean, ()
        return True
