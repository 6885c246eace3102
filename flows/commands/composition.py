"""The command that says what a target is made of, in terms of the pool's groups."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json

# rows of the pool that the estimate is made from
ROWS = 50_000


def composition(
    pool: Annotated[str, typer.Argument(help="File, folder or glob of the pool.")],
    target: Annotated[str, typer.Option(help="File of example rows, whose groups are unknown.")],
    by: Annotated[
        str | None,
        typer.Option(
            help="Column of groups, or of numeric labels. Default: cells of similar rows."
        ),
    ] = None,
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    vector: Annotated[str | None, typer.Option(help="Column of vectors.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of image bytes or paths.")] = None,
    cells: Annotated[int, typer.Option(help="Number of cells without --by.")] = 32,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: Json = False,
) -> None:
    """Estimate which share of a target each group of the pool makes up, with 95 % intervals.

    The pool's groups are known, the target's are not. Column kinds: a column of floats is a numeric
    label, for which the density ratio is estimated and shown by bins; all others name groups.
    """
    from assay.flows.commands.contents import contents_of
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.output import print_json, print_table
    from assay.selection.algorithms.composition import CompositionWarning, estimate_composition
    from assay.storage import read_pool

    roles: dict[str, Any] = {"text": text, "vector": vector, "image": image}
    contents = contents_of(pool, {**roles, "id": id}, most=ROWS)
    groups = None
    if by is not None:
        groups = contents.pool.typed_columns([by])[by].gather(contents.rows)
        if groups.dtype.is_decimal():
            groups = groups.cast(float)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CompositionWarning)
        estimated = estimate_composition(
            contents.vectors,
            groups,
            target=contents.vectors_of(read_pool(target, **roles)),
            ids=contents.samples["sample_id"],
            cells=cells,
            random_state=seed,
        )
    notes = [str(w.message) for w in caught if issubclass(w.category, CompositionWarning)]
    if estimated.report_.get("few"):
        notes.append(
            f"The target has only {estimated.report_['target_rows']} rows for "
            f"{estimated.report_['groups']} groups: look at the intervals."
        )
    frame = estimated.frame.sort("target_share", "group", descending=[True, False])
    if json:
        print_json({**rows_json(frame), "report": estimated.report_, "notes": notes})
        return
    print_table(frame)
    for note in notes:
        typer.echo(note, err=True)


COMMANDS = (composition,)
