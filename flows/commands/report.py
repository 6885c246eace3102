"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.options import REPORT, Json, Overwrite, Store, open_store
from assay.storage.errors import ConfigError


def report(
    out: Annotated[Path, typer.Option(help="Page to write: F.html.")] = Path(REPORT),
    store: Store = Path("assay-store"),
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Show what changed from one run to another: ids, first digits, previous, latest.",
            metavar="RUN_A RUN_B",
        ),
    ] = None,
    no_map: Annotated[bool, typer.Option("--no-map", help="Leave the map out.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write one self-contained page about a run, or about what changed between two.

    It shows reasons, a map, figures beside random, scores, groups and rows.

    The page opens from disk and loads nothing from the network.
    """
    from assay.flows.export.destination import check_destination
    from assay.flows.printing.output import print_json
    from assay.flows.running.reports import write_report

    opened = open_store(store)
    check_destination(out, opened, overwrite=overwrite)
    if run is not None and compare is not None:
        raise ConfigError("Give --run for one run, or --compare for two; not both.")
    written = write_report(
        opened, out, run=run, compare=compare, with_map=not no_map, overwrite=overwrite
    )
    if json:
        print_json({"run_id": written.run_id, "out": str(out), "bytes": written.size})
    else:
        typer.echo(f"Report of run {written.run_id} written to {out}")


def explore(
    store: Store = Path("assay-store"),
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    basket: Annotated[
        Path, typer.Option(help="Folder for basket.toml and basket.parquet, the rows you mark.")
    ] = Path("."),
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1. Default: any free one.")] = 0,
) -> None:
    """Serve the report page with all rows and a search, on this machine only."""
    from assay.flows.explore.explorer import make_explorer
    from assay.flows.explore.server import HOST, bind, serve

    listening = bind(port)
    with listening:
        explorer = make_explorer(open_store(store), basket, run)
        typer.echo(f"http://{HOST}:{listening.getsockname()[1]}/?token={explorer.token}")
        serve(explorer.app, listening)


COMMANDS = (report, explore)
