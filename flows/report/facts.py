"""What the report shows of a curation run, read from the store."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.flows.report.contents import Contents
from assay.flows.report.galleries import Gallery, galleries
from assay.flows.report.rows import drift_ratios, row_payload, stored_graph
from assay.flows.report.shares import shares
from assay.storage import ScoreStore
from assay.storage.hashing.rows import hash_rows, smallest_rows
from assay.storage.runs.schema import NEWEST_FIRST

MAX_POINTS = 20_000
MAX_CHARACTERS = 2_000_000
MAX_GROUPS = 12
NIGHTS = 30
Bins = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass
class Facts:
    """Everything on the page, ready for the template.

    Attributes
    ----------
    run : dict
        The row of the view `runs`.
    reasons : DataFrame
        selected, stage, reason, n, example (an id), most first.
    points : DataFrame
        The rows on the map, at most `MAX_POINTS`.
    rows : dict
        What the page's script knows of the points; see `assay.flows.report.rows.row_payload`.
    n_rows : int
        Rows of the pool that have a place on the map.
    trend : DataFrame
        name, night (1 = the oldest), finished_at, value, baseline of the pool's newest runs.
    target : DataFrame
        set, p5, p25, p50, p75, p95 of the importance weights; no row without a target.
    drift : array or None
        How much more frequent rows like each point are than when the generation was fitted.
    """

    run: dict[str, Any]
    config: dict[str, Any]
    command: str
    reasons: pl.DataFrame
    points: pl.DataFrame
    rows: dict[str, Any]
    n_rows: int
    n_selected: int
    scores: list[str]
    histograms: dict[str, Bins]
    quantiles: pl.DataFrame
    ledger: pl.DataFrame
    trend: pl.DataFrame
    target: pl.DataFrame
    metrics: dict[str, float]
    groups: dict[str, pl.DataFrame]
    galleries: list[Gallery]
    drift: NDArray[Any] | None = None
    notes: list[str] = field(default_factory=list)


def curation_facts(
    store: ScoreStore,
    run: dict[str, Any],
    places: pl.DataFrame,
    *,
    max_points: int = MAX_POINTS,
) -> Facts:
    """Collect what the page shows of one curation run.

    Parameters
    ----------
    store : ScoreStore
    run : dict
        The run's row of the view `runs`.
    places : DataFrame
        sample_id, x, y of the run's map.
    max_points : int
        Rows on the map at most.
    """
    run_id = run["run_id"]
    config = json.loads(run["config"])
    rows, score_names = run_rows(store, run_id)
    rows = rows.join(places, on="sample_id", how="left", maintain_order="left")
    points, notes = sample_points(rows, max_points)
    contents = Contents(store, run)
    excerpt_length = max(40, min(160, MAX_CHARACTERS // max(points.height, 1)))
    # chosen rows are drawn last, above the others
    points = points.sort("selected", "key")
    points = points.with_columns(excerpt=contents.excerpts(points["key"], excerpt_length))
    if contents.problem:
        notes.append(contents.problem)
    graph = stored_graph(store, run_id)
    metrics = dict(
        store.run_table(
            run_id, "SELECT name, value FROM metrics WHERE value IS NOT NULL"
        ).iter_rows()
    )
    ledger = store.run_table(run_id, "FROM ledger").join(
        # by the view: run files of earlier versions have no such table
        store.trusted_sql("SELECT * EXCLUDE (run_id) FROM intervals", runs=[run_id]),
        on="name",
        how="left",
        maintain_order="left",
    )
    return Facts(
        run=run,
        config=config,
        command=_command(config),
        reasons=_reasons(store, run_id),
        points=points,
        rows=row_payload(store, run_id, rows, points, score_names, contents),
        n_rows=int(rows["x"].is_not_null().sum()),
        n_selected=int(rows["selected"].sum()),
        scores=score_names,
        histograms=_histograms(rows, score_names),
        quantiles=_quantiles(rows, score_names),
        ledger=ledger,
        trend=_trend(store, run["pool"], ledger["name"].to_list()),
        target=_target(metrics),
        metrics=metrics,
        groups=run_groups(store, run_id, config, rows),
        galleries=galleries(store, run_id, rows, score_names, contents, graph),
        drift=drift_ratios(store, run_id, points) if metrics.get("drift") else None,
        notes=notes,
    )


def run_rows(store: ScoreStore, run_id: str) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows of a run with their decisions and scores, and the scores' names."""
    rows = store.run_table(
        run_id,
        "SELECT s.key, s.sample_id, s.label, s.group_id, d.selected, d.stage, d.reason, "
        "d.detail::VARCHAR AS detail, c.position, c.weight FROM samples s JOIN decisions d "
        "USING (key) LEFT JOIN selections c USING (key) ORDER BY s.key",
    )
    long = store.run_table(run_id, "SELECT key, method, score FROM scores ORDER BY method, key")
    if long.is_empty():
        return rows, []
    wide = long.pivot("method", index="key", values="score")
    names = [name for name in wide.columns if name != "key"]
    return rows.join(wide, on="key", how="left", maintain_order="left"), names


def _reasons(store: ScoreStore, run_id: str) -> pl.DataFrame:
    return store.run_table(
        run_id,
        "SELECT selected, stage, reason, count(*) AS n, min(sample_id) AS example "
        "FROM decisions JOIN samples USING (key) GROUP BY ALL ORDER BY selected DESC, n DESC, "
        "stage, reason",
    )


