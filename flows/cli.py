"""The command line: `assay`."""

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands import methods as cli_methods
from assay.flows.commands import queries as cli_queries
from assay.flows.commands import report as cli_report
from assay.flows.commands import service as cli_service
from assay.flows.commands import settings as cli_settings
from assay.flows.commands.completion import complete_rankers, complete_scores, complete_selectors
from assay.flows.commands.help import Command
from assay.flows.commands.options import Json, Store
from assay.flows.config.credentials import Scrubbing, scrub, scrub_error
from assay.flows.config.memory_size import check_address_space
from assay.selection import registry
from assay.storage.errors import AssayError

app = typer.Typer(
    name="assay",
    help="Choose the part of a data set that is worth labeling or training on, with a reason "
    "for every row.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _names(kind: str) -> str:
    return ", ".join(entry.name for entry in registry.entries(kind))


def _deduplication() -> str:
    return ", ".join(e.name for e in registry.entries("step") if e.name != "hard_cutoff")


class Stopped(SystemExit):
    """A signal told the process to end."""


def _stop(number: int, _: object) -> None:
    raise Stopped(128 + number)


def main() -> None:
    """Run the command line; errors of assay are one paragraph on standard error.

    A signal to end lets the run be noted as failed, and locks be given back.
    """
    if sys.stdout is None:
        sys.exit("assay: standard output is closed; send it to a file or to /dev/null")
    before = None
    with suppress(ValueError):  # not the main thread
        before = signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except AssayError as error:
        from assay.flows.commands.output import printable

        wrongly = not isinstance(error, RuntimeError)
        message = scrub(str(error))
        if "--json" in sys.argv:
            from assay.flows.commands.output import print_json

            print_json({"error": {"type": type(error).__name__, "message": message}})
        sys.stderr.write(f"assay: {printable(message)}\n")
        sys.exit(2 if wrongly else 1)
    except OSError as error:
        sys.stderr.write(f"assay: {scrub(str(error))}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("assay: stopped; run the same command again to resume\n")
        sys.exit(130)
    except Stopped:
        sys.stderr.write("assay: stopped; run the same command again to resume\n")
        raise
    except Exception as error:
        scrub_error(error)
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"assay {version('assay-curation')}")
        raise typer.Exit


_COMPUTING = frozenset({"curate", "features", "demo", "plan", "serve"})


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    from assay.flows.progress import log_to_stderr, logger

    check_address_space(reading=context.invoked_subcommand not in _COMPUTING)
    log_to_stderr()
    for handler in logger.handlers:
        if not any(isinstance(known, Scrubbing) for known in handler.filters):
            handler.addFilter(Scrubbing())


@app.command(cls=Command)
def demo(store: Store = Path("assay-store"), json: Json = False) -> None:
    """Run the main job on the small real pool that ships with assay, to choose health answers."""
    from assay.flows import progress
    from assay.flows.commands import demo as demonstration
    from assay.flows.commands.output import print_json
    from assay.flows.commands.summary import print_curation, print_features
    from assay.flows.running.results import curation_summary, feature_summary

    with progress.bars():
        curated, ranked = demonstration.run(store)
    if json:
        print_json({"curate": curation_summary(curated), "features": feature_summary(ranked)})
        return
    print_curation(curated)
    print_features(ranked)
    at = shlex.quote(str(store))
    first = curated.store.trusted_sql(
        "SELECT sample_id FROM latest_selection WHERE position = 1"
    ).item()
    typer.echo(
        "\nTry next:\n"
        f'  assay sql "select domain, count(*) from latest_selection join latest_samples '
        f'using (pool, sample_id) group by all" --store {at}\n'
        f"  assay explain {shlex.quote(first)} --store {at}\n"
        f"  assay export --store {at} --out subset.parquet"
    )


_POOL, _WANTED, _PLAN, _METHODS, _RUN = (
    "The pool",
    "What to choose",
    "The plan",
    "Methods",
    "The run",
)


@app.command(cls=Command)
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
            help=f"Selector: {_names('selector')}.",
            autocompletion=complete_selectors,
        ),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            rich_help_panel=_METHODS,
            help=f"Scores: {_names('scorer')}.",
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
            help=f"Deduplication steps: {_deduplication()}.",
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


@app.command(cls=Command)
def features(
    table: Annotated[str, typer.Argument(help="File of the table.")],
    label: Annotated[str, typer.Option(help="Column to explain.")],
    method: Annotated[
        str,
        typer.Option(
            metavar="A,B", help=f"Rankers: {_names('ranker')}.", autocompletion=complete_rankers
        ),
    ] = "ecfs",
    k: Annotated[str, typer.Option(help="Number of features to select, or auto.")] = "50",
    name: Annotated[str | None, typer.Option(help="The table's name in the store.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Parameter of a method: ecfs.alpha=cv. Repeatable.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Separator of CSV fields: one character, or tab.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of text files: utf-16, latin-1, ...")
    ] = None,
    missing: Annotated[
        str, typer.Option(help="How to handle missing values: median, indicator or raise.")
    ] = "median",
    stability: Annotated[int, typer.Option(help="Number of bootstrap resamples; 0: none.")] = 0,
    consensus: Annotated[
        str | None,
        typer.Option(help="Add a consensus ranking of the methods: rra, borda or median."),
    ] = None,
    consensus_of: Annotated[
        str | None,
        typer.Option(
            help="Methods to count in the consensus: A,B. Default: all but those whose "
            "scores are not corrected for chance."
        ),
    ] = None,
    memory_mb: Annotated[
        int, typer.Option(help="Read larger tables (in MB) in blocks if the method allows it.")
    ] = 1024,
    store: Store = Path("assay-store"),
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    prefect: Annotated[bool, typer.Option("--prefect", help="Run as the Prefect flow.")] = False,
    json: Json = False,
) -> None:
    """Rank the columns of a table by how much they tell about its label."""
    from assay.flows import api, progress
    from assay.flows.commands.output import print_json
    from assay.flows.commands.summary import print_features
    from assay.flows.config.features import FeatureConfig
    from assay.flows.config.fields import method_options
    from assay.flows.running.results import feature_summary

    settings = FeatureConfig.build(
        {
            "table": table,
            "label": label,
            "methods": method,
            "k": k,
            "name": name,
            "options": method_options(option or []),
            "delimiter": delimiter,
            "encoding": encoding,
            "missing": missing,
            "stability": stability,
            "consensus": consensus,
            "consensus_of": consensus_of,
            "memory_mb": memory_mb,
            "store": str(store),
            "seed": seed,
        },
        where="the options",
    )
    with progress.bars():
        result = api.rank_features(settings, prefect=prefect)
    if json:
        print_json(feature_summary(result))
    else:
        print_features(result)


for _command in (
    *cli_queries.COMMANDS,
    *cli_methods.COMMANDS,
    *cli_report.COMMANDS,
    *cli_settings.COMMANDS,
):
    app.command(_command.__name__, cls=Command)(_command)
for _name, _service in cli_service.COMMANDS.items():
    app.command(_name, cls=Command)(_service)


if __name__ == "__main__":
    main()
