"""The stages that select and that judge: a run, one decision for every row, and a ledger."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.config.fields import best_share
from assay.flows.config.had import condition_of
from assay.flows.config.rules import (
    RULES_REVISION,
    columns_of_rules,
    counts_rules,
    known_columns,
    text_steps,
)
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    content_hashes,
    folder,
    has_content,
    load_graph,
    load_rows,
    load_vectors,
    make_stage,
    usable,
    usable_ids,
)
from assay.flows.stages.budget import asked_budget
from assay.flows.stages.contents import (
    columns_of,
    covered_ids,
    facts_of,
    target_of,
    target_vectors,
    texts_of,
    vectors_of,
)
from assay.flows.stages.references import load_references
from assay.flows.stages.refs import Ref, ReferenceRefs
from assay.flows.stages.run import Run, evaluation_sets
from assay.flows.stages.scoring import load_report, load_scores, points_easier
from assay.flows.stages.selections import previous_selection, replaced_selection, write_selection
from assay.flows.stages.sharding import own_threads
from assay.flows.stages.stage import JUDGE, SELECT
from assay.selection import registry
from assay.selection.algorithms.difficulty import cutoff_share
from assay.selection.contract.budgets import ShortfallWarning, resolve_budget
from assay.selection.plan.noise import SCORE as NOISE_WEIGHT
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.tables import read_table


def select(
    run: Run,
    samples: Ref,
    vectors: Ref,
    graph: Ref,
    scores: dict[str, Ref],
    streams: dict[str, Ref],
    references: dict[str, ReferenceRefs] = MappingProxyType({}),  # type: ignore[assignment]
) -> Ref:
    """Choose the rows, in order of preference, and decide for every row of the pool."""
    config = run.config
    rules = config.plan.model_dump(exclude_defaults=True)
    previous = previous_selection(run)
    ref = Ref(
        "selection",
        fingerprint(
            SELECT.revision,
            run.select,
            config.options,
            config.budget,
            samples,
            vectors,
            graph,
            # the rules may name any score and any column of the pool
            scores if rules else scores.get(str(config.difficulty)),
            run.pool_fingerprint if rules else None,
            run.evaluation,
            (RULES_REVISION, rules) if rules else rules,
            config.difficulty,
            run.target_fingerprint,
            config.seed,
            *([] if previous is None else [previous]),
            *([run.covered_fingerprint] if run.covered_fingerprint else []),
            *([("mixture", run.mixture_fingerprint)] if run.mixture_fingerprint else []),
            *([dict(references)] if references else []),
            *run.labels_made_of,
            *([config.label] if best_share(config.budget) is not None else []),
            *([run.plugins] if run.plugins else []),
        ),
    )

    def make(out: Path) -> None:
        # the rules may name any column
        frame = load_rows(run, samples, vectors, None if rules else _needed(run))
        rows = usable(frame)
        budget, curve = asked_budget(run, rows, vectors)
        plan, wanted = _plan(run, budget, frame.height, rows.height)
        if previous is not None:
            plan.set_params(previous=previous)
        if references:
            plan.set_params(reference=load_references(run, dict(references)))
        if run.config.plan.covered and condition_of(run.config.plan.covered) is None:
            plan.set_params(covered=covered_ids(run, frame))
        with step(f"select {run.select}", None) as progress, warnings.catch_warnings():
            # said over the whole pool
            warnings.simplefilter("ignore", ShortfallWarning)
            inputs = _given(run, frame, vectors, graph, scores, streams.get(run.select))
            plan.fit(**inputs, progress=progress.reached)
        if config.plan.weigh == "noise":
            plan.report_["noise"] = {"rate": load_report(run, scores[NOISE_WEIGHT])["noise"]}
        plan.report_ |= curve
        if wanted is not None:
            plan.report_["budget"] = wanted
            plan.report_["shortfall"] = wanted - plan.report_["selected"]
            mixture = plan.report_.get("mixture", {})
            short = [name for name, part in mixture.items() if part["shortfall"] > 0]
            if short:
                logger.warning(
                    "sources with too few rows for their share of the mixture: %s; %s rows of the "
                    "budget are not filled",
                    ", ".join(short),
                    f"{plan.report_['shortfall']:,}",
                )
            elif plan.report_["shortfall"]:
                logger.warning(
                    "the budget is %s rows, but only %s of the pool's %s are usable: all of them "
                    "are chosen",
                    f"{wanted:,}",
                    f"{plan.report_['selected']:,}",
                    f"{frame.height:,}",
                )
        leaks = _leaks(run, vectors, frame, plan.leaks_)
        del inputs
        write_selection(out, frame, rows, plan, leaks)

    return make_stage(run, SELECT, ref, make)


def _needed(run: Run) -> list[str]:
    """Return the columns of the samples that a selection without rules needs."""
    columns = ["sample_id", "problem"]
    columns += ["label"] if run.config.label or run.config.labels else []
    columns += ["group_id"] if run.config.group else []
    return columns


def _plan(run: Run, budget: int | float, n: int, n_usable: int) -> tuple[Any, int | None]:
    """Return the selection run, and the rows asked for (None where the budget is a cost)."""
    from assay.selection import SelectionPlan

    config = run.config
    own_form = {"deduplicate", "leakage", "leakage_neighbors", "leakage_words", "reference"}
    rules = config.plan.model_dump(exclude=own_form)
    learned = ("mixture_from_runs", "mixture_from_models")
    rules |= {name: read_table(rules[name]) for name in learned if rules[name] is not None}
    wanted = None if config.plan.cost else resolve_budget(budget, n)
    options = dict(config.options)
    if wanted is not None:
        # a selector sees plain scores, and not what they are
        share = min(wanted, n_usable) / n_usable
        auto = cutoff_share("auto", share, str(config.difficulty))
        if rules["cutoff"] == "auto":
            rules["cutoff"] = auto
        elif rules["cutoff"] is None and registry.entry(run.select, "selector").has_cutoff:
            options.setdefault("cutoff", auto)
    return SelectionPlan(
        **rules,
        budget=budget if wanted is None else min(wanted, n_usable),
        selector=run.select,
        options=options,
        deduplicate=config.plan.steps(),
        leakage=_evaluation(run),
        difficulty="difficulty" if config.difficulty else None,
        random_state=config.seed,
    ), wanted


def _evaluation(run: Run) -> dict[str, pl.DataFrame]:
    """Return the items of the evaluation sets, named by the hash of their content."""
    sets = evaluation_sets(run.config, run.kind)
    return {
        name: pl.DataFrame(
            {"item": items.samples()["sample_id"], "text": pl.Series(items.contents())}
        )
        for name, items in sets.items()
    }


def _given(
    run: Run,
    frame: pl.DataFrame,
    vectors: Ref,
    graph: Ref,
    scores: dict[str, Ref],
    stream: Ref | None,
) -> dict[str, Any]:
    """Return what the run is fitted on: the usable rows in every form that it may need."""
    config = run.config
    rows = usable(frame)
    entry = registry.entry(run.select, "selector")
    values = {name: load_scores(run, ref) for name, ref in scores.items()}
    if config.difficulty in values:
        own = values[config.difficulty]
        values["difficulty"] = -own if points_easier(run, config.difficulty) else own
    inputs: dict[str, Any] = {
        "X": load_vectors(run, vectors),
        "ids": rows["sample_id"],
        "graph": load_graph(run, graph, mapped=True, ids=rows["sample_id"]),
        "scores": values,
        "table": columns_of(run, frame, _named(run)),
        "samples": facts_of(frame) if frame.columns[1:] != _needed(run) else None,
    }
    if config.label:
        inputs["y"] = rows["label"].to_numpy()
    if config.group:
        inputs["groups"] = rows["group_id"].to_numpy()
    keep = frame["problem"].is_null().to_numpy()
    if run.kind == "text" and "texts" in entry.needs:
        inputs["stream"] = texts_of(run, keep, stream)
    reads_texts = text_steps(config.plan) or counts_rules(config, run.read_pool().columns)
    if run.kind == "text" and (run.evaluation or run.references or reads_texts):
        inputs["texts"] = run.read_pool().contents().filter(pa.array(keep))
    elif run.kind == "image" and (run.references or text_steps(config.plan)):
        from assay.index.threads import thread_count
        from assay.selection.contract.images import Images

        count = thread_count(own_threads(run))
        inputs["images"] = Images(run.read_pool().batches, np.flatnonzero(keep), count)
        if run.references:
            inputs["texts"] = inputs["images"].digests()
    if "target" in entry.needs or (config.target and "target" in entry.uses):
        inputs["target"] = target_of(run, vectors, entry.needs)
    if config.plan.mixture == "target":
        inputs["wanted"] = target_vectors(run, vectors)
    return inputs


def _named(run: Run) -> list[str]:
    pool = run.read_pool().columns
    return columns_of_rules(run.config.plan, known_columns(run.config, pool)).own


def _leaks(run: Run, vectors: Ref, frame: pl.DataFrame, leaks: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that hold items of evaluation sets, and those that lie next to one."""
    from assay.selection.steps.leakage import leak_neighbors

    plan, frames = run.config.plan, [leaks]
    rows = usable(frame)["sample_id"]

    def note(near: pl.DataFrame, name: str, names: pl.Series, kind: str) -> None:
        frames.append(
            near.select(
                "sample_id",
                evaluation_set=pl.lit(name),
                item=names.gather(near["item"]),
                span=pl.lit(None, dtype=pl.Int64),
                kind=pl.lit(kind),
            )
        )

    for name, items in evaluation_sets(run.config, run.kind).items():
        has_content = items.samples()["problem"].is_null()
        names = items.samples().filter(has_content)["sample_id"]
        if names.is_empty():
            continue
        if plan.leakage_neighbors is not None:
            X, others = load_vectors(run, vectors), vectors_of(run, vectors, items)
            near = leak_neighbors(X, others, threshold=plan.leakage_neighbors, ids=rows)
            note(near, name, names, "neighbor")
        if plan.leakage_words is not None and run.kind == "text":
            near = leak_neighbors(
                run.read_pool().contents().filter(pa.array(frame["problem"].is_null())),
                pl.Series(items.contents()).filter(has_content),
                kind="words",
                threshold=plan.leakage_words,
                ids=rows,
            )
            note(near, name, names, "words")
    return pl.concat(frames)


