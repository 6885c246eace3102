"""The command line: `assay`."""

from __future__ import annotations

import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands import agreement as cli_agreement
from assay.flows.commands import composition as cli_composition
from assay.flows.commands import contamination as cli_contamination
from assay.flows.commands import init as cli_init
from assay.flows.commands import labeling as cli_labeling
from assay.flows.commands import looking as cli_looking
from assay.flows.commands import methods as cli_methods
from assay.flows.commands import mixture as cli_mixture
from assay.flows.commands import pairs as cli_pairs
from assay.flows.commands import queries as cli_queries
from assay.flows.commands import recipes as cli_recipes
from assay.flows.commands import report as cli_report
from assay.flows.commands import service as cli_service
from assay.flows.commands import settings as cli_settings
from assay.flows.commands import splitting as cli_splitting
from assay.flows.commands import tools as cli_tools
from assay.flows.commands import value as cli_value
from assay.flows.commands.curating import curate
from assay.flows.commands.help import Command, CurateCommand, Group, panel_of
from assay.flows.commands.options import Json, Store
from assay.flows.commands.ranking import features
from assay.flows.config.credentials import Scrubbing, scrub, scrub_error
from assay.flows.config.memory_size import check_address_space
from assay.storage.errors import AssayError
from assay.storage.heap import collected_seldom

app = typer.Typer(
    name="assay",
    cls=Group,
    help="Choose the part of a data set that is worth labeling or training on, with a reason "
    "for every row.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
        with collected_seldom():
            app()
    except AssayError as error:
        from assay.flows.printing.output import printable

        wrongly = not isinstance(error, RuntimeError)
        message = scrub(str(error))
        if "--json" in sys.argv:
            from assay.flows.printing.output import print_json

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


_COMPUTING = frozenset(
    {
        "curate",
        "next",
        "features",
        "demo",
        "plan",
        "serve",
        "composition",
        "value",
        "agreement",
        "mixture",
        "split",
        "leaks",
        "shortcuts",
    }
)


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


@app.command(cls=Command, rich_help_panel=panel_of("demo"))
def demo(store: Store = Path("assay-demo"), json: Json = False) -> None:
    """Run the main job on the small real pool that ships with assay, to choose health answers."""
    from assay.flows import progress
    from assay.flows.commands import demo as demonstration
    from assay.flows.printing.output import print_json
    from assay.flows.printing.summary import print_curation, print_features
    from assay.flows.running.results import curation_summary, feature_summary

    page = demonstration.page_beside(store)
    with progress.bars():
        curated, ranked = demonstration.run(store, page)
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
    if curated.report_file is None:
        typer.echo("\nA page with a map of all rows: pip install 'assay-curation[report]'")
    else:
        typer.echo(f"\nThe report of the run, to open in a browser: {curated.report_file}")


app.command("curate", cls=CurateCommand, rich_help_panel=panel_of("curate"))(curate)
for _command in (
    features,
    *cli_queries.COMMANDS,
    *cli_methods.COMMANDS,
    *cli_recipes.COMMANDS,
    *cli_report.COMMANDS,
    *cli_settings.COMMANDS,
    *cli_agreement.COMMANDS,
    *cli_composition.COMMANDS,
    *cli_contamination.COMMANDS,
    *cli_pairs.COMMANDS,
    *cli_value.COMMANDS,
    *cli_mixture.COMMANDS,
    *cli_init.COMMANDS,
    *cli_looking.COMMANDS,
    *cli_splitting.COMMANDS,
    *cli_tools.COMMANDS,
):
    _panel = panel_of(_command.__name__)
    app.command(_command.__name__, cls=Command, rich_help_panel=_panel)(_command)
for _name, _service in {**cli_labeling.COMMANDS, **cli_service.COMMANDS}.items():
    app.command(_name, cls=Command, rich_help_panel=panel_of(_name))(_service)


if __name__ == "__main__":
    main()
