"""The pipelines, composed once; who calls one decides how a stage is run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from assay.flows.progress import logger
from assay.flows.stages import drift, neighbor_shards, stage, weight_shards
from assay.flows.stages.calls import Call, directly
from assay.flows.stages.features import FeatureRun
from assay.flows.stages.refs import Outputs
from assay.flows.stages.run import Run, refitted
from assay.flows.stages.sharding import Work, is_sharded, spread


def compose(run: Run, started_at: datetime, call: Call = directly) -> Run | None:
    """Run the stages of a curation run, and wait for the last.

    read -> compare -> fit -> embed -> link -> graph -> index -> hash -> score -> select -> judge -> persist
    -> publish. The index follows the graph because it takes over the graph's centroids.

    Parameters
    ----------
    run : Run
        What to do.
    started_at : datetime
        When the run began.
    call : Call
        Runs a stage, or submits it and returns a future; futures are handed on as arguments.

    Returns
    -------
    Run or None
        None when the run is finished. If the pool has drifted too far from what its generation was
        fitted on, only vectors were made, and this is the run to execute instead.
    """
    samples = call(stage.READ, run, started_at)
    changes = call(stage.COMPARE, run, samples)
    model = call(stage.FIT, run, samples)
    encoding, hashing = _split(run, call, samples, changes)
    parts = spread(call, stage.ENCODE, run, encoding, samples, model)
    vectors = call(stage.EMBED, run, samples, changes, model, parts)
    drifted = call(stage.DRIFT, run, samples, vectors)
    if run.fits and run.frozen:
        distance = drift.load_drift(run, call.finished(drifted))
        if distance > run.config.drift_limit:
            logger.warning(
                "the pool has drifted by %.2f from what generation %s was fitted on, more than "
                "%.2f: a new generation begins",
                distance,
                run.generation,
                run.config.drift_limit,
            )
            return refitted(run)
    encoded = vectors
    if run.config.embedding.linking():
        vectors = call(stage.LINK, run, samples, encoded)
    hashed = {
        method: spread(call, stage.HASH_SHARD, run, work, samples, method)
        for method, work in hashing.items()
    }
    graph = _graph(run, call, samples, changes, vectors)
    index = call(stage.INDEX, run, samples, changes, vectors, graph)
    streams = call(stage.HASH, run, samples, changes, hashed)
    weights = _weights(run, call, samples, vectors, graph, streams)
    scores = {
        method: call(
            stage.SCORE.labeled(method),
            *(run, method, samples, vectors, graph, streams, weights.get(method, ())),
        )
        for method in run.scores
        # a selector that is its own scorer gives its scores with the selection
        if method != run.select
    }
    references: Any = {}
    if run.references:
        # selection opens them, so that they must be there
        (references,) = call.results([call(stage.REFER, run, *call.results([vectors]))])
    selection = call(stage.SELECT, run, samples, vectors, graph, scores, streams, references)
    ledger = call(stage.JUDGE, run, samples, vectors, graph, selection)
    outputs = Outputs(
        samples, vectors, graph, index, scores, streams, selection, ledger, changes, drifted,
        references, encoded,
    )  # fmt: skip
    if is_sharded(run):
        call(stage.SWEEP, run, outputs)
    run_id = call(stage.PERSIST, run, started_at, outputs)
    call.finished(call(stage.PUBLISH, run, run_id))
    return None


def compose_ranking(run: FeatureRun, started_at: datetime, call: Call = directly) -> None:
    """Run the stages of a run that ranks columns, and wait for the last; see `compose`."""
    refs = {
        method: call(stage.FEATURES.labeled(method), run, method, started_at)
        for method in run.config.methods
    }
    # after the methods, which find what is wrong with the table
    quality = call(stage.QUALITY, run, refs)
    run_id = call(stage.FEATURE_PERSIST, run, started_at, refs, quality)
    call.finished(call(stage.FEATURE_PUBLISH, run, run_id))


def _split(run: Run, call: Call, samples: Any, changes: Any) -> tuple[Work | None, dict[str, Work]]:
    """Return the shards of what must be encoded, and of what must be hashed, by method."""
    if not is_sharded(run):
        return None, {}
    encoding, hashing = call.results(
        [
            call(stage.SPLIT_CONTENTS, run, samples, changes),
            call(stage.SPLIT_TEXTS, run, samples, changes),
        ]
    )
    return encoding, hashing


def _graph(run: Run, call: Call, samples: Any, changes: Any, vectors: Any) -> Any:
    """Make the graph; search its neighbors in shards where there are several."""
    if is_sharded(run):
        refs = call.results([samples, changes, vectors])
        (search,) = call.results([call(stage.BEGIN_SEARCH, run, *refs)])
        if search is not None:
            result = neighbor_shards.run_search(call, run, search, refs[-1])
            return call(stage.COLLECT, run, *refs, result)
    return call(stage.GRAPH, run, samples, changes, vectors)


def _weights(
    run: Run, call: Call, samples: Any, vectors: Any, graph: Any, streams: Any
) -> dict[str, tuple[Any, ...]]:
    """Weigh the texts in shards where there are several, for the scores that do so."""
    names = weight_shards.weighed(run) if is_sharded(run) else []
    if not names:
        return {}
    refs = call.results([samples, vectors, graph, streams])
    fitted = [call(stage.FIT_RATIO, run, name, *refs) for name in names]
    works = zip(names, call.results(fitted), strict=True)
    return {
        name: spread(call, stage.WEIGH, run, work, name, refs[0], refs[-1]) for name, work in works
    }
