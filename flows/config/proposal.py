"""A first configuration for a pool, proposed from its columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from assay.storage.errors import AssayError, ConfigError, InputError
from assay.storage.names import check_kept, fold
from assay.storage.reading.chat import message_fields
from assay.storage.reading.finding import is_image
from assay.storage.reading.formats import images_beside, open_sources
from assay.storage.reading.images import ImageFolder
from assay.storage.reading.locations import as_path, scheme_of
from assay.storage.reading.source import Reading, Source
from assay.storage.reading.values import measure_type

# rows whose values decide what a column is
LOOKED_AT = 10_000
# most values of a column that names kinds of rows
MOST_KINDS = 50
_ID_NAMES = frozenset({"id", "uid", "uuid", "guid", "key", "sample_id", "row_id", "doc_id", "url"})
_TEXT_NAMES = ("text", "content", "body", "document", "prompt", "sentence", "question")
_LABEL_NAMES = ("label", "labels", "class", "classes", "category", "categories", "y")
_TARGET_STEMS = ("target", "wanted")
_KEPT = 3


@dataclass(frozen=True)
class Column:
    """What a column looks like.

    Attributes
    ----------
    name : str
    type : str
        Of its values; those of text formats are numbers where all of them are.
    values : int
        Different ones among the rows that were looked at.
    example : str
        Its first value, cut.
    role : str
        What is proposed for it, "" where nothing is.
    """

    name: str
    type: str
    values: int
    example: str
    role: str = ""


@dataclass(frozen=True)
class Proposal:
    """Keys of a first configuration, each with the reason for its value.

    Attributes
    ----------
    settings : mapping
        Keys and values, in the order in which a file should hold them.
    because : mapping of key to str
        Why.
    columns : list of Column
    rows : int
        Of the pool.
    """

    settings: dict[str, Any]
    because: dict[str, str]
    columns: list[Column] = field(default_factory=list)
    rows: int = 0


def propose(
    pool: str,
    *,
    target: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Proposal:
    """Look at a pool's columns, and propose what each is for, a target and a budget.

    Parameters
    ----------
    pool : str
        File, folder, glob or URL.
    target : str, optional
        A sample of what is wanted. By default a file called ``target`` or ``wanted`` beside the pool
        that has its column of content.
    delimiter, encoding : str, optional
        How text files are read, as in `assay.storage.read_pool`.

    Raises
    ------
    InputError
        The pool has no rows.
    ConfigError
        No column can be content, or the target lacks the pool's content.
    SourceError
        A file is missing or broken.
    """
    reading = Reading(delimiter, encoding)
    name, sources = open_sources(pool, reading)
    sources = [source for source in sources if source.n_rows != 0]
    types = {f.name: f.type for source in sources for f in source.schema}
    looked_at = {column: _first_values(sources, column, kind) for column, kind in types.items()}
    if not any(len(values) for values in looked_at.values()):
        raise InputError(f"The pool {name!r} has no rows; there is nothing to choose.")
    settings: dict[str, Any] = {"pool": pool}
    because = {"pool": f"{len(sources)} file{'s' * (len(sources) != 1)}, {len(types)} columns"}
    for key, value in (("delimiter", delimiter), ("encoding", encoding)):
        if value is not None:
            settings[key] = value
    rows = _identify(sources, looked_at, settings, because)
    _find_content(pool, sources, types, looked_at, settings, because)
    _find_kinds(sources, looked_at, settings, because)
    _find_target(pool, target, reading, settings, because)
    settings["budget"], because["budget"] = _budget(rows)
    settings["store"] = "assay-store"
    because["store"] = "runs, scores and decisions; it can be moved"
    columns = [_described(c, values, settings) for c, values in looked_at.items()]
    return Proposal(settings, because, columns, rows)


def _first_values(sources: Sequence[Source], column: str, kind: pa.DataType) -> pl.Series:
    """Return a column's values in the first rows; text that holds numbers only as numbers."""
    parts: list[pl.Series] = []
    textual = True
    # what is large is known by its type
    simple = not (pa.types.is_nested(kind) or pa.types.is_binary(kind))
    most = LOOKED_AT if simple else 10
    for batch, source in _batches(sources, column, most):
        if not pa.types.is_null(batch.type):
            parts.append(pl.Series(column, _plain(batch)))
            textual &= source.textual
        if sum(map(len, parts)) >= most:
            break
    if not parts:
        return pl.Series(column, [], dtype=pl.Null)
    try:
        values = pl.concat(parts)
    except pl.exceptions.PolarsError:  # files disagree: what the first one holds is shown
        values = parts[0]
    if textual and values.dtype == pl.String:
        values = values.replace("", None)
        return values.cast(measure_type(values))
    return values


