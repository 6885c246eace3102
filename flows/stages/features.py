"""The stages of a run that ranks columns: rank (by each method) -> persist -> publish."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from assay.flows.config.features import FeatureConfig
from assay.flows.config.rules import check_options
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import get_or_make
from assay.flows.stages.persisting import artifact_rows
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import versions
from assay.flows.stages.stage import FEATURES, QUALITY
from assay.selection import registry
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, InputError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.locations import absolute
from assay.storage.reading.tables import Table, table_columns, table_fingerprint, table_name
from assay.storage.runs.run_file import RunInfo, RunTablesData

MEGABYTE = 1 << 20
# corrected p below which missing values are said to tell about the label
_TELLS = 0.05
METRICS = {"name": pl.String, "value": pl.Float64, "baseline": pl.Float64}


class FeatureRun(BaseModel):
    """A resolved run: a configuration with every default decided, and its table's fingerprint."""

    model_config = ConfigDict(frozen=True)

    config: FeatureConfig
    table_fingerprint: str
    run_id: str

    @property
    def store(self) -> ScoreStore:
        """The store, which may not be there yet."""
        return ScoreStore(self.config.store, create=True)


def resolve_run(config: FeatureConfig) -> FeatureRun:
    """Decide what the configuration leaves open, and check it; write nothing."""
    if config.table is None:
        raise ConfigError("No table was given. Name its file, or hand a frame to `rank_features`.")
    columns = table_columns(config.table, config.reading)
    if config.label not in columns:
        raise ColumnError.missing(config.label, columns)
    if not config.methods:
        raise ConfigError("No method was given; `methods` names one ranker or more.")
    for method in (*config.methods, *config.options):
        registry.entry(method, "ranker")
    for method in config.options:
        _ranker(config, method)
    if config.consensus:
        counted_methods(config)
    resolved = config.model_copy(update={"name": config.name or table_name(config.table)})
    if config.seats is None and (config.seats_by or config.seats_threshold):
        raise ConfigError("Seats are grouped or have a threshold, and none are given; set seats.")
    made_of = table_fingerprint(config.table, config.reading)
    # left at its default, a key that came later leaves the ids of earlier runs as they are
    later = () if config.seats else ("seats", "seats_by", "seats_threshold")
    settings = resolved.model_dump(mode="json", exclude={"store", "table", "keep_runs", *later})
    plugins = _plugins(config)
    added = (plugins,) if plugins else ()
    run_id = fingerprint("features", FEATURES.revision, made_of, settings, *added)[:16]
    return FeatureRun(config=resolved, table_fingerprint=made_of, run_id=run_id)


def _plugins(config: FeatureConfig) -> dict[str, str]:
    """Return the package and version of every ranker of the run that another package adds."""
    listed = (registry.entry(method, "ranker") for method in config.methods)
    return {entry.name: entry.package for entry in listed if entry.package}


def run_info(run: FeatureRun, started_at: datetime, n_samples: int = 0) -> RunInfo:
    """Describe the run for the store."""
    config = run.config.model_dump(mode="json")
    for key in ("table", "store"):
        config[key] = absolute(config[key])
    return RunInfo(
        run_id=run.run_id,
        kind="features",
        pool=run.config.name or "table",
        started_at=started_at,
        n_samples=n_samples,
        seed=run.config.seed,
        generation="",
        config=config,
        versions=versions(_plugins(run.config).values()),
        pool_fingerprint=run.table_fingerprint,
    )


