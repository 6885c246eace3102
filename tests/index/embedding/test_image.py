"""The default image embedding: oracles, invariances, odd files, and neighbors on real images."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from scipy import ndimage

from assay.index import Embedder, embed
from assay.index.embedding._image_kernels import (
    CELLS,
    DIRECTIONS,
    FEATURES,
    WINDOWS,
    describe,
    project_dense,
)
from assay.index.embedding.image import ImageEmbedder
from assay.storage.errors import ConfigError, InputError, MissingInputError, StoreError
from tests.data import shared

RANDOM = np.random.default_rng(0)


def encoded(pixels: np.ndarray, form: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def picture(seed: int, side: int = 32) -> np.ndarray:
    """Smooth noise, so that there are edges in all directions."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0))
    return np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)


IMAGES = [encoded(picture(seed)) for seed in range(60)]
IDS = [f"id-{i:02d}" for i in range(60)]


def described(pixels: np.ndarray) -> np.ndarray:
    """Compute the features of one picture in plain NumPy."""
    side = len(pixels)
    size = side // CELLS
    # whole numbers, so that channels tie as they do in the kernel
    values = pixels.astype(float)
    gx, gy = np.zeros_like(values), np.zeros_like(values)
    gx[:, 1:-1] = values[:, 2:] - values[:, :-2]
    gy[1:-1] = values[2:] - values[:-2]
    strongest = (gx**2 + gy**2).argmax(axis=2)[..., None]
    gx, gy = (np.take_along_axis(g, strongest, 2)[..., 0] for g in (gx, gy))
    at = np.arctan2(gy, gx) % (2 * np.pi) * DIRECTIONS / (2 * np.pi)
    apart = np.abs(at[..., None] - np.arange(DIRECTIONS))
    shares = np.maximum(1 - np.minimum(apart, DIRECTIONS - apart), 0)
    lengths = np.hypot(gx, gy)[..., None] / 255 * shares * (4 / size) ** 2
    cells = lengths.reshape(CELLS, size, CELLS, size, DIRECTIONS).sum(axis=(1, 3))
    weights = np.outer([1, 2, 1], [1, 2, 1])[..., None] / 16
    windows = ndimage.correlate(cells, weights)[1:-1, 1:-1]
    energy = (windows**2).sum(axis=2)
    around = np.sqrt(9 * ndimage.uniform_filter(energy, 3, mode="nearest")) + 0.01
    gradients = 3 * np.sqrt(windows / around[..., None])
    colors = (values / 255).reshape(CELLS, size, CELLS, size, 3).mean(axis=(1, 3))
    return np.concatenate([gradients.ravel(), colors.ravel()])


@pytest.mark.parametrize("side", [8, 32, 64])
def test_features_are_what_the_formula_says(side: int) -> None:
    pixels = np.stack([picture(seed, side) for seed in range(5)])
    pixels[0] = 77  # flat
    pixels[1, :, : side // 2] = 0  # one edge
    found = np.empty((5, FEATURES), np.float32)
    describe(pixels, found)
    wanted = np.array([described(one) for one in pixels])
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert not found[0, : WINDOWS * WINDOWS * DIRECTIONS].any()


def test_directions_are_the_principal_ones_half_whitened() -> None:
    pixels = np.stack([picture(seed) for seed in range(60)])
    features = np.empty((60, FEATURES), np.float32)
    describe(pixels, features)
    embedder = ImageEmbedder(dimensions=5).fit(IMAGES)
    centered = features - features.mean(axis=0, dtype=float)
    _, values, directions = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(embedder.variances_, values[:5] ** 2 / 60, rtol=1e-4)
    signs = np.sign((embedder.directions_ * directions[:5].T).sum(axis=0))
    wanted = centered @ (directions[:5].T * signs) / embedder.variances_**0.25
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.encode(IMAGES), wanted, atol=1e-4)
    largest = np.abs(embedder.directions_).argmax(axis=0)
    assert (embedder.directions_[largest, range(5)] > 0).all()


def test_projection_of_one_row() -> None:
    out = np.zeros((1, 2), np.float32)
    features, mean = np.array([[2, 5]], np.float32), np.array([1, 1], np.float32)
    project_dense(features, mean, np.array([[3, 0], [0, 1]], np.float32), out)
    np.testing.assert_allclose(out, [[0.6, 0.8]], rtol=1e-6)


