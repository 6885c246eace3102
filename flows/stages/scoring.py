"""The stage that scores: one number per usable row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.flows.config.rules import columns_of_expressions
from assay.flows.progress import step
from assay.flows.stages.artifacts import (
    folder,
    load_graph,
    load_samples,
    load_vectors,
    make_stage,
    usable,
)
from assay.flows.stages.contents import columns_of, target_of, texts_of
from assay.flows.stages.plan import Plan
from assay.flows.stages.refs import Ref
from assay.flows.stages.revisions import REVISIONS
from assay.selection import registry
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.tables import read_table
from assay.storage.sql.expressions import numbers


def inputs(
    plan: Plan,
    entry: registry.Entry,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    stream: Ref | None,
) -> dict[str, Any]:
    """Return the arguments of `fit` for a method of the registry, over the usable rows."""
    frame = load_samples(plan, samples)
    rows = usable(frame)
    needs = {*entry.needs, *entry.uses}
    given: dict[str, Any] = {"ids": rows["sample_id"]}
    if plan.config.label:
        given["y"] = rows["label"].to_numpy()
    if plan.config.group:
        given["groups"] = rows["group_id"].to_numpy()
    if "texts" in needs and plan.kind == "text":
        given["X"] = texts_of(plan, frame["problem"].is_null().to_numpy(), stream)
    elif needs & {"texts", "vectors"}:
        given["X"] = load_vectors(plan, vectors)
    if "target" in needs:
        given["target"] = target_of(plan, vectors, needs)
    if "graph" in needs:
        given["graph"] = load_graph(plan, graph)
    return given


def score(
    plan: Plan,
    method: str,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    streams: dict[str, Ref],
    parts: Sequence[Ref] = (),
) -> Ref:
    """Compute one score for every usable row; `parts` are the shards that were weighed, if any."""
    if method in plan.config.expressions:
        return _expression(plan, method, samples, vectors)
    entry = registry.entry(method, "scorer")
    ref = score_ref(plan, method, vectors, graph)

    def make(out: Path) -> None:
        with step(f"score {method}", None):
            scorer = scorer_of(plan, method)
            if parts:
                found = scorer.combined(_weights(plan, parts))
            else:
                stream = streams.get(method)
                scorer.fit(**inputs(plan, entry, samples, vectors, graph, stream))
                found = scorer.scores_
            np.save(out / "scores.npy", np.asarray(found, dtype=np.float64))

    return make_stage(plan, "score", ref, make, method)


def score_ref(plan: Plan, method: str, vectors: Ref, graph: Ref) -> Ref:
    """Return where a score of the registry is or will be."""
    entry = registry.entry(method, "scorer")
    made_of = {
        "labels": plan.config.label,
        "target": plan.target_fingerprint,
        "graph": graph,
        "log": plan.log_fingerprint,
    }
    of = [made_of.get(need) for need in (*entry.needs, *entry.uses)]
    return Ref("scores", fingerprint(REVISIONS["score"], method, vectors, of, plan.config.seed))


def scorer_of(plan: Plan, method: str) -> Any:
    """Return a scorer of the registry, with the log that it reads."""
    if "log" in registry.entry(method, "scorer").needs:
        return registry.get(method, "scorer")(log=read_table(str(plan.config.training_log)))
    return registry.get(method, "scorer")()


def _weights(plan: Plan, parts: Sequence[Ref]) -> list[Any]:
    """Return what every shard was weighed as."""
    from assay.selection.algorithms.density_ratio import Components

    found = []
    for part in parts:
        at = folder(plan, part)
        presence = at / "presence.npy"
        there = np.load(presence) if presence.is_file() else None
        found.append(Components(np.load(at / "backoff.npy"), there))
    return found


def _expression(plan: Plan, name: str, samples: Ref, vectors: Ref) -> Ref:
    """Compute a score of the user's own, an SQL expression over the columns."""
    expression = plan.config.expressions[name]
    made_of = (plan.pool_fingerprint, samples, vectors, expression)
    ref = Ref("scores", fingerprint(REVISIONS["score"], "expression", *made_of))

    def make(out: Path) -> None:
        with step(f"score {name}", None):
            frame = load_samples(plan, samples)
            named = columns_of_expressions(plan.config, plan.read_pool().columns)
            np.save(
                out / "scores.npy",
                numbers(columns_of(plan, frame, named), expression, what=f"score {name}"),
            )

    return make_stage(plan, "score", ref, make, name)


def points_easier(plan: Plan, method: str) -> bool:
    """Return whether a high score means an easy row; the user's own mean what they are used as."""
    if method in plan.config.expressions:
        return False
    return bool(registry.get(method, "scorer").points == "easier")


def load_scores(plan: Plan, ref: Ref) -> np.ndarray:
    """Return one score of every usable row."""
    found: np.ndarray = np.load(folder(plan, ref) / "scores.npy")
    return found