def rank(run: FeatureRun, method: str, started_at: datetime) -> Ref:
    """Rank the table's columns by one method."""
    config = run.config
    package = registry.entry(method, "ranker").package
    made_by = [package] if package else []
    ref = Ref(
        "features",
        fingerprint(
            FEATURES.revision,
            run.table_fingerprint,
            config.label,
            method,
            config.k,
            config.seed,
            config.options.get(method, {}),
            config.missing,
            config.stability,
            config.memory_mb,
            *made_by,
        ),
    )
    store = run.store

    def began(samples: int) -> None:
        # what can be wrong with the table is found before anything is written
        store.begin(run_info(run, started_at, samples))

    rankings = []
    if not store.artifacts.exists(*ref):
        with step(f"rank {method}"):
            rankings.append(_rank(config, method, began))

    def make(out: Path) -> None:
        result = rankings[0] if rankings else _rank(config, method, began)
        result.features.write_parquet(out / "features.parquet")
        result.missing.write_parquet(out / "missing.parquet")
        result.metrics.write_parquet(out / "metrics.parquet")
        (out / "report.json").write_text(json.dumps(result.report))

    return get_or_make(store, FEATURES, ref, make, run_id=run.run_id, label=method)


@dataclass
class _Found:
    """What one method gave."""

    features: pl.DataFrame
    missing: pl.DataFrame
    metrics: pl.DataFrame
    report: dict[str, Any]


def _ranker(config: FeatureConfig, method: str) -> Any:
    ranker = registry.get(method, "ranker")(n_features_to_select=config.k)
    options = config.options.get(method, {})
    check_options(registry.entry(method, "ranker"), options)
    if "random_state" in ranker.get_params():
        ranker.set_params(random_state=config.seed)
    return ranker.set_params(**options)


def _rank(config: FeatureConfig, method: str, began: Callable[[int], None]) -> _Found:
    # scikit-learn is loaded where something is ranked
    from assay.selection.rankers.tables import rank_table

    ranked = rank_table(
        _ranker(config, method),
        Table(str(config.table), config.reading),
        label=config.label,
        memory=config.memory_mb * MEGABYTE,
        missing=config.missing,
        began=began,
    )
    for column, note in ranked.report.items():
        logger.info("column %s: %s", column, note)
    if ranked.mode != "memory":
        logger.info("%s: the table was read by %s", method, ranked.mode)
    ranker = ranked.ranker
    features = pl.DataFrame(
        {
            "feature": ranked.names,
            "score": np.asarray(ranker.scores_, dtype=np.float64),
            "rank": np.asarray(ranker.ranking_, dtype=np.int64),
            "selected": ranker.get_support(),
        }
    )
    metrics = _accuracies(config, method, ranker)
    if config.stability:
        metrics += _stability(config, method, ranked, features)
    return _Found(
        features.sort("rank"),
        ranked.missing,
        pl.DataFrame(metrics, schema=METRICS, orient="row"),
        {"samples": ranked.n_rows, "columns": ranked.report, "mode": ranked.mode},
    )


def _accuracies(
    config: FeatureConfig, method: str, ranker: Any
) -> list[tuple[str, float, float | None]]:
    """Return the accuracy, and its error, of every number of columns that "auto" tried."""
    tried = vars(ranker).get("validation_")
    if config.k != "auto" or tried is None:
        return []
    tried = tried.filter(pl.col("parameter") == "n_features_to_select")
    return [
        (f"{name}:{method}:{int(row['value'])}", row[column], None)
        for row in tried.iter_rows(named=True)
        for name, column in (("accuracy", "accuracy"), ("accuracy_error", "error"))
    ]


def _stability(
    config: FeatureConfig, method: str, ranked: Any, features: pl.DataFrame
) -> list[tuple[str, float, float | None]]:
    from assay.selection.rankers.stability import bootstrap_stability

    if ranked.matrix is None:
        raise ConfigError(
            f"stability needs the table in memory, but it takes more than memory_mb, "
            f"{config.memory_mb}; raise that, or set stability to 0."
        )
    k = int(features["selected"].sum())
    stability = bootstrap_stability(
        ranked.ranker,
        ranked.matrix.X,
        ranked.matrix.y,
        k=k,
        n_resamples=config.stability,
        random_state=config.seed,
    )
    frequency = features.select("feature", "rank", "selected").with_columns(
        stability.features["frequency"]
    )
    chosen = frequency.filter("selected").sort("rank")
    return [
        (f"stability:{method}", stability.overall, 0.0),
        (f"stability_low:{method}", stability.low, None),
        (f"stability_high:{method}", stability.high, None),
        *(
            (f"frequency:{method}:{row['feature']}", row["frequency"], k / features.height)
            for row in chosen.iter_rows(named=True)
        ),
    ]


