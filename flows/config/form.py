"""What the forms of configurations have in common: how they are read, and how they refuse."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from assay.flows.config.credentials import refuse_secrets
from assay.storage.errors import BudgetError, ConfigError


class Form(BaseModel):
    """Keys and their values; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    # keys whose values are SQL
    sql_keys: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, values: Any) -> Any:
        # before anything that could repeat a value
        if isinstance(values, Mapping):
            refuse_secrets(values, sql=cls.sql_keys)
        return values

    @model_validator(mode="before")
    @classmethod
    def _in_utf8(cls, values: Any) -> Any:
        # the store keeps the configuration as JSON
        if isinstance(values, Mapping):
            for key, value in values.items():
                _require_utf8(str(key), value)
        return values

    # defined last, so that it runs first
    @model_validator(mode="before")
    @classmethod
    def _paths_as_text(cls, values: Any) -> Any:
        return _with_text(values) if isinstance(values, Mapping) else values

    @classmethod
    def build(cls, values: Mapping[str, Any], *, where: str = "the configuration") -> Self:
        """Validate `values`; an error names every wrong key in one paragraph.

        Raises
        ------
        ConfigError
            If a key is unknown, missing, or its value is not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _explained(error, cls, where) from error

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> Self:
        """Read a TOML file; `overrides` that are not None replace its keys.

        Paths in the file are taken relative to the working directory.
        """
        return cls.build(merged(read_toml(path), overrides), where=str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the keys and values of a TOML file.

    Raises
    ------
    ConfigError
        It can't be read, or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        cause = (
            f"can't be read: {error.strerror}"
            if isinstance(error, OSError)
            else f"is not valid TOML: {error}"
        )
        hint = (
            ""
            if Path(path).suffix == ".toml"
            else " A data set is given by an option of its own, --pool."
        )
        raise ConfigError(f"The configuration {path} {cause}.{hint}") from error


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with those of `overrides` that are not None in place; tables are merged.

    Examples
    --------
    >>> merged({"seed": 1, "graph": {"k": 5}}, {"seed": None, "graph": {"metric": "l2"}})
    {'seed': 1, 'graph': {'k': 5, 'metric': 'l2'}}
    """
    result = dict(values)
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = {**result[key], **value}
        elif value is not None:
            result[key] = value
    return result


def _unknown(form: type[BaseModel], key: str) -> str:
    """Say that a key, perhaps within a table, is unknown, and suggest the likely one."""
    *tables, name = key.split(".")
    for table in tables:
        inner = form.model_fields[table].annotation if table in form.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        form = inner
    names = sorted(form.model_fields)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    likely = ".".join([*tables, close[0]]) if close else ""
    hint = f"; did you mean {likely!r}?" if likely else ""
    return f"unknown key {key!r}{hint} (known are: {', '.join(names)})"


def _with_text(value: Any) -> Any:
    """Return a value whose paths, wherever they are in it, are text."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {key: _with_text(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_with_text, value))
    return value


def _require_utf8(key: str, value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"{key}: {value!a} is not valid UTF-8; rename the file, or write the text in UTF-8"
            ) from None
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _require_utf8(key, name)
            _require_utf8(key, inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            _require_utf8(key, inner)
    elif isinstance(value, PurePath):
        _require_utf8(key, str(value))


def _explained(error: ValidationError, cls: type[BaseModel], where: str) -> ConfigError:
    parts = []
    for issue in error.errors():
        cause = issue.get("ctx", {}).get("error")
        if isinstance(cause, BudgetError):
            return cause
        key = ".".join(str(part) for part in issue["loc"])
        if issue["type"] == "extra_forbidden":
            parts.append(_unknown(cls, key))
        else:
            message = issue["msg"].removeprefix("Value error, ")
            parts.append(f"{key}: {message}" if key else message)
    return ConfigError(f"Wrong in {where}: {'; '.join(parts)}.")
