"""Duplicates of images are those of their pixels; a step refuses content that it can't compare."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

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


def test_a_step_that_compares_texts_is_refused_before_any_work(pool: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"near_duplicates compares texts or images.*vectors.*semantic_dup"
    ):
        curate(configured(pool, tmp_path, "vector", "near_duplicates"))
    assert not list((tmp_path / "store").glob("artifacts/*/*"))


def altered(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    image.resize(options.pop("size", image.size)).save(file, kind, **options)
    return file.getvalue()


def test_pictures_that_were_encoded_again_are_near_duplicates(tmp_path: Path) -> None:
    step = "near_duplicates"
    rng = np.random.default_rng(1)
    files, groups = [], []
    for group in range(40):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((96, 80), Image.Resampling.BICUBIC))
        copies = [altered(pixels, "PNG")]
        if group < 3:
            for quality in range(40, 90):
                copies.append(altered(pixels, "JPEG", quality=quality))
            copies.append(altered(pixels, "PNG", size=(200, 150)))
            copies.append(altered(pixels, "WEBP", size=(48, 40)))
        files += copies
        groups += [group] * len(copies)
    frame = pl.DataFrame({"id": [f"i{i:03}" for i in range(len(files))], "image": files})
    path = tmp_path / "pool.parquet"
    frame.write_parquet(path)
    curate(configured(str(path), tmp_path, "image", step))
    store = ScoreStore(tmp_path / "store")
    left = store.sql(f"SELECT sample_id FROM latest_decisions WHERE reason = '{step}'")
    out = set(left["sample_id"])
    kept = [group for name, group in zip(frame["id"], groups, strict=True) if name not in out]
    assert sorted(kept) == list(range(40))
    found = store.sql("SELECT sample_id, group_id, similarity FROM duplicates WHERE NOT keeper")
    number = dict(zip(frame["id"], groups, strict=True))
    assert all(number[a] == number[b] for a, b, _ in found.rows())
    assert found["similarity"].is_between(0.8, 1).all()
    detail = store.sql(
        f"SELECT detail->>'similarity' AS s FROM latest_decisions WHERE reason = '{step}'"
    )
    assert detail["s"].cast(pl.Float64).is_between(0.8, 1).all()