def describe(run: FeatureRun, ranked: dict[str, Ref]) -> Ref:
    """Look for columns with anomalies: missing values, and what they tell, a single value, identifiers."""
    ref = Ref("quality", fingerprint(QUALITY.revision, run.table_fingerprint, run.config.label))

    def make(out: Path) -> None:
        from assay.selection.tables.missing_indicators import adjusted, missing_relevance
        from assay.selection.tables.quality import column_quality

        table = Table(str(run.config.table), run.config.reading)
        names = [name for name in table.columns if name != run.config.label]
        # columns together up to the limit of memory, at least one
        size = max(1, run.config.memory_mb * MEGABYTE // (8 * max(1, table.n_rows)))
        blocks = (names[start : start + size] for start in range(0, len(names), size))
        label = table.read([run.config.label])[run.config.label]
        quality, relevance = [], []
        with step("quality"):
            for block in blocks:
                columns = table.read(block)
                quality.append(column_quality(columns))
                relevance.append(missing_relevance(columns, label))
            pl.concat(quality).write_parquet(out / "quality.parquet")
            adjusted(pl.concat(relevance)).write_parquet(out / "missing_relevance.parquet")

    return get_or_make(run.store, QUALITY, ref, make, run_id=run.run_id)


def _anomalies(quality: pl.DataFrame, rows: int) -> list[tuple[str, float, None]]:
    """Return a metric for every anomaly of a column, with the figure that shows it."""
    figures = {
        "missing": pl.col("missing"),
        "empty": pl.col("missing"),
        "constant": pl.col("top_share"),
        "dominated": pl.col("top_share"),
        "near-unique": pl.col("levels") / (rows * (1 - pl.col("missing"))),
    }
    frames = (
        quality.filter(pl.col("anomalies").list.contains(name)).select(
            name=pl.lit(f"quality:{name}:") + pl.col("feature"), value=figure.cast(pl.Float64)
        )
        for name, figure in figures.items()
    )
    return [(name, value, None) for name, value in pl.concat(frames).rows()]


def _relevance(table: pl.DataFrame) -> list[tuple[str, float, float | None]]:
    """Return metrics for the columns whose missing values tell about the label.

    The corrected p, and the share of the class that differs most: where values are missing, and elsewhere.
    """
    rows: list[tuple[str, float, float | None]] = []
    for row in table.filter(pl.col("p_adjusted") < _TELLS).iter_rows(named=True):
        name = f"missing_relevance:{row['feature']}"
        rows += [
            (f"{name}:p", row["p_adjusted"], None),
            (f"{name}:V", row["cramers_v"], None),
            (f"{name}:={row['label']}", row["rate_missing"], row["rate_present"]),
        ]
    return rows


def _seats(config: FeatureConfig, ranked: pl.DataFrame) -> list[tuple[str, float, float | None]]:
    """Return the seats of each method's alliances, beside the exact number."""
    if config.seats is None:
        return []
    from assay.selection.algorithms.seats import share_seats

    rows: list[tuple[str, float, float | None]] = []
    for (method,), part in ranked.group_by("method", maintain_order=True):
        try:
            shared = share_seats(
                part["feature"].to_list(),
                part["score"],
                seats=config.seats,
                threshold=config.seats_threshold,
                alliance=config.seats_by or "",
            )
        except InputError as error:
            # the rankings are there already
            logger.warning("No seats for %s: %s", method, error)
            continue
        rows += [
            (f"seats:{method}:{name}", float(seats), share * config.seats)
            for name, share, seats in shared.select("alliance", "share", "seats").iter_rows()
        ]
    return rows


def persist(run: FeatureRun, started_at: datetime, refs: dict[str, Ref], quality: Ref) -> str:
    """Write the rankings into the run's one file; the run is finished when it is there."""
    frames, metrics = [], []
    samples, breakdown = 0, None
    for method, ref in refs.items():
        folder = run.store.artifacts.open(*ref)
        frame = pl.read_parquet(folder / "features.parquet")
        frames.append(frame.with_columns(pl.lit(method).alias("method")))
        metrics.append(pl.read_parquet(folder / "metrics.parquet"))
        missing = pl.read_parquet(folder / "missing.parquet")
        samples = json.loads((folder / "report.json").read_text())["samples"]
    if run.config.consensus:
        counted = counted_methods(run.config)
        chosen = [frame for method, frame in zip(refs, frames, strict=True) if method in counted]
        agreed, breakdown = _consensus(chosen, run.config.consensus)
        frames.append(agreed)
    ranked = pl.concat(frames)
    looked_at = run.store.artifacts.open(*quality)
    figures = [
        ("samples", float(samples), None),
        ("features", float(ranked["feature"].n_unique()), None),
        *_anomalies(pl.read_parquet(looked_at / "quality.parquet"), samples),
        *_relevance(pl.read_parquet(looked_at / "missing_relevance.parquet")),
        *_seats(run.config, ranked),
        *([] if breakdown is None else [("consensus.breakdown", breakdown, None)]),
        *((f"missing:{row['feature']}", row["share"], None) for row in missing.rows(named=True)),
    ]
    data = RunTablesData(
        feature_scores=ranked,
        metrics=pl.concat([pl.DataFrame(figures, schema=METRICS, orient="row"), *metrics]),
        artifacts=artifact_rows(
            {f"rank {method}": ref for method, ref in refs.items()} | {"quality": quality}
        ),
    )
    run.store.finish(run_info(run, started_at, samples), data)
    return run.run_id


def counted_methods(config: FeatureConfig) -> list[str]:
    """Return the methods that the consensus counts.

    Raises
    ------
    ConfigError, ColumnError
        There is none, or one that is named does not rank.
    """
    for method in config.consensus_of or ():
        if method not in config.methods:
            raise ColumnError.missing(method, config.methods, what="method of the consensus")
    if config.consensus_of:
        return list(config.consensus_of)
    counted = [m for m in config.methods if registry.entry(m, "ranker").in_consensus]
    if not counted:
        raise ConfigError(
            f"A consensus leaves out {', '.join(config.methods)} by default, as their scores are not "
            "corrected for chance; name them in consensus_of, or add other methods."
        )
    return counted


def _consensus(frames: list[pl.DataFrame], how: str) -> tuple[pl.DataFrame, float | None]:
    """Return the ranking that the methods agree on, and its breakdown point where it has one.

    It keeps as many as they keep, in the median.
    """
    from assay.selection.rankers.stability import consensus_ranking

    names = frames[0]["feature"].sort()
    ranks = [frame.sort("feature")["rank"].to_numpy() for frame in frames]
    consensus = consensus_ranking(ranks, method=how)
    kept = int(np.median([frame["selected"].sum() for frame in frames]))
    ranked = pl.DataFrame(
        {
            "feature": names,
            "score": consensus.scores,
            "rank": consensus.ranking,
            "selected": consensus.ranking <= kept,
            "method": ["consensus"] * len(names),
        }
    )
    return ranked.sort("rank"), consensus.breakdown


def publish(run: FeatureRun, run_id: str) -> str:
    """Publish the newest run of every pool as one file; older runs go to the archive."""
    published = run.store.publish()
    run.store.archive(str(run.config.name), "features", keep=run.config.keep_runs)
    return str(published)
