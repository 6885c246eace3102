"""Where the data of finished runs is now: where it was, in a store that was moved, or relocated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from assay.flows.config.curation import CurationConfig
from assay.storage import Pool, ScoreStore, read_pool
from assay.storage.disk.atomic import write_json
from assay.storage.errors import ConfigError, SourceError, StoreError
from assay.storage.reading.locations import absolute, as_path, scheme_of

PLACES = "places.json"
_FRAMES = ("artifacts", "frames")


def place_of(store: ScoreStore, location: str) -> str:
    """Return where a location of a run is now.

    That is the place that `relocate` noted; or, of a frame that the store keeps a copy of, the copy
    in the store as it lies now; else the location itself.
    """
    noted = _places(store).get(location)
    if noted is not None:
        return noted
    if scheme_of(location) not in (None, "file"):
        return location
    parts = as_path(location).parts
    for at in range(len(parts) - len(_FRAMES), -1, -1):
        if parts[at : at + len(_FRAMES)] == _FRAMES:
            own = store.path.joinpath(*parts[at:])
            return str(own) if own.exists() else location
    return location


def pool_of(
    store: ScoreStore,
    run_id: str,
    config: CurationConfig,
    pool: str | os.PathLike[str] | None = None,
) -> Pool:
    """Open the pool of a run, where it is now or at another place.

    Raises
    ------
    StoreError
        It does not hold what it did when the run was made.
    """
    location = str(config.pool)
    now = place_of(store, location)
    where = now if pool is None else pool
    try:
        opened = read_pool(where, **config.roles())
    except SourceError as error:
        if pool is not None or scheme_of(now) not in (None, "file") or as_path(now).exists():
            raise
        raise SourceError(
            f"{error} If the pool of run {run_id} lies elsewhere now, name the place with --pool; "
            "`assay relocate --pool PLACE` notes it for good."
        ) from None
    was = store.run_table(run_id, "SELECT pool_fingerprint FROM run").item()
    moved = pool is not None or now != location
    if opened.fingerprint == was or (moved and _same_rows(store, run_id, opened, config)):
        return opened
    raise StoreError(
        f"The pool {where} is not what it was when run {run_id} was made. Put it back, name the "
        "place where it is now with --pool, or run `assay curate` again and export that run."
    )


def _same_rows(store: ScoreStore, run_id: str, pool: Pool, config: CurationConfig) -> bool:
    """Return whether a pool in other files has the run's rows: ids, contents and labels in order."""
    own = ["label"] if config.labels is None else []
    names = ["sample_id", "content_hash", *own]
    was = store.run_table(run_id, f"SELECT {', '.join(names)} FROM samples ORDER BY key")
    return pool.samples().select(names).equals(was)


def relocate(
    store: ScoreStore, run: dict[str, Any], pool: str | os.PathLike[str]
) -> dict[str, str]:
    """Note that the pool of a finished run lies at another place now.

    Parameters
    ----------
    store : ScoreStore
    run : dict
        The run's row of the view `runs`; earlier runs over the same location follow.
    pool : path-like
        It must hold the run's rows: the same files, or the same ids, contents and labels in order.

    Returns
    -------
    dict
        `was` and `now`.

    Raises
    ------
    StoreError, SourceError
        It does not hold them, or can't be read.
    """
    config = CurationConfig.build(json.loads(run["config"]))
    if config.pool is None:
        raise ConfigError(f"The run {run['run_id']} names no pool.")
    now = absolute(os.fspath(pool))
    pool_of(store, run["run_id"], config, now)
    with store.writing("relocate"):
        write_json(store.path / PLACES, _places(store) | {config.pool: now})
    return {"was": config.pool, "now": now}


def _places(store: ScoreStore) -> dict[str, str]:
    path = Path(store.path / PLACES)
    try:
        places = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}, which notes where pools were moved to, can't be read ({error}). Remove it, "
            "and run `assay relocate` again."
        ) from error
    if not isinstance(places, dict) or not all(isinstance(each, str) for each in places.values()):
        raise StoreError(
            f"{path}, which notes where pools were moved to, is not as assay writes it. Remove it, "
            "and run `assay relocate` again."
        )
    return places
