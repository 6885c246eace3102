"""Names of classes that Hugging Face's `datasets` keeps beside a column of their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

FEATURES = b"huggingface"
"""The key of a schema's metadata under which `datasets` states its features."""

ClassNames = Mapping[str, Sequence[str]]


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of classes by column, as the metadata of a schema say."""
    try:
        by_column = {
            name: [str(each) for each in feature["names"]]
            for name, feature in stated_features(schema).items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError):
        return {}
    return {name: names for name, names in by_column.items() if _is_numbered(schema, name)}


def stated_features(schema: pa.Schema) -> dict[str, Any]:
    """Return the features of columns, in the form of `datasets`' JSON, as far as a schema states them."""
    try:
        stated = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))
        features = stated["info"]["features"]
        return {name: feature for name, feature in features.items() if name in schema.names}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_numbered(schema: pa.Schema, name: str) -> bool:
    return bool(pa.types.is_integer(schema.field(name).type))


def named_schema(schema: pa.Schema, names: ClassNames) -> pa.Schema:
    """Return the schema of `named` batches."""
    if not names:
        return schema
    kind = pa.dictionary(pa.int32(), pa.string())
    fields = [field.with_type(kind) if field.name in names else field for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def named(table: Any, names: ClassNames) -> Any:
    """Return a record batch or table with names in place of numbers; other numbers are null."""
    columns = [
        _named(column, names[name]) if name in names else column
        for name, column in zip(table.schema.names, table.columns, strict=True)
    ]
    return type(table).from_arrays(columns, names=table.schema.names)


def _named(column: Any, names: Sequence[str]) -> Any:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    codes = column.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    inside = (codes >= 0) & (codes < len(names))
    numbers = pa.array(np.where(inside, codes, 0).astype(np.int32), mask=~inside)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(names, pa.string()))
