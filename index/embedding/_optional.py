"""Packages that only some embedders need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from assay.storage.errors import DependencyError


def optional_module(name: str, extra: str) -> Any:
    """Import a module of an extra; raise `DependencyError` where its package is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"The package {error.name!r} is needed here and not installed; run "
            f"`pip install 'assay[{extra}]'`."
        ) from error
