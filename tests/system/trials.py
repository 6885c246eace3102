"""Killing runs: what is run, where it is killed, and what must be there after the next run."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.examples import example_path
from assay.storage import ScoreStore
from assay.storage.errors import StoreError
from assay.storage.upkeep.check import check_store
from tests.system.comparing import contents, differences
from tests.system.fork_server import ForkServer

# name -> what runs, in Markdown
SCENARIOS = {
    "first": "`curate`, a new store",
    "changed": "`curate`, the pool changed (5 rows gone, 10 new, 1 rewritten)",
    "features": "`features`, a new store",
    "older": "`features`, a store of schema version 1 that is migrated",
    "damaged": "`curate`, its run gone, scores and ledger damaged",
    "refit": "`curate --refit`, the changed pool",
    "shards": "`curate`, a new store, in shards",
}
# the run that a scenario starts after
_AFTER = {"changed": "first", "older": "first", "damaged": "first", "refit": "first"}


@dataclass
class Undisturbed:
    """What a scenario comes to when nothing goes wrong."""

    contents: dict[str, Any]
    chosen: list[str]
    moments: list[str]
    seconds: float


class Trials:
    """Runs that are killed.

    Each of `SCENARIOS` runs in a store of its own, after the run named in `_AFTER`.

    Parameters
    ----------
    folder : Path
        Where pools and stores lie.
    rows : int, default 150
        How many documents the pool has.
    """

    def __init__(self, folder: Path, rows: int = 150) -> None:
        self.folder = folder
        self.server = ForkServer()
        self._pools(rows)
        common = {
            "target": str(folder / "target.parquet"),
            "name": "pool",
            "id": "id",
            "text": "text",
            "keep": ["domain"],
            "budget": 20,
            "embedding": {"dimensions": 16, "buckets": 2**12, "fit_rows": 100},
        }
        table = {"table": str(folder / "table.parquet"), "label": "y", "methods": ["ecfs"], "k": 3}
        self._jobs: dict[str, tuple[str, dict[str, Any]]] = {
            "first": ("curate", common | {"pool": str(folder / "pool.parquet")}),
            "changed": ("curate", common | {"pool": str(folder / "changed.parquet")}),
            "refit": (
                "curate",
                common | {"pool": str(folder / "changed.parquet"), "refit": True},
            ),
            "shards": (
                "curate",
                common
                | {"pool": str(folder / "pool.parquet"), "engine": "threads", "shard_rows": 40},
            ),
            "features": ("rank_features", table),
            "older": ("rank_features", table),
            "damaged": ("curate", common | {"pool": str(folder / "pool.parquet")}),
        }
        self._undisturbed: dict[str, Undisturbed] = {}
        self._count = 0

    def _pools(self, rows: int) -> None:
        pool = pl.read_parquet(example_path("pool.parquet")).gather_every(3).head(rows + 10)
        pool.head(rows).write_parquet(self.folder / "pool.parquet")
        # five rows are gone, ten are new, one has other content
        changed = pool.tail(-5).with_columns(
            text=pl.when(pl.int_range(pl.len()) == 7).then(pl.lit("other words")).otherwise("text")
        )
        changed.write_parquet(self.folder / "changed.parquet")
        target = pl.read_parquet(example_path("target.parquet")).head(40)
        target.write_parquet(self.folder / "target.parquet")
        values = np.random.default_rng(0).normal(size=(60, 8))
        table = pl.DataFrame({f"f{i}": column for i, column in enumerate(values.T)})
        table = table.with_columns(
            y=pl.when(pl.col("f1") > 0).then(pl.lit("p")).otherwise(pl.lit("n"))
        )
        table.write_parquet(self.folder / "table.parquet")

    def settings(self, scenario: str, store: Path) -> dict[str, Any]:
        """Return the configuration of a scenario's run."""
        return self._jobs[scenario][1] | {"store": str(store)}

    def run(self, scenario: str, store: Path, **how: Any) -> dict[str, Any]:
        """Run a scenario in a child; see `ForkServer.run`."""
        return self.server.run(
            self._jobs[scenario][0], self.settings(scenario, store), self.folder, **how
        )

    def undisturbed(self, scenario: str) -> Undisturbed:
        """Return what the scenario comes to."""
        if scenario not in self._undisturbed:
            store = self.store(scenario)
            done = self.run(scenario, store)
            assert done["error"] is None, done["error"]
            again = self.run(scenario, self.store(scenario))  # everything is imported by now
            self._undisturbed[scenario] = Undisturbed(
                contents(store), _chosen(store), again["moments"], again["seconds"]
            )
            self._keep(store, f"after {scenario}")
        return self._undisturbed[scenario]

    def store(self, scenario: str) -> Path:
        """Return the store that a scenario's run starts from."""
        self._count += 1
        store = self.folder / f"store {self._count}"
        if scenario in _AFTER:
            self.undisturbed(_AFTER[scenario])
            shutil.copytree(self.folder / f"after {_AFTER[scenario]}", store, symlinks=True)
        if scenario == "older":
            _make_older(store)
        elif scenario == "damaged":
            forget_run(store)
            for file in (store / "artifacts").glob("*/*/*"):
                if file.name in ("scores.npy", "ledger.parquet"):
                    flip(file)
        return store

    def after(self, scenario: str) -> Path:
        """Return a copy of the store that an undisturbed run of a scenario leaves."""
        self.undisturbed(scenario)
        self._count += 1
        store = self.folder / f"store {self._count}"
        shutil.copytree(self.folder / f"after {scenario}", store, symlinks=True)
        return store

    def _keep(self, store: Path, name: str) -> None:
        shutil.copytree(store, self.folder / name, symlinks=True)

    def kill(self, scenario: str, **when: Any) -> tuple[bool, list[str]]:
        """Kill a scenario's run, run it again, and return whether it was killed and what differs."""
        expected = self.undisturbed(scenario)
        before = self.undisturbed(_AFTER[scenario]).chosen if scenario in _AFTER else []
        before = [] if scenario == "damaged" else before
        store = self.store(scenario)
        killed = self.run(scenario, store, **when)["killed"]
        wrong = _wrong_meanwhile(store, (before, expected.chosen))
        done = self.run(scenario, store)
        if done["error"] is not None:
            return killed, [*wrong, done["error"]]
        wrong += differences(contents(store), expected.contents)
        wrong += [f"{f.where}: {f.problem}" for f in check_store(ScoreStore(store))]
        shutil.rmtree(store)
        return killed, wrong

    def close(self) -> None:
        """End the server."""
        self.server.close()


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def forget_run(store: Path) -> None:
    """Let the next run need the artifacts again."""
    for folder in ("runs", "published", "catalogue", "requests"):
        for path in (store / folder).iterdir():
            path.unlink()


