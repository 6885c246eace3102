"""Small pictures that stand in the page itself."""

from __future__ import annotations

import base64
import io
from typing import Any

SIDE = 96


def thumbnail(content: Any) -> str:
    """Return a picture as a data URL of at most `SIDE` pixels a side, "" if it can't be decoded."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        return ""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            small = picture.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            target = io.BytesIO()
            small.save(target, "JPEG", quality=80)
    except (UnidentifiedImageError, OSError, ValueError):
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(target.getvalue()).decode()
