"""What the forms of configurations have in common: how they are read, and how they refuse."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.storage.errors import BudgetError, ConfigError


class Form(BaseModel):
    """Keys and their values; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

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
            parts.append(f"{key}: {issue['msg'].removeprefix('Value error, ')}")
    return ConfigError(f"Wrong in {where}: {'; '.join(parts)}.")
