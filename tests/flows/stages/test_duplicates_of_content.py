"""Duplicates of images are those of their pixels; a step refuses content that it can't compare."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.flows import CurationConfig, curate
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError

Image = pytest.importorskip("PIL.Image")


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pool(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (48, 48, 3), dtype=np.uint8) for _ in range(30)]
    smooth = [np.full((512, 512, 3), 90 + i, dtype=np.uint8) for i in range(8)]
    for picture in smooth[4:]:
        picture[:] = smooth[0]
        x, y = rng.integers(0, 500, 2)
        picture[x, y] = 0
    files = [png(p) for p in [*pictures, *smooth]]
    names = [f"i{row:02}" for row in range(len(files))]
    frame = pl.DataFrame({"id": [*names, "copy"], "image": [*files, files[3]]})
    frame = frame.with_columns(
        vector=pl.Series(rng.normal(size=(len(frame), 6)).astype(np.float32))
    )
    path = tmp_path / "pool.parquet"
    frame.write_parquet(path)
    return str(path)


def configured(pool: str, tmp_path: Path, kind: str, step: str) -> CurationConfig:
    return CurationConfig(
        pool=pool,
        id="id",
        budget="100%",
        select="random",
        scores=("knn_density",),
        plan={"deduplicate": (step,)},
        store=str(tmp_path / "store"),
        **{kind: kind},
    )


def test_only_pictures_with_the_same_pixels_are_exact_duplicates(pool: str, tmp_path: Path) -> None:
    curate(configured(pool, tmp_path, "image", "exact_duplicates"))
    left_out = ScoreStore(tmp_path / "store").sql(
        "SELECT sample_id, group_id FROM duplicates WHERE NOT keeper"
    )
    assert {frozenset(row) for row in left_out.rows()} == {frozenset({"copy", "i03"})}


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_a_step_that_compares_texts_is_refused_before_any_work(
    kind: str, pool: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"near_duplicates compares texts.*{kind}s.*semantic_dup"):
        curate(configured(pool, tmp_path, kind, "near_duplicates"))
    assert not list((tmp_path / "store").glob("artifacts/*/*"))
