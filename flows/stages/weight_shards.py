"""Importance scores, spread: what texts are weighed by is fitted once, and each shard is weighed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from assay.flows.progress import step
from assay.flows.stages.artifacts import folder, has_content, make_stage
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.scoring import inputs, score_ref, scorer_of
from assay.flows.stages.sharding import Work, is_made, save_all, shard, shard_count
from assay.flows.stages.stage import SCORE
from assay.selection import registry
from assay.storage.hashing.fingerprints import fingerprint


def weighed(run: Run) -> list[str]:
    """Return the scores that weigh texts by their n-grams."""
    own = [name for name in run.scores if name not in run.config.expressions]
    return [name for name in own if name != run.select and registry.entry(name, "scorer").by_shards]


def fit_ratio(
    run: Run, method: str, samples: Ref, vectors: Ref, graph: Ref, streams: dict[str, Ref]
) -> Work | None:
    """Fit what texts are weighed by; None where one shard holds them all, or the scores are there."""
    target = score_ref(run, method, vectors, graph)
    rows = int(has_content(run, samples).sum())
    if method not in streams or shard_count(run, rows) < 2:
        return None
    if run.store.artifacts.intact(*target):
        return None
    ref = Ref("score_part", fingerprint(target, "ratio"))

    def make(out: Path) -> None:
        with step(f"score {method}: fit", None):
            entry = registry.entry(method, "scorer")
            arguments = inputs(run, entry, samples, vectors, graph, streams[method])
            ratio = scorer_of(run, method).ratio(
                arguments["X"], arguments["target"], arguments["ids"]
            )
            arrays = {"log_ratio": ratio.log_ratio, "means": ratio.means}
            if ratio.presence is not None:
                arrays["presence"] = ratio.presence
            save_all(out, **arrays)
            facts = {"shrinkage": ratio.shrinkage, "summed": ratio.summed}
            (out / "facts.json").write_text(json.dumps(facts))

    make_stage(run, SCORE, ref, make, method)
    return Work(target, ref, shard_count(run, rows))


def weigh(run: Run, work: Work, place: int, method: str, samples: Ref, stream: Any) -> Ref:
    """Weigh the texts of a shard."""
    from assay.index.ngrams.stream import BucketStream
    from assay.selection.algorithms.density_ratio import DensityRatio, weigh_rows

    ref = Ref("score_part", fingerprint(work.target, place, run.config.shard_rows))
    if is_made(run, work.target):
        return ref

    def make(out: Path) -> None:
        keys_folder = folder(run, work.keys)
        facts = json.loads((keys_folder / "facts.json").read_text())
        presence = keys_folder / "presence.npy"
        ratio = DensityRatio(
            np.load(keys_folder / "log_ratio.npy"),
            np.load(keys_folder / "means.npy"),
            facts["shrinkage"],
            facts["summed"],
            np.load(presence) if presence.is_file() else None,
        )
        rows = np.flatnonzero(has_content(run, samples))
        with step(f"score {method} {place + 1}/{work.shards}", None):
            whole = BucketStream.load(folder(run, stream[method]))
            components = weigh_rows(whole, rows[shard(run, place, len(rows))], ratio)
            save_all(out, **{k: v for k, v in components._asdict().items() if v is not None})

    return make_stage(run, SCORE, ref, make, f"{method} {place + 1}/{work.shards}")
