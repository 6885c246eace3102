"""Pools that are frames: the store keeps a copy, so that a stage can read it by its path."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import polars as pl

from assay.storage import ScoreStore
from assay.storage.errors import ConfigError
from assay.storage.reading.frames import as_table, frame_metadata
from assay.storage.reading.types import storable


def stored_path(store: ScoreStore, name: str, data: Any) -> str:
    """Return the path of `data`: its own, or that of the copy that the store keeps of a frame."""
    if isinstance(data, (str, os.PathLike)):
        return os.fspath(data)
    frame = pl.DataFrame(as_table(data))
    if frame.width == 0:
        raise ConfigError(f"The {name} is a frame without columns.")
    buffer = io.BytesIO()
    metadata = frame_metadata(data) or None
    storable(frame, as_tables=False).write_parquet(buffer, metadata=metadata)
    content = buffer.getvalue()
    # a frame may have several roles, each with a copy of its own name
    digest = hashlib.blake2b(content, digest_size=16, key=name.encode()).hexdigest()

    def make(out: Path) -> None:
        (out / f"{name}.parquet").write_bytes(content)

    store.make()
    folder, _ = store.artifacts.get_or_make("frames", digest, make, name=name)
    return str(folder / f"{name}.parquet")
