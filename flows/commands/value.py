"""The command that says what each source of rows adds to what is had."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json, Overwrite

# rows of the pool that are looked at
ROWS = 50_000


def value(
    pool: Annotated[str, typer.Argument(help="File, folder or glob of the rows on offer.")],
    by: Annotated[str, typer.Option(help="Column of sources.")],
    target: Annotated[
        str, typer.Option(help="File of validation rows, or of rows like those wanted.")
    ],
    label: Annotated[
        str | None, typer.Option(help="Column of labels, of the pool and the target.")
    ] = None,
    had: Annotated[str | None, typer.Option(help="Sources that are had already: A,B.")] = None,
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    vector: Annotated[str | None, typer.Option(help="Column of vectors.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of image bytes or paths.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure what each source of a pool would add to the sources that are had.

    With labels: how many more validation rows a model gets right (gain) and the sum of Shapley values of
    nearest neighbors. Without: how much nearer the target's rows have a row (coverage). Beside them, how
    new a source is and how many different rows it is worth. Each source is measured alone: buy one, name it
    with --had, and ask again.
    """
    import polars as pl

    from assay.flows.commands.contents import contents_of
    from assay.flows.export.destination import check_destination
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.diff import format_of
    from assay.flows.printing.output import emit, print_json, print_table
    from assay.selection.evaluation.sources import source_value
    from assay.storage import read_pool

    if out is not None:
        check_destination(out, overwrite=overwrite, inputs=[pool, target])
    roles: dict[str, Any] = {"text": text, "vector": vector, "image": image, "label": label}
    contents = contents_of(pool, {**roles, "id": id}, most=ROWS)
    sources = contents.pool.typed_columns([by])[by].gather(contents.rows)
    wanted = read_pool(target, **roles)
    usable = wanted.samples().filter(pl.col("problem").is_null())
    measured = source_value(
        contents.vectors,
        sources,
        wanted=contents.vectors_of(wanted),
        y=contents.samples["label"] if label else None,
        wanted_y=usable["label"] if label else None,
        had=had.split(",") if had else None,
        ids=contents.samples["sample_id"],
        random_state=seed,
    )
    if out is not None:
        emit(measured.frame, format_of(out, "table"), out, overwrite=overwrite)
    if json:
        print_json({**rows_json(measured.frame), "report": measured.report})
        return
    start = f"{measured.report['had']:,} rows are had"
    if "accuracy" in measured.report:
        start += f", with which {measured.report['accuracy']:.1%} of the target's rows are right"
    print_table(measured.frame, title=f"What each source adds ({start}):")


COMMANDS = (value,)
