"""What a configuration may hold: its JSON schema, and what each key means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.selection import registry
from assay.storage.errors import ColumnError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FORMS: dict[str, type[BaseModel]] = {"curate": CurationConfig, "features": FeatureConfig}


class Key(NamedTuple):
    """A key of a configuration, by its path of names: its default, and what it means."""

    name: str
    default: Any
    meaning: str


def keys(form: type[BaseModel], above: str = "") -> Iterator[Key]:
    """Yield the keys of a form, those of its tables among them.

    Examples
    --------
    >>> [key.name for key in keys(CurationConfig)][-3:]
    ['graph.robust', 'graph.memory_limit', 'graph.attribute_weight']
    """
    meanings = {parameter.name: parameter.meaning for parameter in registry.parameters(form)}
    for name, field in form.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{above}{name}.")
            continue
        default = field.get_default(call_default_factory=True)
        default = None if default is PydanticUndefined else default
        yield Key(above + name, default, meanings.get(name, ""))


def key(form: type[BaseModel], name: str) -> list[Key]:
    """Return the key of that name, or those of the table of that name.

    Raises
    ------
    ColumnError
        There is none; the message names the likely one.
    """
    listed = list(keys(form))
    matching = [one for one in listed if one.name == name or one.name.startswith(f"{name}.")]
    if not matching:
        raise ColumnError.missing(name, [one.name for one in listed], what="key")
    return matching


def json_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a form, with every key's description, for editors that complete keys.

    Examples
    --------
    >>> schema = json_schema(CurationConfig)
    >>> schema["properties"]["budget"]["description"]
    'int, float or str: How many rows to choose: a count (1000), or a share (0.1 or "10%"); ...'
    """
    schema = form.model_json_schema()
    tables = {"": form} | {
        field.annotation.__name__: field.annotation
        for field in form.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    for name, table in tables.items():
        described = schema["$defs"][name] if name else schema
        described["description"] = (table.__doc__ or "").partition("\n\n")[0].strip()
        for parameter in registry.parameters(table):
            if parameter.name in described["properties"] and parameter.meaning:
                described["properties"][parameter.name]["description"] = parameter.meaning
    return {"$schema": DIALECT, **schema}
