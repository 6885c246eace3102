"""The pipeline, composed once; who calls it decides how a stage is run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from assay.flows import embedding, persisting, scoring, selecting, stages
from assay.flows.plans import Plan

Call = Callable[..., Any]


def directly(stage: Callable[..., Any], *args: Any) -> Any:
    """Run a stage in this thread."""
    return stage(*args)


def compose(plan: Plan, started_at: datetime, call: Call = directly) -> Any:
    """Run read -> embed -> graph -> index -> score -> select -> judge -> persist -> publish.

    The index follows the graph because it takes over the graph's centroids.

    Parameters
    ----------
    plan : Plan
        What to do.
    started_at : datetime
        When the run began.
    call : callable
        `call(stage, *args)` runs a stage, or submits it and returns a future; futures are handed
        on as arguments as they are.
    """
    samples = call(stages.read, plan, started_at)
    vectors = call(embedding.embed, plan, samples)
    graph = call(stages.graph, plan, samples, vectors)
    index = call(stages.index, plan, samples, vectors, graph)
    scores = {
        method: call(scoring.score, plan, method, samples, vectors, graph)
        for method in plan.scores
        # a selector that is its own scorer gives its scores with the selection
        if method != plan.select
    }
    selection = call(selecting.select, plan, samples, vectors, graph, scores)
    ledger = call(selecting.judge, plan, samples, vectors, graph, selection)
    made = (samples, vectors, graph, index, scores, selection, ledger)
    run = call(persisting.persist, plan, started_at, *made)
    return call(persisting.publish, plan, run)


def finished(last: Any) -> Any:
    """Wait for the last stage where it is a future, and return what it gave."""
    return last.result() if hasattr(last, "result") else last
