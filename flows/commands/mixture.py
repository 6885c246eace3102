"""The command that learns a mixture of sources from training runs, or from models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json


def mixture(
    table: Annotated[
        str,
        typer.Argument(
            help="Table with a row for each run or model, and a column for each source."
        ),
    ],
    metric: Annotated[str, typer.Option(help="Column of the metric to go by, such as a loss.")],
    models: Annotated[
        bool,
        typer.Option(
            "--models", help="The rows are models and their losses, not runs and weights."
        ),
    ] = False,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=N", help="How much there is of a source, for --budget. Repeatable."
        ),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="What the mixture is for, in the unit of the sizes.")
    ] = None,
    repeat: Annotated[
        float, typer.Option(help="How often a source may be gone through at most.")
    ] = 1,
    higher_is_better: Annotated[
        bool, typer.Option("--higher-is-better", help="The metric is an accuracy, not a loss.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    json: Json = False,
) -> None:
    """Learn the share that each source should have, with 95 % intervals.

    Runs: each row says what a training run had of each source, and how good it was; other mixtures
    are predicted from at least 30 of them. Models: each row says how large a model's loss is on each
    source, and its error on what counts; sources whose loss goes with the error are taken first, each
    up to what --size and --budget allow.
    """
    from assay.flows.config import arguments
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.output import print_json, print_table
    from assay.selection.plan.mixtures import learner
    from assay.storage.reading.tables import read_table

    sizes = arguments.weights(size or (), "--size") or None
    settings: dict[str, Any] = {"sizes": sizes, "budget": budget, "repeat": repeat}
    learned = learner("models" if models else "runs")(
        read_table(table),
        metric,
        **settings,
        higher_is_better=higher_is_better,
        random_state=seed,
    )
    frame = learned.frame.sort("share", "source", descending=[True, False])
    if json:
        print_json({**rows_json(frame), "report": learned.report_})
        return
    print_table(frame)
    for name, value in learned.report_.items():
        typer.echo(f"{name} {value:.4g}", err=True)


COMMANDS = (mixture,)