def test_batches_and_containers_do_not_change_a_bit() -> None:
    embedder = ImageEmbedder(dimensions=19).fit(IMAGES[:40])
    whole = embedder.encode(IMAGES)
    assert whole.dtype == np.float32
    assert whole.flags.c_contiguous
    parts = [embedder.encode(IMAGES[i : i + 7]) for i in range(0, 60, 7)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    for kind in (
        pl.Series(IMAGES),
        pa.array(IMAGES),
        pa.chunked_array([IMAGES[:3], IMAGES[3:]]),
        tuple(IMAGES),
    ):
        assert embedder.encode(kind).tobytes() == whole.tobytes()


def test_more_images_than_a_block() -> None:
    embedder = ImageEmbedder(dimensions=3).fit(IMAGES)
    many = [*IMAGES * 9, b"broken", *IMAGES]
    vectors = embedder.encode(many)
    assert (
        vectors[540:].tobytes()
        == np.concatenate([np.zeros((1, 3)), vectors[:60]]).astype(np.float32).tobytes()
    )
    assert embedder.undecodable_.tolist() == [540]


def test_the_order_of_rows_does_not_change_a_bit() -> None:
    wanted = ImageEmbedder(dimensions=5, fit_rows=30).fit(IMAGES, ids=IDS)
    order = RANDOM.permutation(60)
    shuffled = ImageEmbedder(dimensions=5, fit_rows=30).fit(
        [IMAGES[i] for i in order], ids=[IDS[i] for i in order]
    )
    assert shuffled.fingerprint == wanted.fingerprint


def test_threads_do_not_change_a_bit() -> None:
    code = (
        "import io, numpy as np; from PIL import Image\n"
        "from assay.index.embedding.image import ImageEmbedder\n"
        "def png(s):\n"
        "    f = io.BytesIO(); r = np.random.default_rng(s)\n"
        "    Image.fromarray(r.integers(0, 255, (16, 16, 3), np.uint8)).save(f, 'png')\n"
        "    return f.getvalue()\n"
        "print(ImageEmbedder(dimensions=40).fit([png(s) for s in range(200)]).fingerprint)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(found) == 1


def test_what_can_not_be_decoded_is_named_and_zero() -> None:
    broken = [
        b"",
        None,
        b"no image",
        IMAGES[0][:60],
        IMAGES[0][:-200],
        encoded(picture(1), "jpeg")[:200],
    ]
    mixed = [IMAGES[0], *broken, IMAGES[1]]
    embedder = ImageEmbedder(dimensions=4).fit(mixed * 3)
    vectors = embedder.encode(mixed)
    assert embedder.undecodable_.tolist() == [1, 2, 3, 4, 5, 6]
    assert not vectors[1:-1].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[[0, -1]], axis=1), 1, rtol=1e-5)
    assert ImageEmbedder(dimensions=4).fit(IMAGES[:2] * 3).encode(mixed).any(axis=1).sum() == 2
    embedder.encode(IMAGES)
    assert embedder.undecodable_.tolist() == []
    with pytest.raises(InputError, match="None of the 2 images"):
        ImageEmbedder().fit([b"x", None])


def test_a_picture_is_the_same_in_any_format() -> None:
    pixels = np.repeat(np.repeat(picture(3, 8), 4, axis=0), 4, axis=1)
    embedder = ImageEmbedder(dimensions=8).fit(IMAGES)
    wanted = embedder.encode([encoded(pixels)])
    opaque = np.concatenate([pixels, np.full((32, 32, 1), 255, np.uint8)], axis=2)
    for same in (encoded(pixels, "bmp"), encoded(pixels, "tiff"), encoded(opaque)):
        np.testing.assert_array_equal(embedder.encode([same]), wanted)
    for like in (encoded(pixels, "jpeg", quality=98), encoded(pixels, "webp", quality=98)):
        assert float(embedder.encode([like])[0] @ wanted[0]) > 0.95
    larger = encoded(np.repeat(np.repeat(pixels, 8, axis=0), 8, axis=1), "jpeg", quality=95)
    assert float(embedder.encode([larger])[0] @ wanted[0]) > 0.95


def test_gray_deep_and_transparent_pictures() -> None:
    embedder = ImageEmbedder(dimensions=8).fit(IMAGES)
    gray = picture(4)[..., 0]
    low, high = int(gray.min()), int(gray.max())
    full = ((gray.astype(float) - low) * (255 / (high - low))).astype(np.uint8)
    wanted = embedder.encode([encoded(full)])
    deep = [encoded(full.astype(np.uint16) * 257), encoded(full.astype(np.float32) * 7 - 3, "tiff")]
    np.testing.assert_allclose(embedder.encode(deep), np.repeat(wanted, 2, axis=0), atol=0.02)
    assert embedder.undecodable_.tolist() == []
    nan = np.full((32, 32), np.nan, np.float32)
    embedder.encode([encoded(nan, "tiff")])
    assert embedder.undecodable_.tolist() == [0]
    hidden = np.concatenate([picture(5), np.zeros((32, 32, 1), np.uint8)], axis=2)
    white = np.full((32, 32, 3), 255, np.uint8)
    found = embedder.encode([encoded(hidden), encoded(white)])
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_pictures_are_turned_upright() -> None:
    embedder = ImageEmbedder(dimensions=8).fit(IMAGES)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    pixels = picture(6)
    lying = encoded(np.rot90(pixels).copy(), exif=exif)
    np.testing.assert_array_equal(embedder.encode([lying]), embedder.encode([encoded(pixels)]))
    broken = encoded(pixels, "jpeg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", quality=95)
    embedder.encode([broken])
    assert embedder.undecodable_.tolist() == []


