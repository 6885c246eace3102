"""Tables for feature ranking are read whole, with numbers as numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from assay.storage.errors import ColumnError, InputError, SourceError
from assay.storage.reading.formats import open_sources
from assay.storage.reading.tables import (
    Table,
    read_table,
    table_columns,
    table_fingerprint,
    table_name,
)

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


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "arrow"])
def test_a_table_is_read_by_columns_and_by_rows(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame({"a": range(500), "b": [i / 4 for i in range(500)], "c": ["x"] * 500})
    for i, part in enumerate((frame.head(300), frame.tail(200))):
        write = {
            "parquet": part.write_parquet,
            "csv": part.write_csv,
            "jsonl": part.write_ndjson,
            "arrow": part.write_ipc,
        }[suffix]
        write(tmp_path / f"{i}.{suffix}")
    table = Table(tmp_path)
    assert (table.columns, table.n_rows) == (["a", "b", "c"], 500)
    assert table.read(["b", "a"]).equals(frame.select("b", "a"))
    assert table.numeric() == ([] if suffix == "csv" else ["a", "b"])
    rows = pl.concat(list(table.batches(["b"])))
    assert rows["b"].cast(pl.Float64).to_list() == frame["b"].to_list()


def test_opening_a_wide_table_costs_what_its_file_costs(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    pl.DataFrame({f"column{j}": [j] for j in range(4_000)}).write_parquet(path)
    assert len(Table(path).columns) == 4_000

    def seconds(opened: Callable[[Path], object]) -> float:
        began = time.process_time()
        opened(path)
        return time.process_time() - began

    # the least of several, which others on the machine do not add to
    tables, sources = (min(seconds(opened) for _ in range(5)) for opened in (Table, open_sources))
    assert tables < 2 * sources + 0.1


def test_a_column_is_numeric_where_it_is_in_every_file(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "0.parquet")
    FRAME.cast({"a": pl.Float32, "b": pl.String}).write_parquet(tmp_path / "1.parquet")
    assert Table(tmp_path).numeric() == ["a"]
