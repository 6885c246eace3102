"""Parquet files of many rows: written in one piece or a part at a time, the same to the byte."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from assay.storage.disk.atomic import remove

# rows of a group that Polars comes as near to as equal groups can
_GROUP = 122_880
# of Zstandard: higher levels take longer, and hardly make ids, hashes and decisions smaller
_LEVEL = 1


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame of many rows."""
    frame.write_parquet(path, compression_level=_LEVEL)


def write_parts(path: Path, rows: int, part: Callable[[int, int], pl.DataFrame]) -> None:
    """Write a frame that is made a part at a time, as `write_frame` writes it in one piece.

    Parameters
    ----------
    path : Path
    rows : int
        Of the frame.
    part : callable
        Returns the rows from one number to another.

    Notes
    -----
    A part is in memory at a time; they lie in files beside `path` until it is written.
    """
    beside = path.with_name(f"{path.name}.parts")
    beside.mkdir()
    files = []
    for begin, end in pairwise(group_bounds(rows)):
        files.append(beside / f"{begin}.arrow")
        part(begin, end).write_ipc(files[-1])
    pl.concat([pl.scan_ipc(file) for file in files]).sink_parquet(path, compression_level=_LEVEL)
    remove(beside)


def group_bounds(rows: int) -> list[int]:
    """Return where the groups begin that Polars writes a frame in, and the end of the last.

    Examples
    --------
    >>> group_bounds(150_000), group_bounds(307_201)
    ([0, 150000], [0, 102401, 204801, 307201])
    """
    few = max(1, rows // _GROUP)
    largest, smaller = -(-rows // few), -(-rows // (few + 1))
    count = few if largest - _GROUP <= _GROUP - smaller else few + 1
    sizes = np.full(count, rows // count)
    sizes[: rows % count] += 1
    return [0, *np.cumsum(sizes).tolist()]
