"""Generations: what was fitted on a pool serves the next nights too, until it no longer fits."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from assay.flows.progress import logger
from assay.flows.stages.refs import Ref
from assay.flows.stages.stage import EMBED, FIT, Stage
from assay.storage import ScoreStore
from assay.storage.errors import StoreError
from assay.storage.hashing.fingerprints import fingerprint

# hexadecimal digits of a generation that say what settings it was made with; the rest: of what pool
_SETTINGS = 8


class Parent(BaseModel):
    """The run that this one starts from: the newest of its pool in the same generation."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    pool_fingerprint: str
    samples: Ref
    vectors: Ref
    graph: Ref | None = None
    index: Ref | None = None


def embedder_ref(generation: str) -> Ref:
    """Return where the embedder of a generation is, where it has one."""
    return Ref("embedder", fingerprint(FIT.revision, generation))


def settle(
    store: ScoreStore, name: str, pool: str, settings: Any, *, fits: bool, refit: bool
) -> tuple[str, bool, Parent | None]:
    """Decide on the generation of a run, and on the run that it starts from.

    Parameters
    ----------
    store : ScoreStore
    name, pool : str
        The pool's name and its fingerprint.
    settings
        What decides the vectors besides the pool.
    fits : bool
        Whether an embedder is fitted, and so must be there for the generation to go on.
    refit : bool
        Begin a new generation.

    Returns
    -------
    generation : str
    frozen : bool
        Whether the generation is that of earlier runs.
    parent : Parent or None
    """
    decided = fingerprint("settings", FIT.revision, EMBED.revision, settings)[:_SETTINGS]
    own = decided + fingerprint("generation", pool)[:_SETTINGS]
    newest = None if refit else store.newest_run(name)
    if newest is None or newest["generation"][:_SETTINGS] != decided:
        return own, False, None
    generation = newest["generation"]
    if fits and not store.artifacts.intact(*embedder_ref(generation)):
        logger.warning(
            "the embedder of generation %s is not in the store any more: a new one is fitted",
            generation,
        )
        return own, False, None
    return generation, generation != own, _parent(newest)


def _parent(run: dict[str, Any]) -> Parent | None:
    refs = {stage: Ref(*ref) for stage, ref in run["artifacts"].items()}
    if "read" not in refs or "embed" not in refs:
        return None
    return Parent(
        run_id=run["run_id"],
        pool_fingerprint=run["pool_fingerprint"],
        samples=refs["read"],
        # what edges were put into is no vector of a row's content
        vectors=refs.get("encode", refs["embed"]),
        graph=refs.get("graph"),
        index=refs.get("index"),
    )


def usable_parent(store: ScoreStore, stage: Stage, ref: Ref | None) -> bool:
    """Say whether what the parent made in a stage is whole, and of that stage's present revision."""
    if ref is None:
        return False
    try:
        if store.artifacts.made_by(*ref).get("revision") != stage.revision:
            return False
    except StoreError:
        return False
    return store.artifacts.intact(*ref)
