"""What DuckDB can answer with and a frame can't hold, turned into text before it leaves DuckDB."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import duckdb

# the rest of DuckDB's types has one of Polars that holds every value of it
_FOREIGN = frozenset(
    {"interval", "union", "bit", "bignum", "variant", "geometry", "uhugeint", "time with time zone"}
)
# Python's dates end with the year 9999, and JSON and CSV know no bytes
_UNPRINTED = _FOREIGN | {
    "date", "time", "time_ns", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns",
    "timestamp with time zone", "blob",
}  # fmt: skip
_NAMED = frozenset({"list", "array", "struct", "map"})
_NESTED = _NAMED | {"tuple"}


def carried(
    relation: duckdb.DuckDBPyRelation, *, printable: bool = False
) -> duckdb.DuckDBPyRelation:
    """Return a relation all of whose columns a Polars frame can hold.

    Intervals, unions, bit strings, numbers beyond 38 digits, variants, geometries, times with a
    zone and structs without fields become DuckDB's text of them, also inside lists, structs and
    maps; a struct without names that holds one becomes text as a whole. Everything else stays as
    it is; with `printable`, bytes and all dates and times become text too.
    """
    as_text = _UNPRINTED if printable else _FOREIGN
    if not any(_is_foreign(type, as_text) for type in relation.types):
        return relation
    parts = []
    for place, (name, type) in enumerate(zip(relation.columns, relation.types, strict=True), 1):
        changed = _is_foreign(type, as_text)
        value = f"CAST(#{place} AS {_type_name(type, as_text)})" if changed else f"#{place}"
        parts.append(f"{value} AS {_quoted(name)}")
    return relation.project(", ".join(parts))


def _is_foreign(type: Any, as_text: Collection[str]) -> bool:
    if type.id in as_text:
        return True
    if type.id not in _NESTED:
        return False
    children = [child for _, child in _children(type)]
    if type.id == "map" and children[0].id in _NESTED:
        return True  # Python's mappings have no such keys
    return not children or any(_is_foreign(child, as_text) for child in children)


def _children(type: Any) -> list[tuple[str, Any]]:
    return [child for child in type.children if isinstance(child[1], type.__class__)]


def _type_name(type: Any, as_text: Collection[str]) -> str:
    """Return the SQL of a type in which text stands for all of `as_text`."""
    if not _is_foreign(type, as_text):
        return str(type)
    children = _children(type) if type.id in _NAMED else []
    names = [_type_name(child, as_text) for _, child in children]
    if type.id == "map" and children[0][1].id in _NESTED:
        return "VARCHAR"
    if type.id == "list":
        return f"{names[0]}[]"
    if type.id == "array":
        size = next(size for _, size in type.children if isinstance(size, int))
        return f"{names[0]}[{size}]"
    if type.id == "map":
        return f"MAP({', '.join(names)})"
    if type.id == "struct" and children:
        fields = zip((name for name, _ in children), names, strict=True)
        return f"STRUCT({', '.join(f'{_quoted(name)} {inner}' for name, inner in fields)})"
    return "VARCHAR"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