def _plain(array: Any) -> Any:
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _batches(
    sources: Sequence[Source], column: str, size: int = LOOKED_AT
) -> Iterator[tuple[Any, Source]]:
    for source in sources:
        if column in source.schema.names:
            for batch in source.batches([column], size):
                yield batch.column(0), source


def _identify(
    sources: Sequence[Source],
    looked_at: dict[str, pl.Series],
    settings: dict[str, Any],
    because: dict[str, str],
) -> int:
    """Propose the column of ids; return how many rows there are."""
    if any(isinstance(source, ImageFolder) for source in sources):
        settings["id"], because["id"] = "file", "the image's path"
        return sum(source.n_rows or 0 for source in sources)
    likely = sorted(looked_at, key=lambda column: fold(column) not in _ID_NAMES)
    for column in likely:
        named = fold(column) in _ID_NAMES or fold(column).endswith(("_id", "-id"))
        if not _may_identify(looked_at[column], named=named):
            continue
        ids = pl.concat(
            [pl.Series(_plain(a)).cast(pl.String) for a, _ in _batches(sources, column)]
        )
        if ids.null_count() == 0 and (ids != "").all() and ids.n_unique() == len(ids):
            settings["id"] = column
            because["id"] = f"{len(ids):,} different values in as many rows"
            return len(ids)
    because["id"] = "no column is unique: a row is known by the hash of its content"
    first = next(iter(looked_at))
    return sum(
        len(array) if source.n_rows is None else 0 for array, source in _batches(sources, first)
    ) + sum(source.n_rows or 0 for source in sources)


def _may_identify(values: pl.Series, *, named: bool) -> bool:
    if values.dtype.is_integer():
        unique = named
    elif values.dtype == pl.String:
        unique = named or not bool(values.str.contains(r"\s").any())
    else:
        return False
    return unique and values.null_count() == 0 and values.n_unique() == len(values)


def _find_content(
    pool: str,
    sources: Sequence[Source],
    types: dict[str, pa.DataType],
    looked_at: dict[str, pl.Series],
    settings: dict[str, Any],
    because: dict[str, str],
) -> None:
    """Propose the content: images of a folder, texts, chats, vectors, images, or columns of a table."""
    if any(isinstance(source, ImageFolder) for source in sources):
        settings["image"], because["image"] = "image", "a folder of images"
        return
    free = {c: v for c, v in looked_at.items() if c != settings.get("id")}
    words = {column: _mean_words(values) for column, values in free.items()}
    texts = [c for c, mean in words.items() if mean >= 3 or (c in _TEXT_NAMES and mean >= 1)]
    if texts:
        named = [name for name in _TEXT_NAMES if name in texts]
        chosen = named[0] if named else max(texts, key=lambda c: (words[c], c))
        settings["text"] = chosen
        because["text"] = f"texts of {words[chosen]:,.0f} words in the mean"
        return
    for kind, fitting, why in (
        ("text", [c for c in free if message_fields(types[c]) is not None], "conversations"),
        ("vector", [c for c in free if _is_vector(free[c])], "lists of numbers"),
        ("image", [c for c in free if _is_image(free[c])], "image files"),
    ):
        if fitting:
            settings[kind], because[kind] = fitting[0], why
            return
    labels = [name for name in free if fold(name) in _LABEL_NAMES]
    compared = tuple(c for c, v in free.items() if c not in labels and _is_compared(v))
    if not compared:
        raise ConfigError(
            "None of the pool's columns can be content: no texts, conversations, lists of numbers or "
            f"images, and no numbers or categories to compare rows by. Its columns are: "
            f"{', '.join(f'{c} ({v.dtype})' for c, v in looked_at.items())}.{images_beside(pool)}"
        )
    settings["columns"] = compared
    because["columns"] = "a table: its rows are compared by these"


def _mean_words(values: pl.Series) -> float:
    if values.dtype != pl.String or not len(values.drop_nulls()):
        return 0.0
    # `\S+` counts words; a text without spaces is one
    return float(values.drop_nulls().str.count_matches(r"\S+").mean())  # type: ignore[arg-type]


