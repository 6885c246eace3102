"""What the report shows of a run that ranks columns."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

import polars as pl

from assay.storage import ScoreStore

SHOWN = 25


@dataclass
class FeatureFacts:
    """Everything on the page of a run of `assay features`.

    Attributes
    ----------
    rankings : dict
        method -> the best columns, best first, with `frequency` where resamples were drawn.
    agreement : DataFrame
        first, second, shared, of: columns that two methods both keep.
    stability : DataFrame
        method, value, low, high; no row without resamples.
    accuracy : dict
        method -> columns, accuracy, error by cross-validation, where it was measured.
    quality : DataFrame
        feature, anomaly, value.
    """

    run: dict[str, Any]
    config: dict[str, Any]
    command: str
    rankings: dict[str, pl.DataFrame]
    agreement: pl.DataFrame
    stability: pl.DataFrame
    accuracy: dict[str, pl.DataFrame]
    quality: pl.DataFrame


def feature_facts(store: ScoreStore, run: dict[str, Any]) -> FeatureFacts:
    """Collect what the page shows of one run of `assay features`."""
    run_id, config = run["run_id"], json.loads(run["config"])
    scores = store.run_table(
        run_id, "SELECT method, feature, score, rank, selected FROM feature_scores ORDER BY rank"
    )
    metrics = store.run_table(run_id, "SELECT name, value FROM metrics ORDER BY name")
    named = metrics.with_columns(
        pl.col("name").str.splitn(":", 3).struct.rename_fields(["what", "method", "of"])
    ).unnest("name")
    frequency = named.filter(pl.col("what") == "frequency")
    by_method = {
        str(method): part.join(
            frequency.filter(pl.col("method") == method).select(feature="of", frequency="value"),
            on="feature",
            how="left",
            maintain_order="left",
        )
        for (method,), part in scores.group_by("method", maintain_order=True)
    }
    return FeatureFacts(
        run=run,
        config=config,
        command=shlex.join(_command(config)),
        rankings={name: part.head(SHOWN) for name, part in sorted(by_method.items())},
        agreement=_agreement(by_method),
        stability=_stability(named),
        accuracy=_accuracy(named),
        quality=named.filter(pl.col("what") == "quality").select(
            feature="of", anomaly="method", value="value"
        ),
    )


def _agreement(by_method: dict[str, pl.DataFrame]) -> pl.DataFrame:
    kept = {name: set(part.filter("selected")["feature"]) for name, part in by_method.items()}
    names = sorted(kept)
    rows = [
        {
            "first": first,
            "second": second,
            "shared": len(kept[first] & kept[second]),
            "of": min(len(kept[first]), len(kept[second])),
        }
        for first in names
        for second in names
    ]
    schema = {"first": pl.String, "second": pl.String, "shared": pl.Int64, "of": pl.Int64}
    return pl.DataFrame(rows, schema=schema)


def _stability(named: pl.DataFrame) -> pl.DataFrame:
    parts = {
        column: named.filter(pl.col("what") == name).select("method", value.alias(column))
        for column, name, value in (
            ("value", "stability", pl.col("value")),
            ("low", "stability_low", pl.col("value")),
            ("high", "stability_high", pl.col("value")),
        )
    }
    joined = parts["value"].join(parts["low"], on="method", how="left")
    return joined.join(parts["high"], on="method", how="left").sort("method")


def _accuracy(named: pl.DataFrame) -> dict[str, pl.DataFrame]:
    mean = named.filter(pl.col("what") == "accuracy")
    error = named.filter(pl.col("what") == "accuracy_error")
    curve = mean.select("method", columns="of", accuracy="value").join(
        error.select("method", columns="of", error="value"), on=["method", "columns"], how="left"
    )
    curve = curve.with_columns(pl.col("columns").cast(pl.Int64)).sort("method", "columns")
    return {str(method): part for (method,), part in curve.group_by("method", maintain_order=True)}


def _command(config: dict[str, Any]) -> list[str]:
    parts = ["assay", "features", str(config["table"]), "--label", str(config["label"])]
    parts += ["--method", ",".join(config["methods"]), "--k", str(config["k"])]
    if config.get("stability"):
        parts += ["--stability", str(config["stability"])]
    if config.get("consensus"):
        parts += ["--consensus", str(config["consensus"])]
    return [*parts, "--store", str(config["store"])]
