"""The command of the main job: every option of a curation run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.completion import (
    complete_recipes,
    complete_scores,
    complete_selectors,
)
from assay.flows.commands.options import REPORT, WEIGH, Json, method_names, step_names

_POOL, _WANTED, _METHODS = "The pool", "What to choose", "Methods"
_PLAN, _RUN = "The plan", "The run"


def _option(panel: str, value: str, help: str, **settings: Any) -> Any:
    """Declare an option by its group in the help, what it takes, and what it does."""
    return typer.Option(metavar=value, rich_help_panel=panel, help=help, **settings)


def curate(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; options override it. Keys: assay config.")
    ] = None,
    recipe: Annotated[
        str | None,
        _option(
            _METHODS,
            "NAME",
            "A published method to start from: assay recipes. Other options override it.",
            autocompletion=complete_recipes,
        ),
    ] = None,
    pool: Annotated[
        str | None, _option(_POOL, "PATH", "File, folder, glob or URL of the data to choose from.")
    ] = None,
    name: Annotated[str | None, _option(_POOL, "NAME", "The pool's name in the store.")] = None,
    id: Annotated[
        str | None,
        _option(_POOL, "COLUMN", "Column of unique ids. Default: a hash of the content."),
    ] = None,
    text: Annotated[str | None, _option(_POOL, "COLUMN", "Column of texts.")] = None,
    vector: Annotated[
        str | None, _option(_POOL, "COLUMN", "Column of vectors, or an .npy file.")
    ] = None,
    image: Annotated[
        str | None, _option(_POOL, "COLUMN", "Column of image bytes or paths.")
    ] = None,
    columns: Annotated[
        str | None, _option(_POOL, "A,B", "Columns of a table to compare its rows by.")
    ] = None,
    label: Annotated[str | None, _option(_POOL, "COLUMN", "Column of labels.")] = None,
    group: Annotated[str | None, _option(_POOL, "COLUMN", "Column of groups.")] = None,
    edges: Annotated[
        str | None,
        _option(_POOL, "PATH", "File of edges between rows (source, target): they are the graph."),
    ] = None,
    keep: Annotated[
        str | None, _option(_POOL, "A,B", "Further columns to store with the results, for SQL.")
    ] = None,
    template: Annotated[
        str | None, _option(_POOL, "TEXT", "How a chat message becomes text: '{role}: {content}'.")
    ] = None,
    turns: Annotated[
        str | None, _option(_POOL, "all|last", "Of a chat: all messages, or the last exchange.")
    ] = None,
    system: Annotated[
        bool | None,
        typer.Option(
            "--system/--no-system",
            rich_help_panel=_POOL,
            help="Whether a chat's text holds the system prompt.",
        ),
    ] = None,
    delimiter: Annotated[
        str | None, _option(_POOL, "CHARACTER", "Separator of CSV fields: one character, or tab.")
    ] = None,
    encoding: Annotated[
        str | None, _option(_POOL, "NAME", "Encoding of text files: utf-16, latin-1, ...")
    ] = None,
    target: Annotated[
        str | None, _option(_WANTED, "PATH", "File of example rows to match.")
    ] = None,
    like: Annotated[
        str | None, _option(_WANTED, "ID,ID", "Ids of rows to find similar rows for.")
    ] = None,
    budget: Annotated[
        str | None, _option(_WANTED, "N", "Rows to choose: a count (1000) or a share (10%).")
    ] = None,
    select: Annotated[
        str | None,
        _option(
            _WANTED,
            "METHOD",
            f"Selector: {method_names('selector')}.",
            autocompletion=complete_selectors,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        _option(
            _METHODS, "A,B", f"Scores: {method_names('scorer')}.", autocompletion=complete_scores
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        _option(
            _METHODS,
            "NAME=VALUE",
            "A parameter of the selector (cutoff=0.2), of a score (like.method=flow), a step "
            "(near_duplicates.threshold=0.8), the graph (graph.k=20) or the embedding. Repeatable.",
        ),
    ] = None,
    score_option: Annotated[
        list[str] | None,
        _option(_METHODS, "NAME=VALUE", "A parameter of a score: like.method=flow. Repeatable."),
    ] = None,
    expression: Annotated[
        list[str] | None,
        _option(_METHODS, "NAME=SQL", "A score of your own: words=length(text). Repeatable."),
    ] = None,
    difficulty: Annotated[
        str | None, _option(_METHODS, "SCORE", "Score to use as difficulty.")
    ] = None,
    blend: Annotated[
        list[str] | None,
        _option(
            _METHODS,
            "SCORE=WEIGHT",
            "Scores to make one score of: pagerank=1,words=-0.5. Repeatable.",
        ),
    ] = None,
    training_log: Annotated[
        str | None,
        _option(_METHODS, "PATH", "Training log of a model; aum, el2n and others need it."),
    ] = None,
    filter: Annotated[
        list[str] | None, _option(_PLAN, "SQL", "Condition that rows must meet. Repeatable.")
    ] = None,
    deduplicate: Annotated[
        str | None, _option(_PLAN, "A,B", f"Deduplication steps: {step_names()}.")
    ] = None,
    cutoff: Annotated[
        str | None,
        _option(
            _PLAN,
            "SHARE",
            "Share of the hardest rows to drop (0.1), auto, or contamination (estimated outliers).",
        ),
    ] = None,
    cost: Annotated[
        str | None, _option(_PLAN, "COLUMN", "Column of costs; the budget then limits their sum.")
    ] = None,
    by: Annotated[
        str | None, _option(_PLAN, "COLUMN", "Column of groups for --quota and --minimum.")
    ] = None,
    quota: Annotated[
        list[str] | None,
        _option(_PLAN, "GROUP=N", "Most rows of a group: web=50%, law=1000. Repeatable."),
    ] = None,
    minimum: Annotated[
        list[str] | None, _option(_PLAN, "GROUP=N", "Fewest rows of a group: law=1000. Repeatable.")
    ] = None,
    mixture: Annotated[
        list[str] | None,
        _option(
            _PLAN,
            "SOURCE=SHARE",
            "Share of a source: web=0.5,law=0.5; or even, proportional, sqrt or target. Repeatable.",
        ),
    ] = None,
    mixture_from_runs: Annotated[
        str | None,
        _option(_PLAN, "FILE", "Table of training runs: weight of each source, and a metric."),
    ] = None,
    mixture_from_models: Annotated[
        str | None,
        _option(_PLAN, "FILE", "Table of models: loss on each source, and a benchmark error."),
    ] = None,
    metric: Annotated[
        str | None, _option(_PLAN, "COLUMN", "Metric that those tables are learned by.")
    ] = None,
    repeat: Annotated[
        int | None, _option(_PLAN, "N", "Most times a row counts where a source is short.")
    ] = None,
    rounding: Annotated[
        str | None,
        _option(_PLAN, "RULE", "Whole rows of a mixture: largest_remainder or dhondt."),
    ] = None,
    must_include: Annotated[
        Path | None,
        _option(
            _PLAN,
            "FILE",
            "File of ids to choose in any case: one in each line, or a column of ids.",
        ),
    ] = None,
    must_exclude: Annotated[
        Path | None, _option(_PLAN, "FILE", "File of ids never to choose.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        _option(
            _PLAN,
            "NAME=PATH",
            "Data that is had already: rows that are in it go. Repeatable.",
        ),
    ] = None,
    covered: Annotated[
        str | None,
        _option(_PLAN, "FILE|SQL", "Rows that are had already: a file of ids, or a condition."),
    ] = None,
    churn: Annotated[
        str | None, _option(_PLAN, "N", "Most rows of the last selection to replace: 20, 10%.")
    ] = None,
    weigh: Annotated[
        str | None,
        _option(
            _PLAN,
            "[noise]",
            "Weigh each chosen row by how much of the pool it stands for; noise: so that wrong "
            "labels count little.",
        ),
    ] = None,
    store: Annotated[str | None, _option(_RUN, "FOLDER", "Folder of the store.")] = None,
    seed: Annotated[int | None, _option(_RUN, "N", "Random seed.")] = None,
    memory_limit: Annotated[
        str | None, _option(_RUN, "SIZE", "Refuse runs that need more memory: 16GiB.")
    ] = None,
    engine: Annotated[
        str | None, _option(_RUN, "NAME", "Engine to run on: process, threads, dask or ray.")
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", rich_help_panel=_RUN, help="Refit and rebuild instead of updating."
        ),
    ] = False,
    map: Annotated[
        bool,
        typer.Option(
            "--map", rich_help_panel=_RUN, help="Lay the similarity graph out: latest_map."
        ),
    ] = False,
    slices: Annotated[
        str | None,
        _option(_RUN, "A,B", "Find the values among whose rows these are high: left, a score."),
    ] = None,
    shortcuts: Annotated[
        bool,
        typer.Option(
            "--shortcuts", rich_help_panel=_RUN, help="Measure what gives the labels away."
        ),
    ] = False,
    report: Annotated[
        str | None,
        _option(
            _RUN, "[FILE.html]", f"Write the run's report, map included. Default file: {REPORT}."
        ),
    ] = None,
    prefect: Annotated[
        bool, typer.Option("--prefect", rich_help_panel=_RUN, help="Run as the Prefect flow.")
    ] = False,
    save_config: Annotated[
        Path | None, _option(_RUN, "FILE", "Write the TOML file that repeats this call.")
    ] = None,
    json: Json = False,
) -> None:
    """Embed, score and select the rows of a pool, and store the results: the main job."""
    from assay.flows import api, progress
    from assay.flows.config import arguments
    from assay.flows.config.curation import CurationConfig
    from assay.flows.config.fields import method_options
    from assay.flows.config.form import merged, read_toml
    from assay.flows.config.had import read_ids
    from assay.flows.config.recipe import with_recipe
    from assay.flows.printing.output import print_json
    from assay.flows.printing.summary import print_curation
    from assay.flows.running.results import curation_summary

    configured = read_toml(config) if config else {}
    id_column = id or configured.get("id")
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
        "mixture": arguments.mixture(mixture or ()),
        "mixture_from_runs": mixture_from_runs,
        "mixture_from_models": mixture_from_models,
        "mixture_options": {"metric": metric} if metric else {},
        "repeat": repeat,
        "rounding": rounding,
        "must_include": must_include and tuple(read_ids(str(must_include), id_column)),
        "must_exclude": must_exclude and tuple(read_ids(str(must_exclude), id_column)),
        "reference": arguments.assignments(reference or (), "--reference"),
        "covered": covered,
        "churn": churn,
        "weigh": True if weigh == WEIGH else weigh,
    }
    plan = {key: value for key, value in rules.items() if value}
    for switch in ("refit", "map", "shortcuts"):
        if not overrides[switch]:
            del overrides[switch]
    if plan:
        overrides["plan"] = plan
    if score_option:
        overrides["score_options"] = method_options(score_option)
    if expression:
        overrides["expressions"] = arguments.assignments(expression, "--expression")
    values = with_recipe(merged(configured, overrides))
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
