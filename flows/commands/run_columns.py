"""What a finished run knows of its rows besides their contents: kept columns, and scores."""

from __future__ import annotations

from typing import Any

import polars as pl

from assay.storage import ScoreStore
from assay.storage.names import SAMPLE_NAMES, own_name

# what a run knows of every sample that is no column of the pool's own
_OURS = ("key", "problem", *SAMPLE_NAMES)


def samples_of(store: ScoreStore, run_id: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Return the run's samples with the keys of a frame, in its order."""
    samples = store.run_table(run_id, "SELECT * FROM samples")
    return keys.select("key").join(samples, on="key", how="left", maintain_order="left")


def kept_columns(samples: pl.DataFrame) -> pl.DataFrame:
    """Return the kept columns of `samples_of` by the pool's names."""
    # a frame without columns still knows its rows, unlike one from which none is selected
    kept = samples.drop(_OURS, strict=False)
    return kept.rename({name: own_name(name) for name in kept.columns})


def scores_of(store: ScoreStore, run_id: str, keys: pl.DataFrame) -> pl.DataFrame:
    """Return the run's scores, a column each, for the keys of a frame in its order."""
    scores = store.run_table(run_id, "SELECT key, method, score FROM scores")
    if scores.is_empty():
        return pl.DataFrame(height=keys.height)
    wide: Any = scores.pivot("method", index="key", values="score")
    joined: pl.DataFrame = keys.select("key").join(
        wide, on="key", how="left", maintain_order="left"
    )
    return joined.drop("key")
