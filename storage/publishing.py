"""Publishing: the newest run of every pool in one file that any DuckDB can open by itself."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import duckdb

from assay.storage.atomic import atomic_path, point
from assay.storage.attaching import attach_runs, make_run_tables, register_run
from assay.storage.locks import file_lock
from assay.storage.views import TABLES, RunTables, latest, literal, statements


def publish_latest(store: Path) -> Path:
    """Write `published/latest-<n>.duckdb` of a store's folder; see `ScoreStore.publish`."""
    folder = store / "published"
    with file_lock(store / "publish.lock"):
        published = published_files(store)
        with duckdb.connect(":memory:") as con:
            runs = attach_runs(con, store / "runs")
            wanted = latest(runs) + latest(runs, "features")
            names = sorted(run.run_id for run in wanted)
            if published and _holds(published[-1]) == names:
                return published[-1]
            number = int(published[-1].stem.split("-")[1]) + 1 if published else 1
            target = folder / f"latest-{number}.duckdb"
            with atomic_path(target) as temporary:
                con.execute(f"ATTACH {literal(str(temporary))} AS published")
                _copy(con, wanted)
                con.execute("CHECKPOINT published")
                con.execute("USE memory")
                con.execute("DETACH published")
        point(folder / "latest.duckdb", target.name)
        # the one before stays for readers who are just opening it
        for old in published[:-1]:
            with suppress(OSError):
                old.unlink()
    return target


def published_files(store: Path) -> list[Path]:
    """Return the published files of a store's folder, the oldest first."""
    files = (store / "published").glob("latest-*.duckdb")
    return sorted(files, key=lambda p: int(p.stem.split("-")[1]))


def _holds(published: Path) -> list[str]:
    try:
        with duckdb.connect(str(published), read_only=True) as con:
            return [r[0] for r in con.sql("SELECT run_id FROM runs ORDER BY 1").fetchall()]
    except duckdb.Error:
        return []


def _copy(con: duckdb.DuckDBPyConnection, runs: Iterable[RunTables]) -> None:
    runs = list(runs)
    for run in runs:
        con.execute(f"CREATE SCHEMA published.{run.alias}")
        for table in ("run", *(t for t in TABLES if t in run.tables)):
            con.execute(
                f"CREATE TABLE published.{run.alias}.{table} AS FROM {run.alias}.main.{table}"
            )
        con.execute(f"DETACH {run.alias}")
    con.execute("USE published")
    make_run_tables(con)
    for run in runs:
        register_run(con, run.alias)
    for statement in statements(runs):
        con.execute(statement)
