"""Pools that are put back and run files that are exchanged, as the commands see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import cli

POOL = pl.DataFrame({"id": range(80), "text": [f"on {i % 11} things and {i}" for i in range(80)]})


class Service:
    """A store that is given another pool under the same name every night."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"

    def run(self, *arguments: object, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
        assert done.exit_code == code, done.output
        return done.output

    def night(self, lacking: int) -> str:
        POOL.filter(pl.col("id") != lacking).write_parquet(self.folder / "pool.parquet")
        return self.run(
            "curate", "--pool", self.folder / "pool.parquet", "--id", "id", "--text", "text",
            "--budget", 12, "--select", "random", "--option", "embedding.dimensions=8",
            "--store", self.store,
        )  # fmt: skip

    def exported(self) -> list[int]:
        out = self.folder / "out.parquet"
        self.run("export", "--store", self.store, "--out", out, "--overwrite")
        return pl.read_parquet(out)["id"].to_list()

    def published(self) -> list[int]:
        path = self.store / "published" / "latest.duckdb"
        with duckdb.connect(str(path), read_only=True) as con:
            rows = con.sql("SELECT sample_id FROM latest_selection ORDER BY position").fetchall()
        return [int(row[0]) for row in rows]

    def current(self) -> str:
        query = "SELECT DISTINCT run_id AS run FROM latest_decisions"
        rows: list[dict[str, Any]] = json.loads(
            self.run("sql", query, "--store", self.store, "--json")
        )["rows"]
        return str(rows[0]["run"])


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_what_is_exported_is_of_the_pool_that_was_put_back(service: Service) -> None:
    seen: dict[int, tuple[str, list[int]]] = {}
    for lacking in (3, 70, 3, 70):
        told = service.night(lacking)
        assert ("Nothing changed" in told) == (lacking in seen)
        chosen = service.exported()
        assert len(chosen) == 12
        assert lacking not in chosen
        assert service.published() == chosen
        assert seen.setdefault(lacking, (service.current(), chosen)) == (service.current(), chosen)
    assert len({run for run, _ in seen.values()}) == 2


def test_exchanged_run_files_are_exported_by_no_command(service: Service) -> None:
    for lacking in (5, 60):
        service.night(lacking)
    right, run = service.exported(), service.current()
    one, other = sorted((service.store / "runs").glob("*.duckdb"))
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    out = service.folder / "wrong.parquet"
    told = service.run("export", "--store", service.store, "--out", out, code=1)
    assert not out.exists()
    for path in (one, other):
        assert path.name in told
    assert "`assay check --repair`" in told
    service.run("check", "--store", service.store, "--repair")
    assert (service.current(), service.exported(), service.published()) == (run, right, right)
    assert "Nothing changed" in service.night(60)
