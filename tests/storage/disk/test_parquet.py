"""Files written a part at a time against those written in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.storage.disk.parquet import write_frame, write_parts


@pytest.mark.parametrize(
    "rows", [0, 1, 1_000, 150_000, 184_319, 184_321, 307_200, 307_201, 400_000, 999_997]
)
def test_parts_make_the_same_file(tmp_path: Path, rows: int) -> None:
    numbers = np.arange(rows, dtype=np.int32)
    frame = pl.DataFrame({"key": numbers, "text": pl.Series(numbers * 7 % 1_001).cast(pl.String)})
    write_frame(tmp_path / "whole", frame)
    seen: list[int] = []

    def part(begin: int, end: int) -> pl.DataFrame:
        seen.append(end - begin)
        return frame.slice(begin, end - begin)

    write_parts(tmp_path / "parts", rows, part)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sum(seen) == rows
    assert max(seen) < 190_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]
