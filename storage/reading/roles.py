"""What the columns of a pool are for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from assay.storage.errors import ColumnError, ConfigError, InputError
from assay.storage.limits import Flag, check_parameters
from assay.storage.names import PROBLEM, SAMPLE_NAMES, check_kept, fold
from assay.storage.reading.chat import TURNS, check_template, message_fields
from assay.storage.reading.source import Reading

Kind = Literal["text", "vector", "image"]

# names of columns that are never content by default
_LABELS = {"label", "labels", "class", "classes", "category", "categories", "target", "y"}

FIXED_NAMES = (*SAMPLE_NAMES, PROBLEM)


@dataclass(frozen=True)
class Roles:
    """Column names by role; exactly one of `text`, `vector` and `image` is set.

    The fields are the keyword arguments of `read_pool`, so that a second data set can be read in
    the same way.
    """

    id: str | None = None
    text: str | None = None
    vector: str | None = None
    image: str | None = None
    label: str | None = None
    group: str | None = None
    keep: tuple[str, ...] = ()
    template: str | None = None
    turns: str | None = None
    system: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def reading(self) -> Reading:
        """How text files are read."""
        return Reading(self.delimiter, self.encoding)

    @property
    def kind(self) -> Kind:
        return "text" if self.text is not None else "image" if self.image is not None else "vector"

    @property
    def content(self) -> str:
        """The column whose rows are the samples' content."""
        name = self.text if self.text is not None else self.image
        return name if name is not None else str(self.vector)

    @property
    def columns(self) -> list[str]:
        """Every column that has a role, once."""
        named = (self.id, self.content, self.label, self.group, *self.keep)
        return list(dict.fromkeys(name for name in named if name is not None))


def resolve_roles(
    roles_given: Roles,
    schemas: Mapping[str, pa.Schema],
    repeats: Callable[[str], bool] = lambda column: False,
) -> Roles:
    """Choose the content column where none is given, and check every role against every schema.

    `repeats` says whether a column has few distinct values, as labels have.

    Raises
    ------
    ConfigError
        More than one content column, none that could be chosen, or names in `keep` that clash.
    ColumnError
        A column that is missing, everywhere or in one source.
    InputError
        A column whose type is not what its role needs.
    """
    check_kept(roles_given.keep)
    if roles_given.template is not None:
        check_template(roles_given.template)
    check_parameters(
        turns=(roles_given.turns, *TURNS, None), system=(roles_given.system, Flag(), None)
    )
    contents = [
        name
        for name in (roles_given.text, roles_given.vector, roles_given.image)
        if name is not None
    ]
    if len(contents) > 1:
        raise ConfigError(f"Give one of text, vector and image, not {' and '.join(contents)}.")
    types = {field.name: field.type for schema in schemas.values() for field in schema}
    roles = roles_given if contents else _with_default_content(roles_given, types, repeats)
    for column in roles.columns:
        if column not in types:
            raise ColumnError.missing(column, types)
        for source, schema in schemas.items():
            if column not in schema.names:
                raise ColumnError(
                    f"{source} has no column {column!r}, which other files of the pool have; "
                    f"its columns are: {_listed(schema.names)}."
                )
    fits, needed = _CONTENT[roles.kind]
    for source, schema in schemas.items():
        dtype = schema.field(roles.content).type
        if not fits(dtype) and not pa.types.is_null(dtype):
            where = f" of {source}" if len(schemas) > 1 else ""
            raise InputError(
                f"Column {roles.content!r}{where} can't be used as {roles.kind}: it is of type "
                f"{dtype}, and {needed} is needed."
            )
    return roles


def _listed(names: Sequence[str], most: int = 30) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _with_default_content(
    roles: Roles, types: Mapping[str, pa.DataType], repeats: Callable[[str], bool]
) -> Roles:
    other = {roles.id, roles.label, roles.group, *roles.keep}
    texts = [name for name, kind in types.items() if _is_text(kind) and name not in other]
    images = _has_image(types, other)
    # its name says what it is, unless images are there and it repeats as labels do
    if (
        "text" in types
        and "text" not in other
        and not ("text" in texts and images and repeats("text"))
    ):
        return replace(roles, text="text")
    labels = []
    # categories are content only where no other text is
    for names in ([name for name in texts if not pa.types.is_dictionary(types[name])], texts):
        if len(names) == 1 and not images:
            if fold(names[0]) not in _LABELS and not repeats(names[0]):
                return replace(roles, text=names[0])
            labels = names
    for name in ("messages", "conversations"):
        if name in types and message_fields(types[name]):
            return replace(roles, text=name)
    for name in ("vector", "embedding"):
        if name in types and _is_vector(types[name]):
            return replace(roles, vector=name)
    if _has_image(types, other):
        return replace(roles, image="image")
    because = (
        f" Column {labels[0]!r} looks like a label: by its name, or as its values come again."
        if labels
        else ""
    )
    raise ConfigError(
        "Say which column holds the content: text, vector or image (`--text COLUMN`), or, to compare "
        "the rows of a table by its numbers and categories, columns (`--columns A,B`); the columns are: "
        + _listed([f"{name} ({kind})" for name, kind in types.items()])
        + f".{because}"
    )


def _has_image(types: Mapping[str, pa.DataType], other: Collection[str | None]) -> bool:
    kind = types.get("image", pa.null())
    return "image" not in other and _is_image(kind) and not _is_text(kind)


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is(kind: pa.DataType, *tests: Callable[[pa.DataType], bool]) -> bool:
    return any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    kind = _decoded(kind)
    return _is(kind, pa.types.is_string, pa.types.is_large_string)


def _is_vector(kind: pa.DataType) -> bool:
    kind = _decoded(kind)
    if not _is(kind, pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list):
        return False
    number = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return _is(kind.value_type, *number)


def _is_image(kind: pa.DataType) -> bool:
    kind = _decoded(kind)
    if pa.types.is_struct(kind):
        fields = {field.name: field.type for field in kind}
        known = [fields[name] for name in ("bytes", "path") if name in fields]
        return bool(known) and all(_is_image(f) or pa.types.is_null(f) for f in known)
    bytes_ = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return _is(kind, *bytes_, pa.types.is_string, pa.types.is_large_string)


def _is_content_text(kind: pa.DataType) -> bool:
    return _is_text(kind) or message_fields(kind) is not None


_CONTENT: dict[str, tuple[Callable[[pa.DataType], bool], str]] = {
    "text": (_is_content_text, "text (or a list of messages with role and content)"),
    "vector": (_is_vector, "a list of numbers"),
    "image": (_is_image, "the bytes or paths of image files"),
}
