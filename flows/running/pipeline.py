"""The pipeline, composed once; who calls it decides how a stage is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from assay.flows.progress import logger
from assay.flows.stages import artifacts as stages
from assay.flows.stages import (
    changes,
    contents,
    drift,
    embedding,
    graphs,
    persisting,
    scoring,
    selecting,
)
from assay.flows.stages import neighbor_shards as neighbors
from assay.flows.stages import weight_shards as weighing
from assay.flows.stages.plan import Plan, refitted
from assay.flows.stages.sharding import Work, is_sharded, spread, sweep

Call = Callable[..., Any]


def directly(stage: Callable[..., Any], *args: Any) -> Any:
    """Run a stage in this thread."""
    return stage(*args)


def compose(plan: Plan, started_at: datetime, call: Call = directly) -> Plan | None:
    """Run the stages of a plan, and wait for the last.

    read -> compare -> fit -> embed -> graph -> index -> hash -> score -> select -> judge -> persist
    -> publish. The index follows the graph because it takes over the graph's centroids.

    Parameters
    ----------
    plan : Plan
        What to do.
    started_at : datetime
        When the run began.
    call : callable
        `call(stage, *args)` runs a stage, or submits it and returns a future; futures are handed
        on as arguments as they are.

    Returns
    -------
    Plan or None
        None when the run is finished. Where the pool has drifted too far from what its generation
        was fitted on, nothing but vectors was made, and this is the plan to run in its place.
    """
    samples = call(stages.read, plan, started_at)
    compared = call(changes.compare, plan, samples)
    model = call(embedding.fit, plan, samples)
    encoding, hashing = _cut(plan, call, samples, compared)
    encoded = spread(call, embedding.encode, plan, encoding, samples, model)
    vectors = call(embedding.embed, plan, samples, compared, model, encoded)
    drifted = call(drift.measure, plan, samples, vectors)
    if plan.fits and plan.frozen:
        distance = drift.load_drift(plan, finished(drifted, call))
        if distance > plan.config.drift_limit:
            logger.warning(
                "the pool has drifted by %.2f from what generation %s was fitted on, more than "
                "%.2f: a new generation begins",
                distance,
                plan.generation,
                plan.config.drift_limit,
            )
            return refitted(plan)
    hashed = {
        method: spread(call, contents.hash_shard, plan, work, samples, method)
        for method, work in hashing.items()
    }
    graph = _graph(plan, call, samples, compared, vectors)
    index = call(graphs.index, plan, samples, compared, vectors, graph)
    streams = call(contents.hash_texts, plan, samples, compared, hashed)
    weights = _weights(plan, call, samples, vectors, graph, streams)
    scores = {
        method: call(
            scoring.score, plan, method, samples, vectors, graph, streams, weights.get(method, ())
        )
        for method in plan.scores
        # a selector that is its own scorer gives its scores with the selection
        if method != plan.select
    }
    selection = call(selecting.select, plan, samples, vectors, graph, scores, streams)
    ledger = call(selecting.judge, plan, samples, vectors, graph, selection)
    made = (samples, vectors, graph, index, scores, streams, selection, ledger)
    if is_sharded(plan):
        call(sweep, plan, *made)
    run = call(persisting.persist, plan, started_at, *made, compared, drifted)
    finished(call(persisting.publish, plan, run), call)
    return None


def _cut(
    plan: Plan, call: Call, samples: Any, compared: Any
) -> tuple[Work | None, dict[str, Work]]:
    """Return the shards of what must be encoded, and of what must be hashed, by method."""
    if not is_sharded(plan):
        return None, {}
    works = [
        call(embedding.split, plan, samples, compared),
        call(contents.split_texts, plan, samples, compared),
    ]
    encoding, hashing = results(works, call)
    return encoding, hashing


def _graph(plan: Plan, call: Call, samples: Any, compared: Any, vectors: Any) -> Any:
    """Make the graph, its neighbours searched in shards where there are several."""
    if is_sharded(plan):
        wait = partial(results, call=call)
        given = wait([samples, compared, vectors])
        (seeking,) = wait([call(neighbors.begin, plan, *given)])
        if seeking is not None:
            sought = neighbors.seek(call, wait, plan, seeking, given[-1])
            return call(neighbors.graph, plan, *given, sought)
    return call(graphs.graph, plan, samples, compared, vectors)


def _weights(
    plan: Plan, call: Call, samples: Any, vectors: Any, graph: Any, streams: Any
) -> dict[str, tuple[Any, ...]]:
    """Weigh the texts in shards where there are several, for the scores that do so."""
    names = weighing.weighed(plan) if is_sharded(plan) else []
    if not names:
        return {}
    given = results([samples, vectors, graph, streams], call)
    fitted = [call(weighing.fit_ratio, plan, name, *given) for name in names]
    works = zip(names, results(fitted, call), strict=True)
    return {
        name: spread(call, weighing.weigh, plan, work, name, given[0], given[-1])
        for name, work in works
    }


def finished(last: Any, call: Call = directly) -> Any:
    """Wait for the last stage where `call` submits stages, and return what it gave."""
    return call.finished(last) if hasattr(call, "finished") else last


def results(submitted: Sequence[Any], call: Call = directly) -> list[Any]:
    """Wait for some stages where `call` submits stages, and return what they gave."""
    return call.results(submitted) if hasattr(call, "results") else list(submitted)
