"""The command of the main job: every option of a curation run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.completion import complete_scores, complete_selectors
from assay.flows.commands.options import Json, method_names, step_names

_POOL, _WANTED, _PLAN, _METHODS, _RUN = (
    "The pool",
    "What to choose",
    "The plan",
    "Methods",
    "The run",
)


def curate(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; options override it. Keys: assay config.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=_POOL,
            help="File, folder, glob or URL of the data to choose from.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=_POOL, help="The pool's name in the store."),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=_POOL,
            help="Column of unique ids. Default: a hash of the content.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=_POOL, help="Column of texts."),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", rich_help_panel=_POOL, help="Column of vectors, or an .npy file."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", rich_help_panel=_POOL, help="Column of image bytes or paths."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            rich_help_panel=_POOL,
            help="Columns of a table to compare its rows by.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=_POOL, help="Column of labels."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", rich_help_panel=_POOL, help="Column of groups."),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            rich_help_panel=_POOL,
            help="Further columns to store with the results, for SQL.",
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=_POOL,
            help="How a chat message becomes text: '{role}: {content}'.",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            rich_help_panel=_POOL,
            help="Separator of CSV fields: one character, or tab.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_POOL,
            help="Encoding of text files: utf-16, latin-1, ...",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", rich_help_panel=_WANTED, help="File of example rows to match."
        ),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="ID,ID",
            rich_help_panel=_WANTED,
            help="Ids of rows to find similar rows for.",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_WANTED,
            help="Rows to choose: a count (1000) or a share (10%).",
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            rich_help_panel=_WANTED,
            help=f"Selector: {method_names('selector')}.",
            autocompletion=complete_selectors,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            rich_help_panel=_METHODS,
            help=f"Scores: {method_names('scorer')}.",
            autocompletion=complete_scores,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            rich_help_panel=_METHODS,
            help="A parameter of the selector (cutoff=0.2), of a score (like.method=flow), a step "
            "(near_duplicates.threshold=0.8), the graph (graph.k=20) or the embedding. Repeatable.",
        ),
    ] = None,
    score_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            rich_help_panel=_METHODS,
            help="A parameter of a score: like.method=flow. Repeatable.",
        ),
    ] = None,
    expression: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SQL",
            rich_help_panel=_METHODS,
            help="A score of your own: words=length(text). Repeatable.",
        ),
    ] = None,
    difficulty: Annotated[
        str | None,
        typer.Option(metavar="SCORE", rich_help_panel=_METHODS, help="Score to use as difficulty."),
    ] = None,
    blend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCORE=WEIGHT",
            rich_help_panel=_METHODS,
            help="Scores to make one score of: pagerank=1,words=-0.5. Repeatable.",
        ),
    ] = None,
    training_log: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=_METHODS,
            help="Training log of a model; aum, el2n and others need it.",
        ),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SQL",
            rich_help_panel=_PLAN,
            help="Condition that rows must meet. Repeatable.",
        ),
    ] = None,
    deduplicate: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            rich_help_panel=_PLAN,
            help=f"Deduplication steps: {step_names()}.",
        ),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=_PLAN,
            help="Share of the hardest rows to drop (0.1), auto, or contamination (estimated outliers).",
        ),
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=_PLAN,
            help="Column of costs; the budget then limits their sum.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=_PLAN,
            help="Column of groups for --quota and --minimum.",
        ),
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP=N",
            rich_help_panel=_PLAN,
            help="Most rows of a group: web=50%, law=1000. Repeatable.",
        ),
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP=N",
            rich_help_panel=_PLAN,
            help="Fewest rows of a group: law=1000. Repeatable.",
        ),
    ] = None,
    must_include: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_PLAN,
            help="File of ids to choose in any case: one in each line, or a column sample_id or id.",
        ),
    ] = None,
    must_exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE", rich_help_panel=_PLAN, help="File of ids never to choose."),
    ] = None,
    churn: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=_PLAN,
            help="Most rows of the last selection to replace: 20, 10%.",
        ),
    ] = None,
    weigh: Annotated[
        bool,
        typer.Option(
            "--weigh",
            rich_help_panel=_PLAN,
            help="Weigh each chosen row by how much of the pool it stands for.",
        ),
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", rich_help_panel=_RUN, help="Folder of the store."),
    ] = None,
    seed: Annotated[int | None, typer.Option(rich_help_panel=_RUN, help="Random seed.")] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", rich_help_panel=_RUN, help="Refuse runs that need more memory: 16GiB."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_RUN,
            help="Engine to run on: process, threads, dask or ray.",
        ),
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", rich_help_panel=_RUN, help="Refit and rebuild instead of updating."
        ),
    ] = False,
    prefect: Annotated[
        bool, typer.Option("--prefect", rich_help_panel=_RUN, help="Run as the Prefect flow.")
    ] = False,
    save_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_RUN,
            help="Write the TOML file that repeats this call.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Embed, score and select the rows of a pool, and store the results: the main job."""
    from assay.flows import api, progress
    from assay.flows.commands.output import print_json
    from assay.flows.commands.summary import print_curation
    from assay.flows.config import arguments
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.fields import method_options
    from assay.flows.config.form import merged, read_toml
    from assay.flows.running.results import curation_summary

    names = CurationConfig.model_fields
    overrides = {
        key: value for key, value in locals().items() if key in names and value is not None
    }
    rules = {
        "filters": filter,
        "deduplicate": deduplicate,
        "cutoff": cutoff,
        "cost": cost,
        "by": by,
        "quotas": arguments.amounts(quota or (), "--quota"),
        "minima": arguments.amounts(minimum or (), "--minimum"),
        "blend": arguments.weights(blend or (), "--blend"),
        "must_include": must_include and arguments.ids_of_file(must_include),
        "must_exclude": must_exclude and arguments.ids_of_file(must_exclude),
        "churn": churn,
        "weigh": weigh,
    }
    plan = {key: value for key, value in rules.items() if value}
    if not refit:
        del overrides["refit"]
    if plan:
        overrides["plan"] = plan
    if score_option:
        overrides["score_options"] = method_options(score_option)
    if expression:
        overrides["expressions"] = arguments.assignments(expression, "--expression")
    values = merged(read_toml(config) if config else {}, overrides)
    values = arguments.with_options(values, option or ())
    settings = CurationConfig.build(values, where=str(config) if config else "the options")
    if save_config is not None:
        from assay.flows.commands.settings import save

        save(settings, save_config)
    with progress.bars():
        result = api.curate(settings, prefect=prefect)
    if json:
        print_json(curation_summary(result))
    else:
        print_curation(result)
