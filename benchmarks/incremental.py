"""What a night costs: a full run, one with 1% new rows, and one with 1% replaced and all reordered.

    OMP_NUM_THREADS=1 python benchmarks/incremental.py [--rows 20000 100000 1000000] [--model 5]

With `--model`, vectors come from a stand-in for a model that takes so many milliseconds of CPU a
text; that report is a file of its own. CPU seconds by stage, imports and compilation left out (a
small pool is run through both ways first). Then what an update is worth: recall of the updated graph
and of one built anew of the same vectors, and the rank correlation of the scores on both.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common.report import table, write
from scale import made_of_halves
from scipy.stats import spearmanr

from assay.flows.config.curation import CurationConfig
from assay.flows.running import runner
from assay.flows.stages.calls import Direct
from assay.flows.stages.run import resolve_run
from assay.flows.stages.stage import Stage
from assay.index import SimilarityGraph
from assay.index.embedding import embedders
from assay.index.embedding.text import HashedTextEmbedder
from assay.index.knn.nearest_neighbors import NearestNeighbors
from assay.index.knn.updates import measured_recall
from assay.selection import registry

# what an update does not compute anew
UPDATED = ("fit", "embed", "graph", "index")
COMMAND = (
    "`{threads}python benchmarks/incremental.py --rows {rows}{model}`: CPU seconds of one process on "
    "2 shared cores. Documents made of halves of real ones, default methods, a tenth chosen."
)
SCORES = ("pagerank", "knn_density")
# texts that the stand-in for a model is fitted on
FITTED_ON = 2_000


class SlowModel:
    """A stand-in for a model: the vectors of our own embedder, and so many milliseconds a text."""

    fingerprint = "5" * 32
    inner: HashedTextEmbedder
    milliseconds = 5.0

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return vectors, not before the texts' time is spent."""
        until = time.process_time() + self.milliseconds / 1_000 * len(texts)
        vectors = self.inner.encode(texts)
        while time.process_time() < until:
            pass
        return vectors


def command(sizes: Sequence[int], model: float | None) -> str:
    """Return the command of the report, with the threads that it was given."""
    named = "" if model is None else f" --model {model:g}"
    given = os.environ.get("OMP_NUM_THREADS")
    threads = f"OMP_NUM_THREADS={given} " if given else ""
    return COMMAND.format(threads=threads, rows=" ".join(map(str, sizes)), model=named)


def cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def night(frame: pl.DataFrame, folder: Path, **more: Any) -> tuple[dict[str, float], Any]:
    """Run over a pool; return the CPU seconds of each stage, and the result."""
    frame.write_parquet(folder / "pool.parquet")
    spent: dict[str, float] = {}

    class Meter(Direct):
        def __call__(self, stage: Stage, *args: Any) -> Any:
            began = cpu()
            result = stage(*args)
            spent[stage.name] = spent.get(stage.name, 0.0) + cpu() - began
            return result

    began = cpu()
    given = {"pool": str(folder / "pool.parquet"), "id": "id", "text": "text", "budget": 0.1}
    run = resolve_run(CurationConfig.build(given | {"store": str(folder / "store")} | more))
    spent["plan"] = cpu() - began
    result = runner.execute(run, Meter())
    spent["all"] = cpu() - began
    return spent, result


