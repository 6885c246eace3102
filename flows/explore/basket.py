"""Rows marked by hand, written for the next run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.export.destination import check_destination
from assay.storage import ScoreStore
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ConfigError

FILES = ("basket.toml", "basket.parquet")


class Basket:
    """Writes two files into a folder, never into the store.

    ``basket.toml`` holds `[plan]` with `must_include` and `must_exclude`, as `assay curate` reads
    it; ``basket.parquet`` holds sample_id, mark ("must_include", "must_exclude" or "label") and
    label.

    Parameters
    ----------
    folder : Path
    store : ScoreStore
        The store that is explored.

    Raises
    ------
    ConfigError
        The files may not be written there: the folder is missing, or inside a store.
    """

    def __init__(self, folder: Path, store: ScoreStore) -> None:
        self.paths = tuple(folder / name for name in FILES)
        for path in self.paths:
            check_destination(path, store, overwrite=True)

    def write(self, include: list[str], exclude: list[str], labels: dict[str, str]) -> list[str]:
        """Replace both files; return their names.

        Raises
        ------
        ConfigError
            A row is to be included and excluded.
        """
        both = sorted(set(include) & set(exclude))
        if both:
            raise ConfigError(f"The row {both[0]!r} is marked to be included and to be excluded.")
        marks = [
            *((row, "must_include", None) for row in include),
            *((row, "must_exclude", None) for row in exclude),
            *((row, "label", label) for row, label in labels.items()),
        ]
        schema = {"sample_id": pl.String, "mark": pl.String, "label": pl.String}
        frame = pl.DataFrame(marks, schema=schema, orient="row")
        with output_path(self.paths[0], replace=True) as temporary:
            temporary.write_text(
                f"[plan]\nmust_include = {toml_list(include)}\nmust_exclude = {toml_list(exclude)}\n",
                encoding="utf-8",
            )
        with output_path(self.paths[1], replace=True) as temporary:
            frame.write_parquet(temporary)
        return [str(path) for path in self.paths]


def toml_list(texts: list[str]) -> str:
    """Return texts as a list of TOML.

    Examples
    --------
    >>> toml_list(["a", 'b "c"'])
    '["a", "b \\\\"c\\\\""]'
    """
    # JSON's strings are those of TOML but for one character
    return json.dumps(texts, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_text(text: str) -> bool:
    """Return whether a text can be written: JSON can hold halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def marks_of(sent: Any) -> tuple[list[str], list[str], dict[str, str]]:
    """Return include, exclude and labels of what a page sent.

    Raises
    ------
    ConfigError
        It has another form.
    """
    if isinstance(sent, dict):
        include, exclude = sent.get("include", []), sent.get("exclude", [])
        labels = sent.get("labels", {})
        lists = isinstance(include, list) and isinstance(exclude, list) and isinstance(labels, dict)
        if lists and all(
            isinstance(text, str) and _is_text(text)
            for text in [*include, *exclude, *labels, *labels.values()]
        ):
            return list(dict.fromkeys(include)), list(dict.fromkeys(exclude)), labels
    raise ConfigError("A basket holds `include` and `exclude`, lists of ids, and `labels` by id.")
