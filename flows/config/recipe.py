"""Recipes: plans of published methods by name, which a configuration's own keys override."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from pydantic import BaseModel

from assay.flows.config.form import merged
from assay.storage.errors import ColumnError, ConfigError


class Recipe(NamedTuple):
    """A plan by name.

    Attributes
    ----------
    name : str
    help : str
        What it chooses, in one line.
    source : str
        Who published it.
    needs : str
        What the pool must have.
    does : str
        How it chooses.
    settings : mapping
        Keys of a configuration, with their values.
    """

    name: str
    help: str
    source: str
    needs: str
    does: str
    settings: Mapping[str, Any]


@cache
def recipes() -> tuple[Recipe, ...]:
    """Return all recipes, by name.

    Examples
    --------
    >>> [recipe.name for recipe in recipes()][:2]
    ['d4', 'dclm']
    """
    folder = files(__package__).joinpath("recipes")
    listed = []
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            values = tomllib.loads(file.read_text(encoding="utf-8"))
            words = {key: " ".join(text.split()) for key, text in values.pop("recipe").items()}
            listed.append(Recipe(name=file.name.removesuffix(".toml"), settings=values, **words))
    return tuple(sorted(listed))


def recipe(name: str) -> Recipe:
    """Return one recipe.

    Raises
    ------
    ColumnError
        There is none of that name; the message names the likely one.
    """
    known = {recipe.name: recipe for recipe in recipes()}
    if name not in known:
        raise ColumnError.missing(name, known, what="recipe")
    return known[name]


def with_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a configuration, with those of the recipe that it names beneath.

    Keys that the values hold stay as they are, also within tables. The parameters of the recipe's
    selector are left out where the values name another selector.

    Raises
    ------
    ConfigError
        `recipe` is no text, or no recipe.

    Examples
    --------
    >>> values = with_recipe({"recipe": "dclm", "budget": 100})
    >>> values["select"], values["budget"], "recipe" in values
    ('top', 100, False)
    """
    own = {key: _plain(value) for key, value in values.items() if key != "recipe"}
    name = values.get("recipe")
    if name is None:
        return own
    if not isinstance(name, str):
        raise ConfigError(f"recipe is {name!r}; pass the name of one (assay recipes).")
    settings = dict(recipe(name).settings)
    if own.get("select") not in (None, settings.get("select")):
        settings.pop("options", None)
    return merged(settings, own)


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value
