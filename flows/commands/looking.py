"""Commands that look for what is wrong with a pool: weak slices, and labels given away."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.flows.commands.options import Json, Overwrite, Store, open_store
from assay.flows.config.slices import LEAKED, LEFT, NEIGHBORS
from assay.storage.errors import ColumnError, ConfigError

if TYPE_CHECKING:
    import polars as pl

    from assay.storage import ScoreStore


def slices(
    pool: Annotated[
        str | None,
        typer.Argument(help="File, folder or glob. Default: the pool of a run, by what it keeps."),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="What is bad where it is high: a column of numbers or booleans; of runs also a score, "
            "left (left out), leaked, or neighbors (the share of a row's neighbors with another label)."
        ),
    ] = LEFT,
    low: Annotated[bool, typer.Option("--low", help="Bad where it is low, not high.")] = False,
    columns: Annotated[
        str | None, typer.Option(help="Columns to cut: A,B. Default: all others.")
    ] = None,
    most: Annotated[int, typer.Option(help="Slices to show.")] = 20,
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    store: Store = Path("assay-store"),
    out: Annotated[Path | None, typer.Option(help="Write the slices to this file.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find the one or two values of columns among whose rows a score is high.

    Of a run its kept columns (--keep), label, group and source are cut.
    """
    import polars as pl

    from assay.flows.export.destination import check_destination
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.diff import format_of
    from assay.flows.printing.output import emit, print_json, print_table
    from assay.flows.stages.findings import above_least
    from assay.selection.evaluation.slices import weak_slices
    from assay.storage.reading.tables import read_table

    if pool is not None:
        if out is not None:
            check_destination(out, overwrite=overwrite, inputs=[pool])
        table = read_table(pool)
        if by not in table.columns:
            raise ColumnError.missing(by, table.columns)
        values, table = table[by], table.drop(by)
    else:
        opened = open_store(store)
        if out is not None:
            check_destination(out, opened, overwrite=overwrite)
        table, values = _of_run(opened, run, by)
    if columns is not None:
        for name in columns.split(","):
            if name not in table.columns:
                raise ColumnError.missing(name, table.columns)
        table = table.select(columns.split(","))
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise ConfigError(
            f"{by!r} holds {values.dtype}; name a column of numbers or booleans with --by."
        )
    # slices are compared with the mean, which must be above 0
    by_height = values.cast(pl.Float64).rename("by").to_frame()
    numbers = above_least(
        by_height.select(pl.col("by").max() - pl.col("by"))["by"] if low else values
    )
    weak = weak_slices(table, numbers, most=most)
    if out is not None:
        emit(weak.frame, format_of(out, "table"), out, overwrite=overwrite)
    if json:
        print_json({**rows_json(weak.frame), "report": weak.report_})
        return
    shown = weak.frame.with_columns(pl.col("columns", "values").list.join(" & "))
    print_table(
        shown, title=f"Slices with a high {by} (mean of all rows {weak.report_['mean']:.4g}):"
    )
    if weak.frame.is_empty():
        typer.echo(f"None of {weak.report_['looked_at']:,} slices stands out.")


def _of_run(store: ScoreStore, run: str | None, by: str) -> tuple[pl.DataFrame, pl.Series]:
    """Return what a run knows of its rows, and what they are judged by."""
    from assay.flows.commands.run_columns import samples_of, scores_of
    from assay.flows.config.curation import CurationConfig
    from assay.flows.running.finished import curation_run
    from assay.flows.stages.findings import cut_columns

    run_row = curation_run(store, run)
    run_id = run_row["run_id"]
    config = CurationConfig.build(json_module.loads(run_row["config"]))
    decided = store.run_table(
        run_id, "SELECT key, selected, stage, reason FROM decisions ORDER BY key"
    )
    samples, scores = samples_of(store, run_id, decided), scores_of(store, run_id, decided)
    kept = cut_columns(samples, config)
    if by in kept.columns:
        return kept.drop(by), kept[by]
    if by in scores.columns:
        return kept, scores[by]
    if by == LEFT:
        return kept, ~decided["selected"]
    if by == LEAKED:
        leaks = store.run_table(run_id, "SELECT DISTINCT key FROM leaks")["key"]
        return kept, decided["key"].is_in(leaks.implode())
    if by == NEIGHBORS:
        return kept, _other_neighbors(store, run_id, samples)
    raise ColumnError.missing(by, [*kept.columns, *scores.columns, LEFT, LEAKED, NEIGHBORS])


def _other_neighbors(store: ScoreStore, run_id: str, samples: pl.DataFrame) -> pl.Series:
    """Return the share of each row's neighbors that carry another label (or group) than it does."""
    import polars as pl

    from assay.flows.report.rows import graph_ids, stored_graph
    from assay.flows.stages.findings import other_neighbors

    graph = stored_graph(store, run_id)
    found = None
    if graph is not None:
        nodes = pl.DataFrame({"sample_id": graph_ids(graph)})
        found = other_neighbors(graph, nodes, samples)
    if found is None:
        raise ConfigError(
            f"Run {run_id} has no labels and no groups, or its graph is gone; name --by a score."
        )
    return found


def shortcuts(
    pool: Annotated[str, typer.Argument(help="File, folder or glob of the pool.")],
    label: Annotated[str, typer.Option(help="Column of labels.")],
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of image bytes or paths.")] = None,
    group: Annotated[str | None, typer.Option(help="Column of groups.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Other columns that should not tell the label: A,B.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: Json = False,
) -> None:
    """Measure how much length, first word, source, place and the like tell about the label.

    In bits, and as a share of the labels' entropy, out of fold: 1 settles the label. Beyond .2 a model may
    learn the shortcut and not the task.
    """
    import numpy as np
    import polars as pl

    from assay.flows.export.frames import rows_json
    from assay.flows.printing.output import print_json, print_table
    from assay.selection.evaluation.shortcuts import WARN, find_shortcuts
    from assay.storage import read_pool

    roles: dict[str, Any] = {"id": id, "text": text, "image": image, "label": label, "group": group}
    opened = read_pool(pool, **roles)
    samples = opened.samples()
    rows = np.flatnonzero(samples["problem"].is_null().to_numpy())
    samples = samples[rows]
    attributes = samples.select("source", group="group_id").with_columns(place=pl.Series(rows))
    more = columns.split(",") if columns else []
    if more:
        extra = opened.typed_columns(more)[rows]
        missing = [pl.col(name).is_null().alias(f"{name} is missing") for name in more]
        attributes = pl.concat([attributes, extra, extra.select(missing)], how="horizontal")
    attributes = attributes.select(
        series for series in attributes.get_columns() if series.n_unique() > 1
    )
    content = None if opened.kind == "vector" else opened.contents_at(rows)
    shortcuts_found = find_shortcuts(
        content.to_pylist() if content is not None else None,
        samples["label"],
        attributes=attributes,
        ids=samples["sample_id"],
        random_state=seed,
    )
    if json:
        print_json(
            {
                **rows_json(shortcuts_found.frame),
                "share": shortcuts_found.share,
                "report": shortcuts_found.report_,
            }
        )
        return
    print_table(shortcuts_found.frame, title=f"What attributes tell about {label}:")
    if shortcuts_found.share > WARN:
        typer.echo(
            f"They give away {shortcuts_found.share:.0%} of the label ({shortcuts_found.report_['entropy']:.2f} bits): a "
            "model may learn them and not the task."
        )


COMMANDS = (slices, shortcuts)