def _is_vector(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.List | pl.Array) and values.dtype.inner.is_numeric()


def _is_image(values: pl.Series) -> bool:
    if values.dtype == pl.String:
        names = values.drop_nulls().head(100).to_list()
        return bool(names) and all(map(is_image, names))
    if isinstance(values.dtype, pl.Struct):
        return bool({f.name for f in values.dtype.fields} & {"bytes", "path"})
    return values.dtype == pl.Binary


def _is_compared(values: pl.Series) -> bool:
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.n_unique() > 1
    return _names_kinds(values)


def _names_kinds(values: pl.Series) -> bool:
    """Return whether a column's values come again, as names of kinds do."""
    if values.dtype not in (pl.String, pl.Boolean) and not values.dtype.is_integer():
        return False
    present = values.drop_nulls()
    return 1 < present.n_unique() <= MOST_KINDS and 2 * present.n_unique() <= len(present)


def _find_kinds(
    sources: Sequence[Source],
    looked_at: dict[str, pl.Series],
    settings: dict[str, Any],
    because: dict[str, str],
) -> None:
    """Propose the column of labels, and columns to store for SQL."""
    used = {value for value in settings.values() if isinstance(value, str)}
    used |= set(settings.get("columns", ()))
    kinds = [c for c, v in looked_at.items() if c not in used and _names_kinds(v)]
    labels = [c for name in _LABEL_NAMES for c in kinds if fold(c) == name]
    if any(isinstance(source, ImageFolder) for source in sources) and "folder" in kinds:
        labels.insert(0, "folder")
    if labels:
        settings["label"] = labels[0]
        because["label"] = f"{looked_at[labels[0]].drop_nulls().n_unique()} values"
    keep = [c for c in kinds if c not in labels[:1] and looked_at[c].dtype == pl.String]
    keep = [c for c in keep if _may_be_kept(c)][:_KEPT]
    if keep:
        settings["keep"] = keep
        because["keep"] = "kinds of rows, to group by in SQL and in the summary"


def _may_be_kept(column: str) -> bool:
    try:
        check_kept([column])
    except AssayError:
        return False
    return True


def _find_target(
    pool: str,
    target: str | None,
    reading: Reading,
    settings: dict[str, Any],
    because: dict[str, str],
) -> None:
    content = {settings[key] for key in ("text", "vector", "image") if key in settings}
    content |= set(settings.get("columns", ()))
    if target is not None:
        columns = {name for s in open_sources(target, reading)[1] for name in s.schema.names}
        missing = sorted(content - columns)
        if missing:
            raise ConfigError(
                f"The target {target} has no column {missing[0]!r}, which is the pool's content; its "
                f"columns are: {', '.join(sorted(columns))}."
            )
        settings["target"], because["target"] = target, "a sample of what is wanted"
        return
    for path in _beside(pool):
        try:
            columns = {name for s in open_sources(path, reading)[1] for name in s.schema.names}
        except AssayError:
            continue
        if content <= columns:
            settings["target"] = os.fspath(path)
            because["target"] = "it lies beside the pool, with the same content"
            return


def _beside(pool: str) -> list[Path]:
    """Return the files beside a pool that are called as a target is."""
    if scheme_of(pool) is not None:
        return []
    path = as_path(pool)
    if not path.is_file():
        return []
    own = path.resolve()
    return [
        other
        for other in sorted(path.parent.iterdir())
        if other.is_file()
        and other.resolve() != own
        and fold(other.name.partition(".")[0]) in _TARGET_STEMS
    ]


def _budget(rows: int) -> tuple[str, str]:
    share = "10%" if rows < 10_000 else "5%" if rows < 1_000_000 else "1%"
    count = max(1, rows * int(share[:-1]) // 100)
    return share, f"{count:,} of {rows:,} rows; a whole number counts rows"


def _described(column: str, values: pl.Series, settings: dict[str, Any]) -> Column:
    roles = [k for k, v in settings.items() if v == column and k not in ("pool", "store", "target")]
    roles += [k for k in ("keep", "columns") if column in settings.get(k, ())]
    present = values.drop_nulls()
    simple = present.dtype.is_numeric() or present.dtype in (pl.String, pl.Boolean)
    example = " ".join(str(present[0]).split())[:60] if simple and len(present) else ""
    different = present.n_unique() if simple else 0
    return Column(column, str(values.dtype), different, example, ", ".join(roles))
