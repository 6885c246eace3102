"""What a picture looks like: a hash of its coarse structure that re-encoding and rescaling keep."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.embedding.models import optional_module
from assay.index.threads import ordered_map

# bits of a hash: one for each of the lowest 16 x 16 frequencies
BITS = 256
_SIDE = 32
_FREQUENCIES = 16
# means of red, green and blue in each quarter
COLORS = 12
# JPEG files are decoded at a fraction of their size that is at least this wide
_DRAFT = 256
# frequencies weaker than this are rounding errors
_ROUNDING = 1e-2
# a transparent picture whose gray levels over white differ less than this is seen over black
_FLAT = 4.0


class Likenesses(NamedTuple):
    """One row per picture.

    Attributes
    ----------
    hashes : uint64[n, 4]
        256 bits.
    colors : uint8[n, 12]
        Mean red, green and blue of each quarter.
    decoded : bool[n]
        Where there is a picture; the others have zeros.
    """

    hashes: NDArray[np.uint64]
    colors: NDArray[np.uint8]
    decoded: NDArray[np.bool_]


def likenesses(images: Iterator[Any], threads: int = 1) -> Likenesses:
    """Hash what each picture looks like.

    The picture, turned upright as its EXIF data says, becomes 32 x 32 gray levels. Of their
    discrete cosine transform the lowest 16 x 16 frequencies count: a bit is set where the
    coefficient is above the median of the picture's. Of an animation the first frame counts. A
    transparent picture is seen over white, or over black where nothing of it can be seen over white.

    Parameters
    ----------
    images : iterator of bytes or None
    threads : int, default 1
        They change nothing but the time.

    References
    ----------
    Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.

    Examples
    --------
    >>> from PIL import Image
    >>> levels = Image.frombytes("L", (8, 8), bytes(i * 37 % 256 for i in range(64)))
    >>> def written(size, kind):
    ...     file = io.BytesIO()
    ...     levels.resize((size, size), Image.Resampling.BICUBIC).save(file, kind)
    ...     return file.getvalue()
    >>> found = likenesses(iter([written(200, "png"), written(90, "jpeg"), b"no image"]))
    >>> int(np.bitwise_count(found.hashes[0] ^ found.hashes[1]).sum()) < 52, found.decoded[2]
    (True, np.False_)
    """
    rows = list(ordered_map(_likeness, images, threads))
    hashes = np.zeros((len(rows), BITS // 64), dtype=np.uint64)
    colors = np.zeros((len(rows), COLORS), dtype=np.uint8)
    for row, likeness in enumerate(rows):
        if likeness is not None:
            hashes[row], colors[row] = likeness
    return Likenesses(hashes, colors, np.array([row is not None for row in rows], dtype=bool))


def _likeness(data: bytes | None) -> tuple[NDArray[np.uint64], NDArray[np.uint8]] | None:
    if not data:
        return None
    pillow = optional_module("PIL.Image", "images")
    box = pillow.Resampling.BOX
    try:
        with pillow.open(io.BytesIO(data)) as image:
            image.draft("RGB", (_DRAFT, _DRAFT))
            picture = _upright(image)
        gray = _resized(picture.convert("L").convert("F"))
        colors = np.asarray(picture.resize((2, 2), box), dtype=np.uint8).ravel()
    except MemoryError:
        raise
    except Exception:  # decoders of broken files raise nearly anything
        return None
    return _bits(np.asarray(gray, dtype=np.float64)), colors


def _upright(image: Any) -> Any:
    """Return the picture in red, green and blue, as it is meant to be seen."""
    pillow = optional_module("PIL.Image", "images")
    with suppress(Exception):  # EXIF data may be broken where the picture is not
        image = optional_module("PIL.ImageOps", "images").exif_transpose(image)
    if image.mode[0] in "IF":
        return pillow.fromarray(_eight_bits(np.asarray(image), image.mode)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    seen = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image).convert("RGB")
    low, high = seen.convert("L").getextrema()
    if high - low < _FLAT:
        black = pillow.new("RGBA", image.size, "black")
        seen = pillow.alpha_composite(black, image).convert("RGB")
    return seen


def _eight_bits(values: NDArray[Any], mode: str) -> NDArray[np.uint8]:
    """Return levels of 16 bits, or floats of 0 to 1 or 0 to 255, as levels of 8 bits."""
    levels = values.astype(np.float64)
    if not np.isfinite(levels).all():
        raise ValueError("pixels that are no numbers")
    if mode[0] == "I":
        levels = levels / 257
    elif levels.min() >= 0 and levels.max() <= 1:
        levels = levels * 255
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _resized(gray: Any) -> Any:
    """Return a picture of floats as 32 x 32: means of areas, between pixels where it is smaller."""
    sampling = optional_module("PIL.Image", "images").Resampling
    how = sampling.BOX if min(gray.size) >= _SIDE else sampling.BILINEAR
    return gray.resize((_SIDE, _SIDE), how)


def _bits(gray: NDArray[np.float64]) -> NDArray[np.uint64]:
    places = np.arange(_SIDE) + 0.5
    waves = np.cos(np.pi * np.outer(np.arange(_FREQUENCIES), places) / _SIDE)
    coefficients = (waves @ gray @ waves.T).ravel()
    coefficients[np.abs(coefficients) < _ROUNDING] = 0.0
    packed = np.packbits(coefficients > np.median(coefficients), bitorder="little")
    return packed.view("<u8").astype(np.uint64)
