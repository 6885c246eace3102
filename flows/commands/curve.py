"""What `assay plan --curve` prints: how accuracy grows with the budget."""

from __future__ import annotations

from typing import Any

import polars as pl
import typer

from assay.flows.commands.contents import contents_of
from assay.flows.config.curation import CurationConfig
from assay.flows.export.frames import rows_json
from assay.flows.printing.output import print_json, print_table
from assay.selection.evaluation.budget_curve import LearningCurve, learning_curve
from assay.storage.errors import ConfigError

# rows that the curve is measured on: enough for what it tells about
ROWS = 15_000
_SHARES = (0.9, 0.95, 0.99)


def measure(config: CurationConfig) -> LearningCurve:
    """Measure the learning curve of a configuration's pool, on vectors of the default embedder.

    Raises
    ------
    ConfigError
        The configuration names no pool or no labels.
    """
    if config.pool is None or not (config.label or config.labels):
        missing = "pool (--pool)" if config.pool is None else "labels (`label`, or `labels`)"
        raise ConfigError(f"A learning curve needs a configuration that names its {missing}.")
    contents = contents_of(config.pool, config.roles(), most=ROWS)
    labels = contents.samples["label"]
    if config.labels is not None:
        from assay.flows.stages.run import labels_of

        apart = labels_of(config).select("sample_id", of="label")
        labels = contents.samples.join(apart, on="sample_id", how="left", maintain_order="left")[
            "of"
        ]
    return learning_curve(
        contents.vectors,
        labels.to_numpy(),
        ids=contents.samples["sample_id"],
        random_state=config.seed,
    )


def print_curve(config: CurationConfig, *, json: bool) -> None:
    """Print a pool's learning curve, and the budgets that it tells about."""
    curve = measure(config)
    largest = int(curve.frame["rows"].to_numpy().max())
    sizes = [n for n in (largest, 2 * largest, 4 * largest) if n <= curve.reach]
    budgets: list[dict[str, Any]] = [
        {"budget": f"{share:.0%}-of-best", "rows": n, "accuracy": curve.accuracy(n)}
        for share, n in ((share, curve.budget(share)) for share in _SHARES)
    ]
    expected = [{"rows": n, "accuracy": curve.accuracy(n)} for n in sizes]
    if json:
        law = {"a": curve.a, "b": curve.b, "c": curve.c}
        print_json(
            {**rows_json(curve.frame), "law": law, "expected": expected, "budgets": budgets,
             "labeled": curve.rows, "tested": curve.tested, "reach": curve.reach}
        )  # fmt: skip
        return
    print_table(curve.frame.with_columns(pl.exclude("rows").round(4)))
    typer.echo(
        f"Measured on {curve.tested:,} rows kept out; error = {curve.a:.3f} + {curve.b:.2f} * "
        f"rows^-{curve.c:.2f}, told up to {curve.reach:,} rows."
    )
    for one in expected:
        typer.echo(f"  {one['rows']:,} random rows: {100 * one['accuracy']:.1f} % right")
    for one in budgets:
        typer.echo(
            f'  budget = "{one["budget"]}": {one["rows"]:,} rows, {100 * one["accuracy"]:.1f} % right'
        )
