"""Tables for feature ranking are read whole, with numbers as numbers."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assay.storage.errors import ColumnError, InputError, SourceError
from assay.storage.tables import read_table, table_columns, table_fingerprint, table_name

FRAME = pl.DataFrame({"a": [1, 2, None], "b": [0.5, 1.0, 2.0], "c": ["x", "y", "z"]})


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "arrow"])
def test_every_format_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t.{suffix}"
    write = {
        "parquet": FRAME.write_parquet,
        "csv": FRAME.write_csv,
        "jsonl": FRAME.write_ndjson,
        "arrow": FRAME.write_ipc,
    }[suffix]
    write(path)
    table = read_table(path)
    assert table.equals(FRAME)
    assert table.dtypes == FRAME.dtypes
    assert (table_name(path), table_columns(path)) == ("t", ["a", "b", "c"])


def test_a_folder_is_one_table(tmp_path: Path) -> None:
    for name in ("one", "two"):
        FRAME.write_parquet(tmp_path / f"{name}.parquet")
    assert read_table(tmp_path).height == 6
    before = table_fingerprint(tmp_path)
    FRAME.head(2).write_parquet(tmp_path / "two.parquet")
    assert table_fingerprint(tmp_path) != before
    FRAME.drop("c").write_parquet(tmp_path / "two.parquet")
    with pytest.raises(ColumnError, match=r"two\.parquet"):
        read_table(tmp_path)


def test_what_is_no_table(tmp_path: Path) -> None:
    FRAME.clear().write_parquet(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="no rows"):
        read_table(tmp_path / "none.parquet")
    with pytest.raises(SourceError):
        read_table(tmp_path / "nowhere.parquet")
