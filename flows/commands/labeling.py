"""`assay next`: the next rows to label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json


def next_batch(
    config: Annotated[
        Path | None,
        typer.Argument(help="A TOML file, as for curate; its table [next] is read too."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="File, folder or glob of the labels so far: ids and labels."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Column of labels: of --labels, or without it of the pool."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Rows of the batch: a count or a share (1%). Default: 50.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="File, folder, glob or URL of the data to choose from.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The pool's name in the store.")] = None,
    id: Annotated[str | None, typer.Option(help="Column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="Column of texts.")] = None,
    vector: Annotated[str | None, typer.Option(help="Column of vectors, or an .npy file.")] = None,
    image: Annotated[str | None, typer.Option(help="Column of image bytes or paths.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns of a table to compare its rows by.")
    ] = None,
    covered: Annotated[
        str | None,
        typer.Option(
            help="Further rows that are had, such as those given out already: a file of ids, or SQL."
        ),
    ] = None,
    filter: Annotated[
        list[str] | None, typer.Option(help="Condition that rows must meet. Repeatable.")
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="Scores to store with the batch. Default: those of [next].")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter of the selector: informativeness=0.5 (assay methods next_batch). "
            "Repeatable."
        ),
    ] = None,
    store: Annotated[str | None, typer.Option(help="Folder of the store.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run as the Prefect flow.")] = False,
    save_config: Annotated[
        Path | None, typer.Option(help="Write the TOML file that repeats this call.")
    ] = None,
    json: Json = False,
) -> None:
    """Choose the next rows to label: those that cover what the labels so far leave unsure.

    Rows with a label count as chosen, with the reason covered. Give the command again when labels
    have arrived.
    """
    from assay.flows import api, progress
    from assay.flows.config import arguments
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.form import merged, read_toml
    from assay.flows.printing.output import print_json
    from assay.flows.printing.summary import print_curation, print_labels
    from assay.flows.running.results import curation_summary

    options: dict[str, Any] = {
        "labels": labels, "label": label, "pool": pool, "name": name, "id": id, "text": text,
        "vector": vector, "image": image, "columns": columns, "store": store, "seed": seed,
    }  # fmt: skip
    tables: dict[str, dict[str, Any]] = {
        "plan": {"covered": covered, "filters": filter},
        "next": {"budget": budget, "scores": scores},
    }
    for table, values in tables.items():
        named = {key: value for key, value in values.items() if value}
        if named:
            options[table] = named
    values = arguments.with_next_options(
        merged(read_toml(config) if config else {}, options), option or ()
    )
    settings = CurationConfig.build(values, where=str(config) if config else "the options")
    if save_config is not None:
        from assay.flows.commands.settings import save

        save(settings, save_config)
    with progress.bars():
        result = api.next_batch(settings, prefect=prefect)
    if json:
        print_json(curation_summary(result))
        return
    print_curation(result)
    print_labels(result)


COMMANDS = {"next": next_batch}
