"""The stage that scores: one number per usable row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.flows.config.rules import RULES_REVISION, columns_of_expressions
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    folder,
    load_graph,
    load_rows,
    load_vectors,
    make_stage,
    usable,
    write_report,
)
from assay.flows.stages.contents import columns_of, facts_of, target_of, texts_of
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import SCORE
from assay.selection import registry
from assay.storage.disk.pages import open_mapped
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.tables import read_table
from assay.storage.sql.expressions import numbers


def inputs(
    run: Run,
    entry: registry.Entry,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    stream: Ref | None,
) -> dict[str, Any]:
    """Return the arguments of `fit` for a method of the registry, over the usable rows."""
    needs = {*entry.needs, *entry.uses}
    columns = ["sample_id", "problem"]
    columns += ["label"] if run.config.label else []
    columns += ["group_id"] if run.config.group else []
    frame = load_rows(run, samples, vectors, columns)
    rows = usable(frame)
    arguments: dict[str, Any] = {"ids": rows["sample_id"]}
    if run.config.label:
        arguments["y"] = rows["label"].to_numpy()
    if run.config.group:
        arguments["groups"] = rows["group_id"].to_numpy()
    if "texts" in needs and run.kind == "text":
        arguments["X"] = texts_of(run, frame["problem"].is_null().to_numpy(), stream)
    elif needs & {"texts", "vectors"}:
        arguments["X"] = load_vectors(run, vectors)
    if "target" in needs and run.config.target:
        arguments["target"] = target_of(run, vectors, needs)
    if "graph" in needs:
        arguments["graph"] = load_graph(run, graph, mapped=True, ids=rows["sample_id"])
    return arguments


def score(
    run: Run,
    method: str,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    streams: dict[str, Ref],
    parts: Sequence[Ref] = (),
) -> Ref:
    """Compute one score for every usable row; `parts` are the shards that were weighed, if any."""
    if method in run.config.expressions:
        return _expression(run, method, samples, vectors)
    entry = registry.entry(method, "scorer")
    ref = score_ref(run, method, vectors, graph)

    def make(out: Path) -> None:
        with step(f"score {method}", None):
            scorer = scorer_of(run, method)
            if parts:
                scores = scorer.combined(_weights(run, parts))
            else:
                stream = streams.get(method)
                scorer.fit(**inputs(run, entry, samples, vectors, graph, stream))
                scores = scorer.scores_
                if scorer.reported:
                    metrics = {name: scorer.report_[name] for name in scorer.reported}
                    write_report(out / "report.json", metrics)
                if "log" in entry.needs:
                    logger.info("%s: the training log is %s", method, scorer.report_["log"])
            np.save(out / "scores.npy", np.asarray(scores, dtype=np.float64))

    return make_stage(run, SCORE, ref, make, method)


def score_ref(run: Run, method: str, vectors: Ref, graph: Ref) -> Ref:
    """Return where a score of the registry is or will be."""
    entry = registry.entry(method, "scorer")
    made_of = {
        "labels": run.labels_fingerprint or run.config.label,
        "target": run.target_fingerprint,
        "graph": graph,
        "log": run.log_fingerprint,
        "seeds": run.config.like,
    }
    of = [made_of.get(need) for need in (*entry.needs, *entry.uses)]
    made_by: list[Any] = [entry.package] if entry.package else []
    made_by += [options] if (options := run.config.score_options.get(method)) else []
    made_by += ["seeded"] if run.config.seed and _is_seeded(entry) else []
    address = fingerprint(SCORE.revision, method, vectors, of, run.config.seed, *made_by)
    return Ref("scores", address)


def scorer_of(run: Run, method: str) -> Any:
    """Return a scorer of the registry with its parameters, the log or the seeds among them."""
    entry = registry.entry(method, "scorer")
    needs = entry.needs
    parameters: dict[str, Any] = dict(run.config.score_options.get(method, {}))
    if _is_seeded(entry):
        parameters.setdefault("random_state", run.config.seed)
    if "log" in needs:
        parameters["log"] = read_table(str(run.config.training_log))
    if "seeds" in needs:
        parameters["seeds"] = run.config.like
    return registry.get(method, "scorer")(**parameters)


def _is_seeded(entry: registry.Entry) -> bool:
    return "random_state" in registry.parameter_defaults(entry.load())


def _weights(run: Run, parts: Sequence[Ref]) -> list[Any]:
    """Return what every shard was weighed as."""
    from assay.selection.algorithms.density_ratio import Components

    parts_weighed = []
    for part in parts:
        at = folder(run, part)
        presence = at / "presence.npy"
        presence_weights = np.load(presence) if presence.is_file() else None
        parts_weighed.append(Components(np.load(at / "backoff.npy"), presence_weights))
    return parts_weighed


def _expression(run: Run, name: str, samples: Ref, vectors: Ref) -> Ref:
    """Compute a score of the user's own, an SQL expression over the columns."""
    expression = run.config.expressions[name]
    made_of = (run.pool_fingerprint, samples, vectors, expression, *run.labels_made_of)
    ref = Ref("scores", fingerprint(SCORE.revision, RULES_REVISION, "expression", *made_of))

    def make(out: Path) -> None:
        with step(f"score {name}", None):
            frame = load_rows(run, samples, vectors)
            named = columns_of_expressions(run.config, run.read_pool().columns).own
            facts = facts_of(frame)
            own = columns_of(run, frame, named)
            values = numbers(own, expression, ours=facts, what=f"score {name}")
            np.save(out / "scores.npy", values)

    return make_stage(run, SCORE, ref, make, name)


def points_easier(run: Run, method: str) -> bool:
    """Return whether a high score means an easy row; the user's own mean what they are used as."""
    if method in run.config.expressions:
        return False
    return registry.entry(method, "scorer").points == "easier"


def load_report(run: Run, ref: Ref) -> dict[str, Any]:
    """Return what the scorer reports besides the scores; most report nothing."""
    path = folder(run, ref) / "report.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def load_scores(run: Run, ref: Ref) -> np.ndarray:
    """Return one score of every usable row, in its file."""
    scores: np.ndarray = open_mapped(folder(run, ref) / "scores.npy")
    return scores
