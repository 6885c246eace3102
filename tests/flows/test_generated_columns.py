"""Columns of any value from JSON lines and CSV: kept, queried and exported, or refused by name."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assay.flows.export.frames import frame_bytes
from assay.flows.export.write import export
from assay.flows.running.runner import curate
from assay.storage.errors import ConfigError, InputError

N = 5
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=6)
BIG = st.integers(-(2**63), 2**64 - 1) | st.integers(-(10**37), 10**37)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = [st.booleans(), st.integers(-9, 9), BIG, st.integers(), FLOATS, TEXTS]
JSON = st.recursive(
    st.one_of(st.none(), *SCALARS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abA"), inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
# a column has one kind of values, or any of several; a row may lack it
KINDS = [
    *SCALARS,
    st.none(),
    st.lists(st.integers(-9, 9), max_size=2),
    st.fixed_dictionaries({"a": st.integers(), "b": TEXTS}),
    st.integers(-9, 9) | TEXTS,
    st.integers(-9, 9) | FLOATS,
    JSON,
]
ABSENT = object()
COLUMN = st.sampled_from(KINDS).flatmap(
    lambda kind: st.lists(kind | st.none() | st.just(ABSENT), min_size=N, max_size=N)
)
CELLS = [
    st.integers(-99, 99).map(str),
    st.integers().map(str),
    st.integers(0, 99).map("{:04}".format),
    FLOATS.map(repr),
    st.sampled_from(["1.50", "2.5", "-0", "+1", "1e3", "1E5", " 7", "0x1F", "1_000"]),
    st.sampled_from(["true", "false", "True", "NULL", "NaN", "inf", "-"]),
    st.dates().map(str),
    st.datetimes().map(str),
    TEXTS.filter(lambda text: text != '""'),
    st.sampled_from(["a,b", 'say "so"', "two\nlines", "=1+1", "[1, 2]", '{"a": 1}']),
]
CELL_COLUMN = st.sampled_from(CELLS).flatmap(
    lambda kind: st.lists(kind | st.just(""), min_size=N, max_size=N)
)
FEW = settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def curated(folder: Path, pool: Path, keep: list[str]) -> Any:
    """Return a run of all rows, or None where a column was refused by its name before any work."""
    said = ""
    try:
        return curate(
            pool=str(pool), id="id", text="text", keep=keep, scores=(), select="random", budget=1.0,
            store=str(folder / "s"),
        )  # fmt: skip
    except (InputError, ConfigError) as error:
        said = str(error)
    assert any(f"'{name}'" in said for name in keep), said
    assert "\n" not in said
    assert not list((folder / "s" / "runs").glob("*"))
    return None


def exported(folder: Path, result: Any) -> dict[str, pl.DataFrame | list[dict[str, Any]]]:
    """Return the rows of a run in every format in the order of the pool, checked to be well formed."""
    found: dict[str, Any] = {}
    for format in ("parquet", "arrow", "jsonl", "csv"):
        out = folder / f"out.{format}"
        assert export(result.store, out, run=result.run_id, raw=True) == N
        if format == "parquet":
            found[format] = pl.read_parquet(out).sort("id")
        elif format == "arrow":
            with pa.ipc.open_file(out) as file:
                table = file.read_all()
            table.validate(full=True)
            found[format] = pl.DataFrame(pl.from_arrow(table)).sort("id")
        elif format == "jsonl":
            lines = out.read_text().splitlines()
            rows = [json.loads(line, parse_constant=refuse) for line in lines]
            found[format] = sorted(rows, key=lambda row: row["id"])
        else:
            rows = list(csv.DictReader(io.StringIO(out.read_bytes().decode(), newline="")))
            found[format] = sorted(rows, key=lambda row: row["id"])
    assert export(result.store, folder / "hf", run=result.run_id, format="hf") == N
    (part,) = (folder / "hf" / "train").glob("*.arrow")
    rows = pl.DataFrame(pl.from_arrow(pa.ipc.open_stream(part.read_bytes()).read_all())).sort("id")
    assert rows.to_dicts() == found["parquet"].to_dicts()
    return found


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(kept: Any, given: Any) -> bool:
    """Return whether a kept value is the one given, or its text where the column became text."""
    if isinstance(kept, str) and not isinstance(given, str):
        return kept == json.dumps(given) or json.loads(kept) == given
    if number(given) and not isinstance(kept, bool):
        return kept == given or math.isclose(float(kept), float(given), rel_tol=1e-15)
    return type(kept) is type(given) and kept == given


def test_an_object_without_fields_is_its_text_in_every_format(tmp_path: Path) -> None:
    rows = [{"id": f"r{row}", "text": f"some text {row}"} for row in range(N)]
    pool = tmp_path / "p.jsonl"
    pool.write_text("".join(json.dumps(row | {"k": {}}) + "\n" for row in rows))
    out = exported(tmp_path, curated(tmp_path, pool, ["k"]))
    assert out["parquet"]["k"].to_list() == ["{}"] * N


@FEW
@given(columns=st.lists(COLUMN, min_size=3, max_size=3))
def test_columns_of_json_lines(
    tmp_path_factory: pytest.TempPathFactory, columns: list[list[Any]]
) -> None:
    folder = tmp_path_factory.mktemp("json")
    names = [f"k{i}" for i in range(len(columns))]
    rows = []
    for row in range(N):
        values = {name: column[row] for name, column in zip(names, columns, strict=True)}
        present = {name: value for name, value in values.items() if value is not ABSENT}
        rows.append({"id": f"r{row}", "text": f"some text {row}", **present})
    pool = folder / "p.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    present = [name for name in names if any(name in row for row in rows)]
    result = curated(folder, pool, present)
    if result is None:
        return
    kept = result.sql("SELECT * FROM latest_samples ORDER BY row")
    json.loads(frame_bytes(kept, "json"), parse_constant=refuse)
    out = exported(folder, result)
    for name in present:
        for row, value in zip(rows, kept[name].to_list(), strict=True):
            was = row.get(name)
            assert (value is None) == (was is None), (name, value, was)
            if isinstance(was, str | int | float):
                assert same(value, was), (name, value, was)
        assert out["parquet"][name].equals(out["arrow"][name], null_equal=True)
        assert kept[name].null_count() == out["parquet"][name].null_count()
        for row, line, cells in zip(rows, out["jsonl"], out["csv"], strict=True):
            was = row.get(name)
            if isinstance(was, str | int | float):
                assert same(line[name], was)
            if isinstance(was, str):
                assert cells[name] == was


@FEW
@given(columns=st.lists(CELL_COLUMN, min_size=4, max_size=4))
def test_columns_of_csv(tmp_path_factory: pytest.TempPathFactory, columns: list[list[str]]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    names = [f"k{i}" for i in range(len(columns))]
    pool = folder / "p.csv"
    with pool.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", *names])
        for row in range(N):
            writer.writerow([f"r{row}", f"some text {row}", *(column[row] for column in columns)])
    result = curated(folder, pool, names)
    assert result is not None
    kept = result.sql("SELECT * FROM latest_samples ORDER BY row")
    out = exported(folder, result)
    json.loads(frame_bytes(kept, "json"), parse_constant=refuse)
    for name, column in zip(names, columns, strict=True):
        # whatever type a column got, it writes back to what was there
        assert [cells[name] for cells in out["csv"]] == column
        assert out["parquet"][name].equals(out["arrow"][name], null_equal=True)
        for line, value, cell in zip(out["jsonl"], kept[name].to_list(), column, strict=True):
            for read in (line[name], value):
                if read is None:
                    assert cell == ""
                elif isinstance(read, int | str) and not isinstance(read, bool):
                    assert str(read) == cell
                elif isinstance(read, float):
                    assert float(cell) == read
