"""Whether two stores hold the same: every table without its times, every byte of every artifact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.disk.atomic import writer_of

# when something was done, and with which versions, is not what was done
_LEFT_OUT = {"started_at", "finished_at", "requested_at", "versions"}
_WHERE = {"store", "engine", "workers", "shard_rows", "engine_options"}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def contents(store: Path) -> dict[str, Any]:
    """Return what a store holds: a digest of every artifact's file and of every table."""
    found: dict[str, Any] = {}
    for path in sorted((store / "artifacts").rglob("*")):
        if path.is_file():
            found[path.relative_to(store).as_posix()] = _digest(path.read_bytes())
    for path in sorted((store / "runs").glob("*.duckdb")):
        for name, digest in _tables(path).items():
            found[f"runs/{path.stem}.{name}"] = digest
    latest = store / "published" / "latest.duckdb"
    if latest.exists():
        newest = max(latest.parent.glob("latest-*"), key=lambda p: int(p.stem.split("-")[1]))
        found["published: points at the newest"] = latest.read_bytes() == newest.read_bytes()
        for name, digest in _tables(newest).items():
            found[f"published.{name}"] = digest
    for path in sorted((store / "runs").glob("*.json")):
        found[f"note {path.name}"] = json.loads(path.read_text())["status"]
    for path in sorted((store / "catalogue").glob("*.json")):
        found[f"catalogue {path.name}"] = True
    for path in sorted((store / "requests").glob("*.json")):
        found[f"request {path.name}"] = True
    for path in store.rglob(".*"):
        if writer_of(path) is not None:
            found[f"left over: {path.relative_to(store)}"] = True
    return found


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return what is not the same."""
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)]


def _tables(path: Path) -> dict[str, str]:
    digests = {}
    with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as con:
        tables = con.execute(
            "SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL"
        ).fetchall()
        for schema, table in tables:
            rows = con.execute(f'SELECT * FROM "{schema}"."{table}" ORDER BY ALL')
            columns = [column[0] for column in rows.description or ()]
            kept = [
                {c: _plain(c, v) for c, v in zip(columns, row, strict=True) if c not in _LEFT_OUT}
                for row in rows.fetchall()
            ]
            digests[f"{schema}.{table}"] = _digest(repr(kept).encode())
    return digests


def _plain(column: str, value: Any) -> Any:
    if column != "config" or value is None:
        return value
    # where the store lies, and what computed it, is not what is in it
    return {k: v for k, v in json.loads(value).items() if k not in _WHERE}
