"""Stores whose runs are exported: over texts, images in folders, and a data set of `datasets`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.flows import curate
from assay.flows.result import Result

ROWS = 60
CLASSES = ("cat", "dog", "eel")


def text_frame() -> pl.DataFrame:
    numbers = list(range(ROWS))
    return pl.DataFrame(
        {
            "id": [f"r{i}" for i in numbers],
            "text": [
                None if i == 7 else f"about {i % 5} things, number {i} of words" for i in numbers
            ],
            "y": [CLASSES[i % 3] for i in numbers],
            "n": numbers,
            "license": ["mit" if i % 4 else "cc-by-4.0" for i in numbers],
            "parts": [[{"k": i, "v": [f"a{i}"]}] for i in numbers],
        }
    )


def picture(seed: int, format: str = "PNG") -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 255, (12, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return a run over texts of which one is empty, in a folder with a card that states a license."""
    folder = tmp_path_factory.mktemp("exported") / "pool"
    folder.mkdir()
    text_frame().write_parquet(folder / "rows.parquet")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: [en]\n---\n# Rows\n")
    return curate(
        pool=str(folder),
        id="id",
        text="text",
        label="y",
        keep=["n"],
        budget=9,
        select="random",
        store=str(folder.parent / "store"),
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return a run over images in folders of classes; two of one class have the same name."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(24):
        kind = ("png", "jpeg")[i % 2]
        path = folder / "pool" / ("train", "test")[i // 12] / CLASSES[i % 3] / f"p{i % 12}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(i, kind.upper()))
    return curate(
        pool=str(folder / "pool"),
        label="folder",
        budget=10,
        select="random",
        store=str(folder / "store"),
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder by its path within it."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}
