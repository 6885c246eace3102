"""What the forms of configurations have in common: how they are read, and how they refuse."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
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
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"The configuration {path} can't be read: {error.strerror}."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"The configuration {path} is not valid TOML: {error}.") from error
        for key, value in overrides.items():
            if isinstance(value, Mapping) and isinstance(values.get(key), dict):
                values[key] |= value
            elif value is not None:
                values[key] = value
        return cls.build(values, where=str(path))


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
    known = ", ".join(cls.model_fields)
    parts = []
    for issue in error.errors():
        cause = issue.get("ctx", {}).get("error")
        if isinstance(cause, BudgetError):
            return cause
        key = ".".join(str(part) for part in issue["loc"])
        if issue["type"] == "extra_forbidden":
            parts.append(f"unknown key {key!r} (known are: {known})")
        else:
            message = issue["msg"].removeprefix("Value error, ")
            parts.append(f"{key}: {message}" if key else message)
    return ConfigError(f"Wrong in {where}: {'; '.join(parts)}.")
