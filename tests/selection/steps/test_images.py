"""Duplicates of images given as bytes: exact ones by pixels, near ones by what they look like."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.index import ImageEmbedder, SimilarityGraph
from assay.selection import ExactDuplicates, NearDuplicates, SelectionPlan, SemanticDuplicates
from assay.selection.contract.images import Images, images_of
from assay.storage.errors import ConfigError
from tests.data import shared

Image = pytest.importorskip("PIL.Image")


def written(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def files() -> list[bytes | None]:
    """Return 30 pictures, each also as BMP and as JPEG, and what is no picture."""
    rng = np.random.default_rng(0)
    found: list[bytes | None] = []
    for _ in range(30):
        coarse = Image.fromarray(rng.integers(0, 256, (10, 10, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC))
        found += [written(pixels), written(pixels, "BMP"), written(pixels, "JPEG", quality=60)]
    return [*found, None, b"no picture", b"no picture"]


@pytest.mark.parametrize("column", [list, pl.Series, lambda f: np.array(f, dtype=object)])
def test_bytes_are_images(column: Any, files: list[bytes | None]) -> None:
    exact = ExactDuplicates().fit(column(files))
    expected = [row for row in range(90) if row % 3 != 1]
    assert np.flatnonzero(exact.keep_).tolist() == [*expected, 90, 91, 92]
    near = NearDuplicates().fit(column(files))
    assert np.flatnonzero(near.keep_).tolist() == [*range(0, 90, 3), 90, 91, 92]
    assert near.report_["undecoded"] == 3
    out = near.similarity_[~near.keep_]
    assert out[::2].tolist() == [1.0] * 30
    assert ((out >= 0.8) & (out <= 1)).all()


def test_order_of_rows_does_not_matter(files: list[bytes | None]) -> None:
    ids = [f"{row:03}" for row in np.random.default_rng(1).permutation(len(files))]
    order = np.random.default_rng(2).permutation(len(files)).tolist()
    one = NearDuplicates().fit(files, ids=ids)
    two = NearDuplicates().fit([files[row] for row in order], ids=[ids[row] for row in order])
    assert one.duplicates().equals(two.duplicates())
    assert one.report_ == two.report_


def test_a_plan_reads_images_in_batches(files: list[bytes | None]) -> None:
    images = Images(lambda: iter([files[:50], files[50:]]), np.arange(0, 90), 2)
    plan = SelectionPlan(
        budget=30, selector="random", must_exclude=["0"], deduplicate=["exact_duplicates", "near_duplicates"]
    )  # fmt: skip
    plan.fit(np.random.default_rng(0).normal(size=(90, 4)), images=images)
    reasons = plan.decisions()["reason"].value_counts(sort=True)
    assert dict(reasons.rows()) == {
        "selected": 30, "near_duplicates": 30, "exact_duplicates": 29, "must_exclude": 1
    }  # fmt: skip


def test_a_threshold_is_checked(files: list[bytes | None]) -> None:
    with pytest.raises(ConfigError, match="image_threshold"):
        NearDuplicates(image_threshold=1.5).fit(files)
    assert len(images_of(files)) == len(files)


def test_near_duplicates_of_cifar() -> None:
    images = pl.read_parquet(shared("cifar10_jpeg.parquet"))
    pairs = pl.read_parquet(shared("cifar10_duplicates.parquet")).filter(pl.col("judgment") < 2)
    images = images.with_columns(
        key=pl.concat_str("split", pl.col("idx").cast(pl.String), separator="-")
    )
    pairs = pairs.select(
        a=pl.lit("test-") + pl.col("test_idx").cast(pl.String),
        b=pl.concat_str("other_split", pl.col("other_idx").cast(pl.String), separator="-"),
    )
    named = pl.concat([pairs["a"], pairs["b"]]).unique()
    others = images.filter(~pl.col("key").is_in(named.implode())).sample(3_000, seed=0)
    pool = pl.concat([images.filter(pl.col("key").is_in(named.implode())), others])
    near = NearDuplicates().fit(pool["jpeg"], ids=pool["key"])
    groups = near.duplicates()
    group = dict(zip(groups["sample_id"], groups["group_id"], strict=True))
    together = [group.get(a, a) == group.get(b, b) for a, b in pairs.rows()]
    known = {frozenset(pair) for pair in pairs.rows()}
    out = groups.filter(~pl.col("keeper"))
    right = [frozenset(pair) in known for pair in out.select("sample_id", "group_id").rows()]
    assert np.mean(together) >= 0.3
    assert np.mean(right) >= 0.9


def test_semantic_duplicates_find_clusters_of_images_whole() -> None:
    pool = pl.read_parquet(shared("cifar10_jpeg.parquet"))["jpeg"].sample(500, seed=0).to_list()
    groups = list(range(500))
    for group in range(6):
        pixels = np.asarray(Image.open(io.BytesIO(pool[group])).convert("RGB"))
        pool += [written(pixels, "JPEG", quality=60 + number % 40) for number in range(60)]
        groups += [group] * 60
    vectors = ImageEmbedder().fit(pool).encode(pool)
    graph = SimilarityGraph.from_vectors(vectors, k=15)
    kept = SemanticDuplicates().fit(vectors, graph=graph).keep_
    assert np.sort(np.array(groups)[kept]).tolist() == list(range(500))
