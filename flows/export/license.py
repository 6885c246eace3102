"""What a pool states about its license: in the header of its README.md, or in its own columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from assay.storage.names import fold
from assay.storage.reading.locations import as_path, scheme_of

_KEYS = ("license", "license_name", "license_link", "language")
_COLUMNS = ("license", "licence")
_SHOWN = 20


def license_fields(location: str | None) -> dict[str, Any]:
    """Return the fields about license and language that stand beside a pool's files.

    They are taken from the header of README.md in the pool's folder, else from `datasets`'
    dataset_info.json. A pool in object storage states nothing here.
    """
    if location is None or scheme_of(location) not in (None, "file"):
        return {}
    path = as_path(location)
    folder = path if path.is_dir() else path.parent
    fields = {key: value for key, value in _header(folder / "README.md").items() if key in _KEYS}
    if "license" not in fields:
        for info in (folder / "dataset_info.json", folder / "train" / "dataset_info.json"):
            stated = _info(info).get("license")
            if isinstance(stated, str) and stated.strip():
                fields["license"] = stated.strip()
                break
    return fields


def _header(path: Path) -> dict[str, Any]:
    """Return the YAML header of a Markdown file; nothing where there is none that can be read."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("---"):
            return {}
        header = yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return header if isinstance(header, dict) else {}


def _info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def license_counts(frame: pl.DataFrame) -> list[tuple[str, int]]:
    """Return how many of the rows have which license, as a column of that name says."""
    name = next((name for name in frame.columns if fold(name) in _COLUMNS), None)
    if name is None or frame.schema[name].is_nested():
        return []
    texts = frame.get_column(name).cast(pl.String, strict=False).fill_null("(none stated)")
    counts = texts.alias("license").to_frame().group_by("license").agg(n=pl.len())
    return [
        (str(text), int(n))
        for text, n in counts.sort("n", "license", descending=[True, False]).head(_SHOWN).rows()
    ]
