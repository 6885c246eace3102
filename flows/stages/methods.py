"""Which methods a run uses: those that are named, and for the rest what its inputs allow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.flows.config.curation import CurationConfig
from assay.flows.config.fields import best_share
from assay.flows.config.rules import check_options, check_score_options
from assay.selection import registry
from assay.selection.algorithms.contamination import DETECTORS
from assay.selection.plan.noise import SCORE as NOISE_WEIGHT
from assay.storage import Pool
from assay.storage.errors import ConfigError, InputError


def given_inputs(config: CurationConfig, pool: Pool) -> set[str]:
    """Return which inputs of methods the configuration and the pool give."""
    available = {"vectors", "graph"}
    if pool.kind == "text":
        available.add("texts")
    if config.label or config.labels:
        available.add("labels")
    if config.target:
        available.add("target")
    if config.difficulty:
        available.add("scores")
    if config.training_log:
        available.add("log")
    if config.like:
        available.add("seeds")
    if config.group:
        available.add("groups")
    return available


def _check_best(config: CurationConfig, available: set[str]) -> None:
    """Refuse a budget by a learning curve where none can be measured."""
    if best_share(config.budget) is None:
        return
    if "labels" not in available:
        raise ConfigError(
            f"The budget {config.budget!r} is read from a learning curve, which needs labels: name their "
            "column with --label, or give a count or a share."
        )
    if config.plan.cost is not None:
        raise ConfigError(
            f"The budget {config.budget!r} counts rows, and `cost` of the plan counts something else; "
            "leave one out."
        )


def decide_methods(config: CurationConfig, available: set[str]) -> dict[str, Any]:
    """Return the scores, the selector and the difficulty: those named, else by what there is.

    Raises
    ------
    ConfigError, ColumnError, InputError
        A method is unknown, or needs what is not there.
    """
    _check_best(config, available)
    scores = config.scores
    if scores is None:
        wanted = (
            "importance",
            "like",
            "label_agreement",
            "self_confidence",
            "pagerank",
            "knn_density",
        )
        known = {entry.name: entry for entry in registry.entries("scorer")}
        scores = tuple(n for n in wanted if n in known and not known[n].lacks(available))
    select = config.select
    if select is None:
        known = {entry.name: entry for entry in registry.entries("selector")}
        order = []
        if "target" in available:
            order.append("importance")
        elif "seeds" in available:
            order.append("top")
        elif available & {"labels", "scores"}:
            order.append("ccs")
        else:
            order.append("stratified")
        # `top` takes the score `like`
        ready = available | ({"scores"} if "seeds" in available else set())
        select = next(n for n in order if n in known and not known[n].lacks(ready))
    difficulty = config.difficulty
    outliers = config.plan.cutoff == "contamination"
    if difficulty is None and select == "top" and "seeds" in available and not config.plan.blend:
        difficulty = "like"
    by_difficulty = registry.entry(select, "selector").has_difficulty
    cuts = config.plan.cutoff is not None and not outliers
    if difficulty is None and (by_difficulty or cuts):
        difficulty = "label_agreement" if "labels" in available else "knn_density"
    own = config.expressions
    scores = (*scores, *own, *config.plan.blend, *([difficulty] if difficulty else []))
    scores += (*(DETECTORS if outliers else ()), *(("like",) if config.like else ()))
    scores += (NOISE_WEIGHT,) if config.plan.weigh == "noise" else ()
    for name in (n for n in scores if n not in own):
        _check_needs(registry.entry(name, "scorer"), available)
    # a difficulty that was decided above counts as there
    scored = {"scores"} if difficulty or config.plan.blend else set()
    selector = registry.entry(select, "selector")
    check_options(selector, config.options, {"budget", "random_state"})
    ready = available | scored
    _check_needs(selector, ready, selector.load().lacks_under(config.options, ready))
    check_score_options(config, tuple(dict.fromkeys(scores)))
    return {"scores": tuple(dict.fromkeys(scores)), "select": select, "difficulty": difficulty}


def _check_needs(entry: registry.Entry, available: set[str], further: Sequence[str] = ()) -> None:
    how = {
        "texts": "a text column (--text)",
        "labels": "labels (--label)",
        "target": "a target (--target)",
        "scores": "a difficulty (--difficulty)",
        "log": "a log of training (--training-log)",
        "seeds": "ids of rows to be like (--like)",
        "groups": "a column of groups (--group)",
        "target or scores": "a target (--target) or a difficulty (--difficulty)",
    }
    missing = [how.get(need, need) for need in (*entry.lacks(available), *further)]
    if missing:
        raise InputError(f"{entry.kind} {entry.name!r} needs {' and '.join(missing)}.")
