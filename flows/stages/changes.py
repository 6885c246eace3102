"""The stage that compares a pool with that of the run before: which rows are the same."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from assay.flows.progress import logger
from assay.flows.stages.artifacts import folder, load_rows, load_samples, make_stage, usable
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import COMPARE
from assay.storage.errors import StoreError
from assay.storage.hashing.fingerprints import fingerprint

# columns of the samples that tell which of the parent's rows a row is
_COMPARED = ("sample_id", "content_hash", "problem")


class Changes(NamedTuple):
    """What became of the parent's usable rows; rows without content have no place in either.

    Attributes
    ----------
    rows : int32[all rows of the pool]
        Which of the parent's usable rows this is, of the same id and content; -1: none.
    contents : int32[all rows of the pool]
        One of the parent's usable rows with the same content; -1: none.
    keys : int32[all rows of the pool]
        Which row of the parent's pool, empty ones included, has the content of `contents`.
    before : int
        Usable rows of the parent.
    """

    rows: np.ndarray
    contents: np.ndarray
    keys: np.ndarray
    before: int


def compare_ref(run: Run, samples: Ref) -> Ref | None:
    """Return where the comparison is or will be; None if there is nothing to compare with."""
    if run.parent is None:
        return None
    made_of = (samples, run.parent.samples, run.parent.vectors)
    return Ref("changes", fingerprint(COMPARE.revision, *made_of))


def compare(run: Run, samples: Ref) -> Ref | None:
    """Match every row with one of the parent; None if that is no longer possible."""
    ref = compare_ref(run, samples)
    if ref is None or run.parent is None:
        return None
    try:
        before = usable(load_rows(run, run.parent.samples, run.parent.vectors, _COMPARED))
    except StoreError as error:
        logger.warning("the run before can't be built upon: %s", error)
        return None

    def make(out: Path) -> None:
        frame = load_samples(run, samples, _COMPARED)
        now = usable(frame)
        rows, contents = _likes(now, before)
        for name, matched in (("rows", rows), ("contents", contents)):
            spread = np.full(frame.height, -1, np.int32)
            spread[now["key"].to_numpy()] = matched
            np.save(out / f"{name}.npy", spread)
        np.save(out / "before.npy", before["key"].to_numpy())

    return make_stage(run, COMPARE, ref, make)


def _likes(now: pl.DataFrame, before: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return for every row the parent's row of the same id and content, and of the same content."""
    names = ["sample_id", "content_hash"]
    first = _leading(now.select(names), before.select(names))
    earlier = before.select(names).with_row_index("place")
    # an id stands once in either, so that what leads is no other row's
    others = now.select(names).slice(first)
    joined = others.join(earlier.slice(first), on=names, how="left", maintain_order="left")
    found = joined["place"].cast(pl.Int32).fill_null(-1).to_numpy()
    rows = np.concatenate([np.arange(first, dtype=np.int32), found])
    contents = rows.copy()
    left = np.flatnonzero(rows < 0)
    if len(left):
        hashes = now["content_hash"].gather(left).to_frame()
        likes = earlier.join(hashes, on="content_hash", how="semi").unique(
            "content_hash", keep="first", maintain_order=True
        )
        joined = hashes.join(likes, on="content_hash", how="left", maintain_order="left")
        contents[left] = joined["place"].cast(pl.Int32).fill_null(-1).to_numpy()
    return rows, contents


def _leading(now: pl.DataFrame, before: pl.DataFrame) -> int:
    """Return how many rows are the same in both before the first that differ."""
    most = min(now.height, before.height)
    same = np.ones(most, bool)
    for name in now.columns:
        same &= (now[name].head(most) == before[name].head(most)).fill_null(False).to_numpy()
    return most if same.all() else int(same.argmin())


def load_changes(run: Run, changes: Ref | None) -> Changes | None:
    """Return the comparison, None if there is none."""
    if changes is None:
        return None
    at = folder(run, changes)
    rows, contents, before = (np.load(at / f"{n}.npy") for n in ("rows", "contents", "before"))
    keys = np.where(contents >= 0, before[contents], -1).astype(np.int32)
    return Changes(rows, contents, keys, len(before))
