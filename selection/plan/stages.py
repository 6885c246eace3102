"""The stages of a plan before its selector; each notes what it leaves out in the mask `alive`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection import registry
from assay.selection.algorithms.contamination import DETECTORS, find_outliers
from assay.selection.algorithms.difficulty import share_of
from assay.selection.contract.inputs import Floats
from assay.selection.contract.outcomes import Outcome
from assay.selection.plan.inputs import PlanInputs
from assay.selection.steps.deduplication import SCHEMA, deduplicator
from assay.selection.steps.hard_cutoff import HardCutoff
from assay.selection.steps.in_reference import InReference
from assay.selection.steps.leakage import SCHEMA as LEAKS
from assay.selection.steps.leakage import Leakage
from assay.storage.errors import MissingInputError

Mask = NDArray[np.bool_]


def filtered(pool: PlanInputs, rules: Sequence[str], must: Mask, alive: Mask) -> list[Outcome]:
    """Leave out the rows that do not meet a rule; the first rule that fails is the reason."""
    outcomes = []
    for rule in rules:
        rows = np.flatnonzero(~pool.holds(rule) & ~must & alive)
        alive[rows] = False
        detail: dict[str, NDArray[Any]] = {"rule": np.full(len(rows), rule)}
        compared = pool.compared(rule, rows) if len(rows) else None
        if compared is not None:
            detail["value"] = compared[0].to_numpy()
            detail["threshold"] = np.full(len(rows), compared[1])
        if len(rows):
            for name, broken in pool.broken(rule, rows).items():
                detail[f"{name}_rules"] = broken.to_numpy()
        outcomes.append(Outcome(rows, "filter", "filter", detail))
    return outcomes


def referenced(
    pool: PlanInputs,
    reference: Mapping[str, Any],
    options: Mapping[str, Any],
    must: Mask,
    alive: Mask,
) -> list[Outcome]:
    """Leave out the rows that a reference holds; must-include rows stay."""
    if not reference:
        return []
    rows = np.flatnonzero(alive)
    step = InReference(reference=reference, **options)
    step.fit(**pool.given({"texts", "graph"}, rows), vectors=pool.vectors(rows))
    out = ~step.keep_ & ~must[rows]
    which = pl.Series(out)
    detail = {
        "reference": step.reference_.filter(which).to_numpy(),
        "match": step.match_.filter(which).to_numpy(),
        "similarity": step.similarity_[out],
        "kind": step.kind_.filter(which).to_numpy(),
    }
    alive[rows[out]] = False
    return [Outcome(rows[out], "reference", "in_reference", detail)]


def leaked(
    pool: PlanInputs,
    evaluation: Mapping[str, Any],
    options: Mapping[str, Any],
    must: Mask,
    alive: Mask,
) -> tuple[list[Outcome], pl.DataFrame]:
    """Leave out the rows that hold items of evaluation sets; also which."""
    if not evaluation:
        return [], pl.DataFrame(schema=LEAKS)
    rows = np.flatnonzero(alive)
    step = Leakage(evaluation=evaluation, **options).fit(**pool.given({"texts"}, rows))
    out = ~step.keep_ & ~must[rows]
    detail = {
        "evaluation_set": step.evaluation_set_.filter(pl.Series(out)).to_numpy(),
        "item": step.item_.filter(pl.Series(out)).to_numpy(),
        "span": step.span_[out],
    }
    alive[rows[out]] = False
    return [Outcome(rows[out], "leakage", "leakage", detail)], step.leaks()


def deduplicated(
    pool: PlanInputs, steps: Sequence[Any], keeper: str | None, must: Mask, alive: Mask
) -> tuple[list[Outcome], pl.DataFrame]:
    """Leave one row of each group of duplicates; must-include rows stay. Also the groups."""
    if not steps:
        return [], pl.DataFrame(schema=SCHEMA)
    order = pool.places(keeper or "assay.sample_id")
    priority = np.where(must, order - pool.n, order)
    outcomes, groups = [], []
    for name, options in ((s, {}) if isinstance(s, str) else s for s in steps):
        make = deduplicator(name)
        entry = registry.entry(name, "step")
        rows = np.flatnonzero(alive)
        step = make(**options)
        inputs = pool.given(
            {*entry.needs, *entry.uses}, rows, images_for_texts=entry.images_for_texts
        )
        step.fit(**inputs, priority=priority[rows])
        out = ~step.keep_ & ~must[rows]
        groups.append(step.duplicates())
        detail = {
            "keeper": pool.ids.gather(rows[step.keeper_[out]]).to_numpy(),
            "similarity": step.similarity_[out],
        }
        outcomes.append(Outcome(rows[out], "deduplicate", name, detail))
        alive[rows[out]] = False
    return outcomes, pl.concat(groups)


def cut(
    pool: PlanInputs,
    cutoff: Any,
    difficulty: str | None,
    budget: int | None,
    must: Mask,
    alive: Mask,
) -> tuple[Outcome, dict[str, Any]]:
    """Leave out the hardest of the rows that are left, and report how many that should be.

    With the cutoff "contamination" the outliers are left out instead: as many rows as the posterior
    says, those that lie furthest out by the scores of several detectors.

    Raises
    ------
    MissingInputError
        No difficulty was named and there is not just one score.
    """
    rows = np.flatnonzero(alive)
    report: dict[str, Any] = {}
    reason = "hard_cutoff"
    values = difficulty_of(pool, difficulty)
    if isinstance(cutoff, str) and cutoff == "contamination":
        # in order of the ids, on which nothing may depend but ties
        by_id = rows[pool.ids.gather(rows).arg_sort().to_numpy()]
        outlyingness, count, posterior = find_outliers(*_detected(pool, by_id, values))
        values = np.zeros(pool.n)
        values[by_id] = outlyingness
        low, high = posterior.interval()
        report = {"contamination": {"mean": posterior.mean, "low": low, "high": high}}
        cutoff, reason = share_of(count, len(rows)), "contamination"
    if values is None:
        raise MissingInputError(
            f"A cutoff needs a difficulty; name one of the scores ({', '.join(pool.scores)})."
        )
    wanted = None if budget is None else min(budget, len(rows))
    step = HardCutoff(cutoff=cutoff).fit(
        scores=values[rows], ids=pool.ids.gather(rows), budget=wanted
    )
    out = ~step.keep_ & ~must[rows]
    alive[rows[out]] = False
    threshold = np.full(int(out.sum()), step.threshold_, dtype=np.float64)
    detail = {"value": values[rows][out], "threshold": threshold}
    return Outcome(rows[out], "cutoff", reason, detail), report


def _detected(pool: PlanInputs, rows: Any, difficulty: Floats | None) -> list[Floats]:
    """Return outlier scores of some rows: those of the pool's scores, else computed, else difficulty."""
    named = [pool.score(name)[rows] for name in DETECTORS if name in pool.scores]
    vectors = pool.vectors(np.arange(pool.n))
    if named or vectors is None:
        own = [] if difficulty is None else [difficulty[rows]]
        if not (named or own):
            raise MissingInputError(
                "cutoff='contamination' needs vectors as X, or outlier scores such as "
                f"{', '.join(DETECTORS)}."
            )
        return named or own
    ids = pool.ids.gather(rows)
    return [
        registry.get(name, "scorer")().fit(vectors[rows], ids=ids).scores_ for name in DETECTORS
    ]


def difficulty_of(pool: PlanInputs, name: str | None) -> Floats | None:
    """Return the named score; without a name the only one, if there is only one; else None."""
    if name is not None:
        return pool.score(name)
    return pool.score(next(iter(pool.scores))) if len(pool.scores) == 1 else None
