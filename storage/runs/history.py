"""The newest finished run of a pool: what the next one starts from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.errors import StoreError
from assay.storage.runs.catalogue import ARCHIVE, RunFile, find_run, list_runs
from assay.storage.runs.schema import literal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS = ("run_id", "kind", "pool", "n_samples", "seed", "generation", "ranked_by")


def newest_run(
    store: Path, pool: str, kind: str = "curate", before: str | None = None
) -> dict[str, Any] | None:
    """Return the newest finished run of a pool in a store's folder; see `ScoreStore.newest_run`.

    Runs are listed from the notes beside them, and one run file is looked into.
    """
    own = None if before is None else find_run(store, before)
    runs = list_runs(store, archived=own is not None and own.parent.name == ARCHIVE)
    limit = next((_age(run) for run in runs if run.tables.run_id == before), None)
    wanted = [
        run
        for run in runs
        if (run.tables.pool, run.tables.kind) == (pool, kind)
        and (limit is None or _age(run) < limit)
    ]
    newest = max(wanted, key=_age, default=None)
    if newest is None:
        return None
    pool_fingerprint, artifacts = _looked_into(store, newest)
    return {key: newest.run[key] for key in _KEYS} | {
        "finished_at": _EPOCH + timedelta(microseconds=newest.run["finished_at"]),
        "config": json.loads(newest.run["config"]),
        "pool_fingerprint": pool_fingerprint,
        "artifacts": artifacts,
    }


def _age(run: RunFile) -> tuple[int, str]:
    return run.tables.finished_at, run.tables.run_id


def _looked_into(store: Path, run: RunFile) -> tuple[str, dict[str, tuple[str, str]]]:
    path: Path | None = run.path
    with duckdb.connect(":memory:") as con:
        while path is not None:
            try:
                con.execute(f"ATTACH {literal(str(path))} AS run_file (READ_ONLY)")
            except duckdb.Error as error:
                moved = find_run(store, run.tables.run_id)
                if moved != path:
                    path = moved
                    continue
                raise StoreError(
                    f"The run file {path} can't be opened: {' '.join(str(error).split())}"
                ) from error
            found = con.execute("SELECT pool_fingerprint FROM run_file.run").fetchone()
            rows = []
            if "artifacts" in run.tables.tables:
                rows = con.execute("FROM run_file.artifacts").fetchall()
            return found[0] if found else "", {stage: (of, made) for stage, of, made in rows}
    raise StoreError(f"The run {run.tables.run_id} was removed from {store} while it was read.")