def test_equal_images_only() -> None:
    embedder = ImageEmbedder(dimensions=3).fit(IMAGES[:1] * 4)
    assert not embedder.variances_.any()
    assert np.isfinite(embedder.encode(IMAGES[:2])).all()
    few = ImageEmbedder(dimensions=9).fit(IMAGES[:4])
    assert np.count_nonzero(few.variances_) == 3
    assert not few.encode(IMAGES)[:, 3:].any()
    assert ImageEmbedder(dimensions=500).fit(IMAGES).encode(IMAGES[:2]).shape == (2, 500)


def test_save_and_load(tmp_path: Path) -> None:
    embedder = ImageEmbedder(dimensions=7, side=16, random_state=3).fit(IMAGES)
    embedder.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    loaded = ImageEmbedder.load(tmp_path)
    assert loaded.fingerprint == embedder.fingerprint
    assert loaded.encode(IMAGES).tobytes() == embedder.encode(IMAGES).tobytes()
    description = json.loads((tmp_path / "embedder.json").read_text())
    description["revision"] += 1
    (tmp_path / "embedder.json").write_text(json.dumps(description))
    with pytest.raises(StoreError, match="revision"):
        ImageEmbedder.load(tmp_path)
    (tmp_path / "mean.npy").unlink()
    with pytest.raises(StoreError, match="no embedder"):
        ImageEmbedder.load(tmp_path)


def test_the_fingerprint_changes_with_what_it_stands_for() -> None:
    def fitted(images: list[bytes] = IMAGES, **changed: Any) -> str:
        parameters = {"dimensions": 4, "fit_rows": 50, **changed}
        return ImageEmbedder(**parameters).fit(images).fingerprint

    found = [
        fitted(),
        fitted([IMAGES[1], *IMAGES[1:]], fit_rows=60),
        fitted(fit_rows=60),
        fitted(dimensions=5),
        fitted(side=16),
        fitted(random_state=1),
    ]
    assert len(set(found)) == len(found)
    assert fitted() == found[0]
    assert len(found[0]) == 32


def test_what_is_wrong_is_refused() -> None:
    for wrong in ({"dimensions": 0}, {"side": 30}, {"side": 512}, {"random_state": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            ImageEmbedder(**wrong)
    with pytest.raises(MissingInputError, match="fit"):
        ImageEmbedder().encode(IMAGES)
    with pytest.raises(InputError, match="2 ids for 1"):
        ImageEmbedder().fit(IMAGES[:1], ids=["a", "b"])
    for wrong_images in (["text"], b"one", [1], pl.Series(["a"])):
        with pytest.raises(InputError, match="bytes"):
            ImageEmbedder().fit(wrong_images)


def test_without_pillow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.storage.errors import DependencyError

    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DependencyError, match=r"assay-curation\[images\]"):
        ImageEmbedder().fit(IMAGES[:1])


def test_the_protocol_and_embed() -> None:
    embedder = ImageEmbedder(dimensions=6, random_state=2).fit(IMAGES, ids=IDS)
    assert isinstance(embedder, Embedder)
    wanted = embedder.encode(IMAGES).tobytes()
    for images in (IMAGES, pl.Series(IMAGES), pa.array(IMAGES)):
        assert embed(images, ids=IDS, dimensions=6, random_state=2).tobytes() == wanted


def test_neighbors_are_of_the_same_class() -> None:
    """Of 8,000 images .37 for raw pixels on 128 principal directions, .57 for this."""
    pool = pl.read_parquet(shared("cifar10_jpeg.parquet")).sample(8_000, seed=0, shuffle=True)
    ids = pl.select(pl.format("{}-{}", pool["split"], pool["idx"])).to_series()
    vectors = ImageEmbedder(fit_rows=4_000).fit(pool["jpeg"], ids=ids).encode(pool["jpeg"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    label = pool["label"].to_numpy()
    similarity = vectors[:1_500] @ vectors[1_500:].T
    near = label[1_500:][np.argpartition(-similarity, 10, axis=1)[:, :10]]
    votes = np.stack([(near == c).sum(axis=1) for c in range(10)], axis=1)
    assert (votes.argmax(axis=1) == label[:1_500]).mean() > 0.53