def judge(run: Run, samples: Ref, vectors: Ref, graph: Ref, selection: Ref) -> Ref:
    """Measure the selection beside random subsets of equal size."""
    # with labels it is also judged by what a model gets wrong that was right before
    replaced = replaced_selection(run) if run.config.label else []
    made_of = (selection, samples, vectors, graph, *([replaced] if replaced else []))
    ref = Ref("ledger", fingerprint(JUDGE.revision, *made_of))

    def make(out: Path) -> None:
        from assay.index.embedding.cache import number_contents
        from assay.selection.evaluation.ledger import evaluate_selection

        config = run.config
        # ids are those of the graph
        keys = np.flatnonzero(has_content(run, samples, vectors))
        named = [name for name in _needed(run) if name not in ("sample_id", "problem")]
        rows = pl.DataFrame()
        if named:
            rows = usable(load_rows(run, samples, vectors, _needed(run))).select(named)
        at = folder(run, selection)
        chosen = pl.read_parquet(at / "selections.parquet")
        place = np.searchsorted(keys, chosen["key"].to_numpy())
        kept = np.load(at / "kept.npy")
        covered = np.isin(keys, _had(run, at))
        target = target_vectors(run, vectors) if config.target else None
        with step("judge", None) as progress:
            evaluate_selection(
                place,
                X=load_vectors(run, vectors),
                graph=load_graph(run, graph, mapped=True),
                y=_labels(rows),
                groups=rows["group_id"].to_numpy() if config.group else None,
                cutoff_kept=None if kept.all() else kept,
                covered=covered if covered.any() else None,
                target=target,
                duplicates=number_contents(content_hashes(run, samples, keys))[1],
                weights=chosen["weight"].to_numpy(),
                previous=_places_of(run, samples, vectors, replaced),
                texts=_texts_at(run, keys) if run.kind == "text" else None,
                random_state=config.seed,
                intervals=True,
                progress=progress.reached,
            ).write_parquet(out / "ledger.parquet")

    return make_stage(run, JUDGE, ref, make)


