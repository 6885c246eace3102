"""Pictures are equal to the pixel, or they are not: size, mode, alpha, frames, orientation."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from assay.index.embedding.pixels import pixel_digests  # noqa: E402


def written(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def digests(*files: bytes | None, threads: int = 1) -> list[str | None]:
    return pixel_digests(iter([list(files)]), threads).to_list()


def noise(seed: int, shape: tuple[int, ...] = (40, 30, 3)) -> Any:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def frames(*colors: str) -> bytes:
    first, *rest = [Image.new("RGB", (16, 16), color) for color in colors]
    return written(first, "GIF", save_all=True, append_images=rest)


def test_equal_pixels_share_a_hash_whatever_the_file() -> None:
    picture = noise(0)
    found = digests(written(picture), written(picture, compress_level=1), written(picture, "BMP"))
    assert len(set(found)) == 1


def test_whatever_differs_tells_pictures_apart() -> None:
    picture, changed = noise(0), noise(0)
    changed.putpixel((3, 3), (0, 0, 0))
    ramp = np.add.outer(np.arange(40), np.arange(30))
    clear = Image.new("RGBA", (40, 30), (255, 255, 255, 0))
    solid = Image.new("RGBA", (40, 30), (255, 255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [
        written(picture),
        written(changed),
        written(picture.resize((31, 40))),
        written(picture.convert("L")),
        written(clear),
        written(solid),
        written(solid.convert("RGB")),
        written(Image.fromarray((1000 + ramp).astype(np.uint16))),
        written(Image.fromarray((40_000 + 100 * ramp).astype(np.uint16))),
        written(picture, exif=exif),
        frames("red", "blue"),
        frames("red", "green"),
        written(Image.new("RGB", (16, 16), "red")),
        written(Image.new("RGB", (1, 1), "red")),
    ]
    found = digests(*files)
    assert None not in found
    assert len(set(found)) == len(files)
    assert digests(*files, threads=3) == found


def test_orientation_is_applied() -> None:
    picture = noise(1)
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = picture.transpose(Image.Transpose.ROTATE_180)
    one, two = digests(written(turned, exif=exif), written(picture))
    assert one == two


def test_what_is_no_image_has_no_hash() -> None:
    assert digests(None, b"", b"no image", written(noise(2))[:60]) == [None] * 4