def replaced(frame: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the pool with `count` rows gone and as many new, in another order."""
    new = frame.head(count).with_columns(
        id=pl.lit("n") + pl.col("id").cast(pl.String), text=pl.col("text").str.reverse()
    )
    kept = frame.tail(-count).with_columns(pl.col("id").cast(pl.String))
    return pl.concat([kept, new]).sample(fraction=1, shuffle=True, seed=1)


def artifact(result: Any, stage: str) -> Path:
    """Return the folder of what a stage of the run made."""
    (ref,) = result.sql(
        f"SELECT kind, fingerprint FROM artifacts WHERE run_id = '{result.run_id}' "
        f"AND stage = '{stage}'"
    ).rows()
    return Path(result.store.artifacts.open(*ref))


def beside_a_rebuild(result: Any) -> str:
    """Compare the run's graph, and its scores, with one built anew of the same vectors."""
    X = np.load(artifact(result, "embed") / "vectors.npy")
    ids = result.sql(
        f"SELECT sample_id FROM samples WHERE run_id = '{result.run_id}' ORDER BY source, row"
    )["sample_id"]
    updated = SimilarityGraph.load(artifact(result, "graph"))
    rebuilt = SimilarityGraph.from_vectors(X, ids=ids)
    named = pl.Series(ids)
    recalls, scores = [], []
    for graph in (updated, rebuilt):
        lists = NearestNeighbors(
            graph.neighbors, graph.distances(), graph.centroids_, graph.report_, graph.cells_
        )
        recalls.append(measured_recall(X, named, lists, metric="cosine"))
        made = [registry.get(name, "scorer")() for name in SCORES]
        scores.append([scorer.fit(X, graph=graph, ids=ids).scores_ for scorer in made])
    ranks = [spearmanr(a, b).statistic for a, b in zip(*scores, strict=True)]
    told = ", ".join(f"{name} {rank:.4f}" for name, rank in zip(SCORES, ranks, strict=True))
    return (
        f"Graph after two updates: recall {recalls[0]:.3f}; built anew of the same vectors "
        f"{recalls[1]:.3f} (on the same 200 rows). Rank correlation of the scores on both: {told}."
    )


def measured(rows: int, folder: Path, model: float | None) -> tuple[str, dict[str, float]]:
    """Run the nights of a pool of so many rows; return what they cost, in words and as shares."""
    made_of_halves(rows, folder / "all.parquet")
    pool = pl.read_parquet(folder / "all.parquet").with_columns(pl.col("id").cast(pl.String))
    one = rows // 100
    more: dict[str, Any] = {}
    if model is not None:
        SlowModel.inner = HashedTextEmbedder().fit(pool["text"].head(FITTED_ON))
        SlowModel.milliseconds = model
        more["embedding"] = {"name": "onnx"}
    full, _ = night(pool.tail(-one), folder, **more)
    grown, _ = night(pool, folder, **more)
    changed, updated = night(replaced(pool, one), folder, **more)
    lines = []
    for name in full:
        share = f"{grown[name] / full[name]:.2f}" if full[name] > 0.02 else "-"
        lines.append([name, *(f"{spent[name]:.2f}" for spent in (full, grown, changed)), share])
    text = table(["stage", "full run", "1% new", "1% replaced, reordered", "1% new : full"], lines)
    text += f"\n\n{beside_a_rebuild(updated)}"
    shares = {
        "all": grown["all"] / full["all"],
        "updated": sum(grown[s] for s in UPDATED) / sum(full[s] for s in UPDATED),
    }
    return text, shares


def section(sizes: Sequence[int] = (20_000,), model: float | None = None) -> str:
    """Return the report."""
    aim = 0.15 if model is None else 0.05
    if model is not None:
        embedders.EMBEDDERS = {**embedders.EMBEDDERS, "onnx": f"{SlowModel.__module__}:SlowModel"}
    folder = Path(tempfile.mkdtemp(prefix="assay-nights-"))
    try:
        (folder / "warm").mkdir()
        measured(3_000, folder / "warm", None)
        told = ["## A night with 1% new rows", command(sizes, model)]
        for rows in sizes:
            at = folder / str(rows)
            at.mkdir()
            text, shares = measured(rows, at, model)
            goal = "met" if shares["all"] <= aim else "not met"
            told += [
                f"### {rows:,} rows",
                text,
                f"A night with 1% new rows costs {shares['all']:.0%} of a full run (aim: at most "
                f"{aim:.0%}, {goal}); what is updated (embedder, vectors, graph, index) "
                f"{shares['updated']:.0%} of making it.",
            ]
            shutil.rmtree(at)
        return "\n\n".join(told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--model", type=float, help="milliseconds a text that a model takes")
    given = parser.parse_args()
    text = section(given.rows, given.model).replace("## ", "# ") + "\n"
    if given.model is None:
        write("incremental.md", text)
    else:
        took = f"A stand-in for a model takes {given.model:g} ms of CPU a text."
        write("incremental_model.md", text.replace("CPU seconds of", f"{took} CPU seconds of", 1))


if __name__ == "__main__":
    main()