def sample_points(
    rows: pl.DataFrame, max_points: int = MAX_POINTS
) -> tuple[pl.DataFrame, list[str]]:
    """Return the rows to draw: all, or as many chosen and left-out rows as the page can hold."""
    placed = rows.filter(pl.col("x").is_not_null())
    if placed.height <= max_points:
        return placed, []
    order = smallest_rows(hash_rows(placed["sample_id"]), placed.height)
    chosen = placed["selected"].to_numpy()[order]
    half = max_points // 2
    kept_chosen = order[chosen][: max(half, max_points - int((~chosen).sum()))]
    kept_left = order[~chosen][: max_points - len(kept_chosen)]
    kept = np.sort(np.concatenate([kept_chosen, kept_left]))
    note = (
        f"The map shows {len(kept):,} of {placed.height:,} rows: {len(kept_chosen):,} of "
        f"{int(chosen.sum()):,} chosen and {len(kept_left):,} of {int((~chosen).sum()):,} left "
        "out, sampled by a hash of their ids. Every other figure counts all rows."
    )
    return placed[kept], [note]


def _histograms(rows: pl.DataFrame, scores: list[str]) -> dict[str, Bins]:
    """Return, by score, the shares of all rows and of the chosen ones, and the bins' edges."""
    histograms = {}
    chosen = rows["selected"].to_numpy()
    for name in scores:
        values = rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        finite = np.isfinite(values)
        if not finite.any():
            continue
        edges = np.histogram_bin_edges(values[finite], bins=40)
        everything, _ = np.histogram(values[finite], edges)
        kept, _ = np.histogram(values[finite & chosen], edges)
        histograms[name] = (
            everything / max(everything.sum(), 1),
            kept / max(kept.sum(), 1),
            edges,
        )
    return histograms


def _quantiles(rows: pl.DataFrame, scores: list[str]) -> pl.DataFrame:
    """Return name, set, p5, p50, p95 of every score over all rows and over the chosen ones."""
    parts = [
        part.select(
            name=pl.lit(name),
            set=pl.lit(title),
            **{f"p{q}": pl.col(name).cast(pl.Float64).quantile(q / 100) for q in (5, 50, 95)},
        )
        for name in scores
        for title, part in (("all rows", rows), ("chosen", rows.filter("selected")))
    ]
    return pl.concat(parts) if parts else pl.DataFrame()


def run_groups(
    store: ScoreStore, run_id: str, config: dict[str, Any], rows: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Return the shares before and after by label, group and each kept column of few values."""
    named = {"label": "label", "group": "group_id"}
    columns = [(title, name) for title, name in named.items() if rows[name].is_not_null().any()]
    columns += [(name, name) for name in config["keep"]]
    groups = {}
    for title, name in columns:
        frame = shares(store, run_id, name)
        if 1 < frame.height <= 1_000:
            frame = frame.rename({frame.columns[0]: "value"})
            text = pl.col("value").cast(pl.String).fill_null("(none)").str.slice(0, 40)
            groups[title] = frame.with_columns(text).sort("pool", "value", descending=[True, False])
    return groups


def _trend(store: ScoreStore, pool: str, names: list[str]) -> pl.DataFrame:
    """Return the ledger of the pool's newest runs, the oldest first."""
    empty = pl.DataFrame(
        schema={"name": pl.String, "night": pl.Int64, "value": pl.Float64, "baseline": pl.Float64}
    )
    runs = store.trusted_sql(
        "SELECT run_id, pool, finished_at FROM runs WHERE kind = 'curate' AND status = 'done' "
        f"ORDER BY {NEWEST_FIRST}"
    ).filter(pl.col("pool") == pool)
    nights = runs.head(NIGHTS).reverse().with_row_index("night", offset=1)
    if nights.height < 2 or not names:
        return empty
    ledger = store.trusted_sql(
        "SELECT run_id, name, value, baseline FROM ledger", runs=nights["run_id"].to_list()
    )
    return (
        ledger.filter(pl.col("name").is_in(names) & pl.col("value").is_finite())
        .join(nights.select("run_id", "night", "finished_at"), on="run_id")
        .sort("name", "night")
    )


_QUANTILES = ("p5", "p25", "p50", "p75", "p95")


def _target(metrics: dict[str, float]) -> pl.DataFrame:
    """Return quantiles of the importance weights: of the pool, a random subset and the chosen."""
    sets = {"pool": "", "random subset": "_random", "chosen": "_selected"}
    rows = [
        {
            "set": title,
            **{q: metrics.get(f"log_weight_quantiles{suffix}.{q}") for q in _QUANTILES},
        }
        for title, suffix in sets.items()
    ]
    schema = {"set": pl.String, **dict.fromkeys(_QUANTILES, pl.Float64)}
    return pl.DataFrame(rows, schema=schema).drop_nulls()


def _command(config: dict[str, Any]) -> str:
    """Return the command that repeats the run, as far as flags express it."""
    parts = ["assay", "curate"]
    flags = [
        *("pool", "name", "id", "text", "vector", "image", "label", "group", "target"),
        *("budget", "select", "difficulty", "seed", "store"),
    ]
    for name in flags:
        value = config.get(name)
        if value is not None:
            parts += [f"--{name}", str(value)]
    for name in ("scores", "keep"):
        if config.get(name):
            parts += [f"--{name}", ",".join(config[name])]
    plan = config.get("plan") or {}
    for condition in plan.get("filters") or ():
        parts += ["--filter", condition]
    steps = plan.get("deduplicate") or ()
    if steps and all(isinstance(step, str) for step in steps):
        parts += ["--deduplicate", ",".join(steps)]
    for name in ("cutoff", "cost", "churn"):
        if plan.get(name) is not None:
            parts += [f"--{name}", str(plan[name])]
    return shlex.join(parts)
