"""The command that says how much contaminated items help a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.options import Json, Overwrite


def contamination(
    results: Annotated[
        str, typer.Argument(help="Table with span, correct and, where several, benchmark, model.")
    ],
    permutations: Annotated[
        int, typer.Option(help="Permutations that gains are held against.")
    ] = 1_000,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the table to this file.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure how much a model gains from items that its training data held.

    A row of the table is an item and a model: span, the words of the longest run that the training data
    shares with the item (`Leakage.span_` in Python, with the items as the pool); correct, 0 to 1. For each benchmark and
    model the length from which on runs help most is chosen, and held against permuted results.
    """
    from assay.flows.export.destination import check_destination
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.diff import format_of
    from assay.flows.printing.output import emit, print_json, print_table
    from assay.selection.evaluation.contamination_effects import contamination_effect
    from assay.storage.reading.tables import read_table

    if out is not None:
        check_destination(out, overwrite=overwrite, inputs=[results])
    effect = contamination_effect(read_table(results), permutations=permutations, random_state=seed)
    if out is not None:
        emit(effect, format_of(out, "table"), out, overwrite=overwrite)
    if json:
        print_json(rows_json(effect))
        return
    print_table(effect, title="What models gain from items that their training data held:")


COMMANDS = (contamination,)
