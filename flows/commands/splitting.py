"""The commands about splits: parts that no group of duplicates straddles, and leaks between parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json, Store, open_store


def split(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; the pool is curated first.")
    ] = None,
    parts: Annotated[
        str, typer.Option(help="Parts and their shares: train=0.8,valid=0.1,test=0.1.")
    ] = "train=0.8,test=0.2",
    pool: Annotated[
        str | None,
        typer.Option(help="File, folder or glob of the pool. Default: that of the newest run."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The pool's name in the store.")] = None,
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    vector: Annotated[str | None, typer.Option(help="Column of vectors.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of images.")] = None,
    stratify: Annotated[
        str | None, typer.Option(help="Column of labels that each part holds in proportion.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Column whose equal values stay in one part.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Column to order by: the first part is the earliest.")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    store: Store = Path("assay-store"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: Json = False,
) -> None:
    """Cut a pool into parts that no group of duplicates straddles.

    Rows keep their part when the pool grows. The parts are in the views splits and latest_splits.
    """
    from assay.flows import api, progress
    from assay.flows.config import arguments
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.form import merged, read_toml
    from assay.flows.printing.output import print_json, print_table
    from assay.flows.running.splits import newest_run, split_run

    shares = arguments.weights([parts], "--parts")
    settings: dict[str, Any] = {
        "pool": pool, "name": name, "id": id, "text": text, "vector": vector, "image": image
    }  # fmt: skip
    settings = {key: value for key, value in settings.items() if value is not None}
    if config is not None or pool is not None:
        values = merged(read_toml(config) if config else {}, settings | {"store": str(store)})
        with progress.bars():
            run = api.curate(CurationConfig.build(values)).run_id
    opened = open_store(store)
    run = run or newest_run(opened, name)
    with progress.bars():
        split_id, parts_made = split_run(
            opened, run, shares, stratify=stratify, by=by, time=time, seed=seed
        )
    counts = opened.run_table(
        split_id, "SELECT part, count(*) AS rows, count(DISTINCT group_id) AS groups FROM splits "
        "GROUP BY part ORDER BY part",
    )  # fmt: skip
    metrics = dict(opened.run_table(split_id, "SELECT name, value FROM metrics").iter_rows())
    if json:
        print_json(
            {
                "run_id": split_id,
                "of_run": run,
                "computed": parts_made is not None,
                "parts": counts.rows(named=True),
                "metrics": metrics,
            }
        )
        return
    print_table(counts, title=f"Parts (run {split_id}, of run {run}):")
    typer.echo(
        f"Groups of duplicates: {int(metrics['groups']):,}, the largest of "
        f"{int(metrics['largest_group']):,} rows. No share is off by more than "
        f"{metrics['deviation']:.2%}."
    )
    typer.echo(
        'Next: assay sql "select part, count(*) from latest_splits group by part" '
        f"--store {opened.path}"
    )


def leaks(
    split: Annotated[
        str, typer.Option(help="Column that names each row's part, or folder for that of its file.")
    ],
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    store: Store = Path("assay-store"),
    json: Json = False,
) -> None:
    """List rows of one part of a split that another part holds too, exactly or nearly."""
    from assay.flows import progress
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.output import print_json, print_table
    from assay.flows.running.splits import leaks_of_run, newest_run

    opened = open_store(store)
    with progress.bars():
        leaks_found, report = leaks_of_run(opened, run or newest_run(opened), split)
    if json:
        print_json({**rows_json(leaks_found), "report": report})
        return
    print_table(leaks_found.head(20), title=f"Leaks between the parts of {split}:")
    if leaks_found.height > 20:
        typer.echo(f"  and {leaks_found.height - 20:,} more pairs (--json lists all)")
    for part, size in report["sizes"].items():
        typer.echo(f"{part}: {report['rows'][part]:,} of {size:,} rows leak")
    for part, scores in report.get("nearest", {}).items():
        without = "-" if scores["without"] is None else f"{scores['without']:.3f}"
        typer.echo(
            f"{part}: nearest neighbors get {scores['accuracy']:.3f} of the labels right, {without} "
            "without the rows that leak"
        )


COMMANDS = (split, leaks)