def _make_older(store: Path) -> None:
    """Turn a store into one of schema version 1, with the note of a run that failed."""
    marker = {"format": "assay-store", "schema_version": 1}
    (store / "store.json").write_text(json.dumps(marker))
    note = {
        "run_id": "f" * 16, "kind": "curate", "pool": "p", "status": "failed", "message": "no room",
        "process": 1, "started_at": "2026-01-01T00:00:00+00:00", "n_samples": 1, "seed": 0,
        "generation": "g", "config": {}, "versions": {},
    }  # fmt: skip
    (store / "runs" / f"{note['run_id']}.json").write_text(json.dumps(note))


def _chosen(path: Path) -> list[str]:
    store = ScoreStore(path, create=True)
    return store.sql("FROM latest_selection ORDER BY position")["sample_id"].to_list()


def _wrong_meanwhile(store: Path, allowed: tuple[list[str], ...]) -> list[str]:
    """Return what a reader finds wrong between the kill and the next run."""
    try:
        opened = ScoreStore(store, create=True)
        status = set(opened.sql("SELECT status FROM runs")["status"])
    except StoreError as error:
        return [f"after the kill: {error}"]
    failed = ["failed"] if (store / "runs" / f"{'f' * 16}.json").exists() else []
    wrong = [f"after the kill a run is {s}" for s in status - {"running", "done", *failed}]
    if _chosen(opened.path) not in allowed:
        wrong.append("after the kill the selection is neither the old one nor the new one")
    return wrong
