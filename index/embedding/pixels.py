"""What a picture shows, to the pixel: a hash that equal pictures share, whatever their files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import polars as pl
import pyarrow as pa

from assay.index.embedding.models import optional_module
from assay.index.threads import ordered_map

# palettes say the same in many ways
_SPELLED_OUT = {"P": "RGBA", "PA": "RGBA"}


def pixel_digests(images: Iterator[Any], threads: int = 1) -> pl.Series:
    """Hash the decoded pixels of every image: 32 hexadecimal digits, null where there is none.

    Size, mode (8 or 16 bits, gray or color, with or without alpha), every frame and the orientation
    that EXIF names count; compression, metadata and the order of a palette don't.

    Parameters
    ----------
    images : iterator of columns of bytes
    threads : int, default 1
        They change nothing but the time.

    Notes
    -----
    Decodes every image at its full size; memory is that of one decoded image per thread.

    Examples
    --------
    >>> from PIL import Image
    >>> def written(kind, **options):
    ...     file = io.BytesIO()
    ...     Image.new("RGB", (8, 6), "red").save(file, kind, **options)
    ...     return file.getvalue()
    >>> found = pixel_digests(iter([[written("png"), written("bmp"), b"no image", None]]))
    >>> found[0] == found[1], found[2:].to_list()
    (True, [None, None])
    """
    files = (
        image.as_py() if isinstance(image, pa.Scalar) else image
        for column in images
        for image in column
    )
    return pl.Series("pixels", list(ordered_map(_digest, files, threads)), dtype=pl.String)


def _digest(data: bytes | None) -> str | None:
    if not data:
        return None
    pillow = optional_module("PIL.Image", "images")
    digest = hashlib.blake2b(digest_size=16)
    try:
        with pillow.open(io.BytesIO(data)) as image:
            count = int(getattr(image, "n_frames", 1))
            digest.update(f"{count}".encode())
            for frame in range(count):
                image.seek(frame)
                _add(image, digest)
    except MemoryError:
        raise
    except Exception:  # decoders of broken files raise nearly anything
        return None
    return digest.hexdigest()


def _add(image: Any, digest: Any) -> None:
    image.load()
    upright = image
    with suppress(Exception):  # EXIF data may be broken where the picture is not
        upright = optional_module("PIL.ImageOps", "images").exif_transpose(image)
    if upright.mode in _SPELLED_OUT or (upright.mode != "RGBA" and "transparency" in upright.info):
        upright = upright.convert("RGBA")
    digest.update(f"/{upright.mode}/{upright.width}x{upright.height}/".encode())
    digest.update(upright.tobytes())
