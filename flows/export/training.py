"""A run's rows for training loops: their numbers in the pool, and a weight for each row of it."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from assay.flows.running.finished import curation_run
from assay.flows.running.results import RunResult
from assay.storage import ScoreStore

_Run = RunResult | ScoreStore | str | os.PathLike[str]


def torch_indices(run: _Run, run_id: str | None = None) -> NDArray[np.int64]:
    """Return the chosen rows' numbers in the pool, in order of position: a PyTorch sampler's indices.

    Parameters
    ----------
    run : RunResult, ScoreStore or path-like
        What `curate` returned; or a store, or its folder.
    run_id : str, optional
        A run of the store, or its first digits; the newest by default.

    Returns
    -------
    int64[chosen]
        Row 0 is the first row of the pool as assay reads it: of a folder, that of the first file by
        its relative path. ``torch.utils.data.Subset(dataset, torch_indices(run))`` is the selection.

    Raises
    ------
    StoreError, ConfigError, ColumnError
        There is no such run, or several pools without a run named.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> from assay.flows import curate
    >>> frame = pl.DataFrame({"text": [f"about {i % 7} things, {i}" for i in range(40)]})
    >>> result = curate(pool=frame, budget=5, select="random", store=tempfile.mkdtemp())
    >>> torch_indices(result).shape, int((torch_weights(result) > 0).sum())
    ((5,), 5)
    """
    store, chosen = _found(run, run_id)
    keys = store.run_table(chosen, "SELECT key FROM selections ORDER BY position")
    return keys["key"].to_numpy().astype(np.int64)


def torch_weights(run: _Run, run_id: str | None = None) -> NDArray[np.float64]:
    """Return a weight for every row of the pool, 0 for those left out: WeightedRandomSampler's.

    Parameters
    ----------
    run, run_id
        As in `torch_indices`.

    Returns
    -------
    float64[n]
        ``WeightedRandomSampler(torch_weights(run), num_samples=m)`` draws the chosen rows as often as
        the selection weighs them.
    """
    store, chosen = _found(run, run_id)
    count = store.run_table(chosen, "SELECT n_samples FROM run").item()
    rows = store.run_table(chosen, "SELECT key, weight FROM selections")
    weights = np.zeros(count)
    weights[rows["key"].to_numpy()] = rows["weight"].to_numpy()
    return weights


def _found(run: _Run, run_id: str | None) -> tuple[ScoreStore, str]:
    if isinstance(run, RunResult):
        return run.store, run.run_id
    store = run if isinstance(run, ScoreStore) else ScoreStore(run)
    return store, str(curation_run(store, run_id, all_runs=run_id is not None)["run_id"])
