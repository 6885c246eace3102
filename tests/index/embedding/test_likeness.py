"""Hashes of what pictures look like: the same for a picture written anew, far apart for others."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from scipy.fft import dctn

Image = pytest.importorskip("PIL.Image")
from PIL import ImageDraw  # noqa: E402

from assay.index.embedding.likeness import likenesses  # noqa: E402


def written(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(seed: int, size: tuple[int, int] = (200, 160)) -> Any:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def apart(*files: bytes) -> np.ndarray:
    found = likenesses(iter(files))
    assert found.decoded.all()
    return np.bitwise_count(found.hashes[:, None] ^ found.hashes[None]).sum(axis=2)


def test_the_bits_are_those_of_the_cosine_transform() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    (found,) = likenesses(iter([written(Image.fromarray(pixels))])).hashes
    low = dctn(pixels.astype(float), type=2)[:16, :16].ravel()
    bits = np.unpackbits(found.astype("<u8").view(np.uint8), bitorder="little")
    np.testing.assert_array_equal(bits, low > np.median(low))


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_written_anew_is_near(seed: int) -> None:
    image = picture(seed)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    upright = Image.Exif()
    upright[0x0112] = 6  # turn it by 270 degrees to see it
    brighter = image.point(lambda v: min(255, int(v * 1.1) + 5))
    files = [
        written(image),
        written(image, "JPEG", quality=50),
        written(image.resize((640, 512), Image.Resampling.BICUBIC), "WEBP"),
        written(image.resize((48, 40), Image.Resampling.LANCZOS)),
        written(turned, "JPEG", exif=upright, quality=90),
        written(brighter, "BMP"),
        written(image.convert("RGBA"), "PNG"),
        written(image.quantize(128), "PNG"),
    ]
    assert apart(*files).max() <= 51
    assert apart(written(image), written(picture(seed + 100))).max() > 80


def test_white_on_transparent_and_deep_gray_levels_are_told_apart() -> None:
    logos = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        image = Image.new("RGBA", (128, 128), (255, 255, 255, 0))
        for _ in range(4):
            corners = [tuple(map(int, rng.integers(10, 118, 2))) for _ in range(3)]
            ImageDraw.Draw(image).polygon(corners, fill="white")
        logos.append(written(image))
    assert apart(*logos)[~np.eye(4, dtype=bool)].min() > 51
    levels = [np.full((64, 64), value, dtype=np.uint16) for value in (100, 60_000)]
    found = likenesses(iter([written(Image.fromarray(level)) for level in levels]))
    assert np.abs(np.diff(found.colors.astype(int), axis=0)).min() > 200


def test_what_is_no_image_has_no_likeness() -> None:
    cut = written(picture(0))[:200]
    found = likenesses(iter([b"text", None, b"", cut, written(picture(1))]), threads=2)
    assert found.decoded.tolist() == [False, False, False, False, True]
    assert not found.hashes[:4].any()