def _had(run: Run, selection: Path) -> np.ndarray:
    """Return the keys of the rows that were had already, as the decisions of a selection say."""
    had_for = ["covered", *(["in_reference"] if run.config.plan.reference_covers else [])]
    decided = pl.scan_parquet(selection / "decisions.parquet").select("key", "reason")
    had = decided.filter(pl.col("reason").is_in(had_for)).select("key")
    return had.collect(engine="streaming")["key"].to_numpy()


def _labels(rows: pl.DataFrame) -> np.ndarray | None:
    """Return the labels, None where no row has one."""
    return rows["label"].to_numpy() if "label" in rows.columns and rows["label"].count() else None


def _places_of(run: Run, samples: Ref, vectors: Ref, ids: list[str]) -> np.ndarray:
    """Return the places of some ids among the usable rows, ascending."""
    if not ids:
        return np.empty(0, np.int64)
    wanted = pl.Series(ids, dtype=pl.String).implode()
    return np.flatnonzero(usable_ids(run, samples, vectors).is_in(wanted))


def _texts_at(run: Run, keys: np.ndarray) -> Callable[[np.ndarray], Iterator[pl.Series]]:
    """Return what reads the texts of usable rows in parts, so that no others are held."""
    pool = run.read_pool()
    return lambda rows: (pl.Series(part) for part in pool.content_parts_at(keys[rows]))


def load_ledger(run: Run, ref: Ref) -> pl.DataFrame:
    """Return the measures of the selection."""
    return pl.read_parquet(folder(run, ref) / "ledger.parquet")


class Selection(NamedTuple):
    """What the stage that selects left: frames by key, the selector's own scores, its report."""

    chosen: pl.DataFrame
    decisions: pl.LazyFrame
    duplicates: pl.DataFrame
    leaks: pl.DataFrame
    scores: np.ndarray
    report: dict[str, Any]


def load_selection(run: Run, ref: Ref) -> Selection:
    """Return what the stage that selects left."""
    at = folder(run, ref)
    return Selection(
        pl.read_parquet(at / "selections.parquet"),
        pl.scan_parquet(at / "decisions.parquet"),
        pl.read_parquet(at / "duplicates.parquet"),
        pl.read_parquet(at / "leaks.parquet"),
        np.load(at / "scores.npy"),
        json.loads((at / "report.json").read_text()),
    )
