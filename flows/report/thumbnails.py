"""Thumbnails embedded in the page itself."""

from __future__ import annotations

import base64
import io
import math
from typing import Any, NamedTuple

SIDE = 96
# pixels of all pictures of the map together
_SPRITE_PIXELS = 6_000_000


class Sprite(NamedTuple):
    """Many pictures in one: picture i is in column i % columns of row i // columns."""

    url: str
    side: int
    columns: int


def thumbnail(content: Any) -> str:
    """Return a picture as a data URL of at most `SIDE` pixels a side, "" if it can't be decoded."""
    small = _small(content, SIDE)
    return "" if small is None else _data_url(small)


def sprite(contents: list[Any]) -> Sprite:
    """Return pictures as one data URL; what can't be decoded stays blank."""
    from PIL import Image

    side = max(8, min(32, math.isqrt(_SPRITE_PIXELS // max(1, len(contents)))))
    columns = max(1, math.ceil(math.sqrt(len(contents))))
    sheet = Image.new("RGB", (columns * side, math.ceil(len(contents) / columns) * side), "white")
    for i, content in enumerate(contents):
        small = _small(content, side)
        if small is not None:
            corner = (side - small.width) // 2, (side - small.height) // 2
            place = i % columns * side + corner[0], i // columns * side + corner[1]
            sheet.paste(small, place)
    return Sprite(_data_url(sheet, quality=60), side, columns)


def _small(content: Any, side: int) -> Any:
    from PIL import Image, UnidentifiedImageError

    if not content:
        return None
    try:
        with Image.open(io.BytesIO(content)) as picture:
            small = picture.convert("RGB")
            small.thumbnail((side, side))
            return small
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return None


def _data_url(picture: Any, quality: int = 80) -> str:
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode()
