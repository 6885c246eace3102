"""Conversations: lists of messages with a role and a content, as one text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.storage.errors import ConfigError

DEFAULT_TEMPLATE = "{role}: {content}"
TURNS = ("all", "last")
_SYSTEM = ("system", "developer")
_USER = ("user", "human", "prompter")
_FIELDS = (("role", "content"), ("from", "value"))
_PLACES = re.compile(r"\{(\w*)\}")
_TEXT = pa.large_string()
_MAY_BE_PARTS = r"^\s*\[\s*\{"
# a list is one of parts where every item says its type
_TEXTS_OF_PARTS = """
SELECT CASE WHEN json_valid(content) THEN
    CASE WHEN len(json_extract(content, '$[*].type')) = json_array_length(content)
        THEN array_to_string(json_extract_string(content, '$[*].text'), chr(10))
        ELSE content END
    ELSE content END AS content
FROM listed ORDER BY place
"""


def message_fields(kind: pa.DataType) -> tuple[str, str] | None:
    """Return the names of the role and the content of messages, None for any other type."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    if not pa.types.is_struct(kind.value_type):
        return None
    names = {field.name: field.type for field in kind.value_type}
    for role, content in _FIELDS:
        if role in names and content in names and _is_content(names[content]):
            return role, content
    return None


def _is_content(kind: pa.DataType) -> bool:
    return _is_string(kind) or _part_field(kind) is not None


def _is_string(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    )


def _part_field(kind: pa.DataType) -> int | None:
    """Return the place of the text in a content of several parts: lists of {type, text}."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    if not pa.types.is_struct(kind.value_type):
        return None
    place: int = kind.value_type.get_field_index("text")
    return place if place >= 0 else None


def check_template(template: str) -> None:
    """Check how a message is written.

    Raises
    ------
    ConfigError
        It lacks ``{content}``, or names anything but ``{role}`` and ``{content}``.
    """
    named = set(_PLACES.findall(template))
    if "content" not in named or named - {"role", "content"}:
        raise ConfigError(
            f"The template {template!r} must hold {{content}}, and may hold {{role}}: each message is "
            "written so, one a line."
        )


def conversation_texts(
    array: Any, template: str | None, *, turns: str | None = None, system: bool | None = None
) -> Any:
    """Write every conversation as text: its messages by the template, one a line; null for none.

    With ``turns="last"`` only the last message of the user and those after it (the last message,
    where no user speaks); with ``system=False`` no messages of the system or the developer.

    Examples
    --------
    >>> said = [[{"role": "user", "content": "Hi"}, {"role": "model", "content": None}], [], None]
    >>> conversation_texts(pa.array(said), "<{role}>{content}").to_pylist()
    ['<user>Hi\\n<model>', '', None]
    """
    fields = message_fields(array.type)
    assert fields is not None
    messages = array.flatten()
    role, content = (_field(messages, name) for name in fields)
    offsets = _offsets(array)
    kept = _kept(role, offsets, turns, system)
    if kept is not None:
        role, content = (values.filter(pa.array(kept)) for values in (role, content))
        offsets = np.concatenate([[0], np.cumsum(kept)])[offsets]
    pieces: list[Any] = []
    end = 0
    template = DEFAULT_TEMPLATE if template is None else template
    for place in _PLACES.finditer(template):
        pieces += [template[end : place.start()], role if place[1] == "role" else content]
        end = place.end()
    pieces.append(template[end:])
    scalars = [pa.scalar(p, _TEXT) if isinstance(p, str) else p for p in pieces]
    lines = pc.binary_join_element_wise(*scalars, pa.scalar("", _TEXT))
    return _joined(array, lines, "\n", offsets)


def _kept(role: Any, offsets: Any, turns: str | None, system: bool | None) -> Any:
    """Return which messages are written, None where all are."""
    if turns in (None, "all") and system in (None, True):
        return None
    named = pc.utf8_lower(pc.utf8_trim_whitespace(role))

    def is_one_of(names: tuple[str, ...]) -> Any:
        return pc.is_in(named, pa.array(names, _TEXT)).to_numpy(zero_copy_only=False)

    kept = np.ones(len(role), dtype=bool) if system in (None, True) else ~is_one_of(_SYSTEM)
    if turns == "last":
        place = np.arange(len(role))
        conversation = np.searchsorted(offsets, place, side="right") - 1
        last = np.full(len(offsets), -1)
        np.maximum.at(last, conversation[kept], place[kept])
        begin = np.full(len(offsets), -1)
        of_users = kept & is_one_of(_USER)
        np.maximum.at(begin, conversation[of_users], place[of_users])
        begin = np.where(begin < 0, last, begin)
        kept &= place >= begin[conversation]
    return kept


def _field(messages: Any, name: str) -> Any:
    values = messages.flatten()[messages.type.get_field_index(name)]
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    place = _part_field(values.type)
    if place is not None:
        parts = values.flatten().flatten()[place]
        values = _joined(values, pc.fill_null(parts.cast(_TEXT), ""), "\n")
    return _texts_of_parts(pc.fill_null(values.cast(_TEXT), ""))


def _texts_of_parts(contents: Any) -> Any:
    """Replace lists of {type, text} by their texts: where others are text, readers give JSON."""
    in_parts = pc.match_substring_regex(contents, _MAY_BE_PARTS)
    if not pc.any(in_parts).as_py():
        return contents
    import duckdb

    listed = contents.filter(in_parts)
    listed = pa.table({"place": np.arange(len(listed)), "content": listed})
    with duckdb.connect(":memory:") as con:
        con.register("listed", listed)
        texts = con.sql(_TEXTS_OF_PARTS).to_arrow_table()
    return pc.replace_with_mask(contents, in_parts, texts["content"].combine_chunks().cast(_TEXT))


def _offsets(lists: Any) -> Any:
    """Return where the items of each list begin and end among all of them."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)])


def _joined(lists: Any, texts: Any, between: str, offsets: Any = None) -> Any:
    """Join the texts of each list's items."""
    places = pa.array((_offsets(lists) if offsets is None else offsets).astype(np.int32))
    grouped = pa.ListArray.from_arrays(places, texts, mask=lists.is_null())
    return pc.binary_join(grouped, pa.scalar(between, _TEXT))
