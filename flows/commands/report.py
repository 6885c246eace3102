"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.options import Json, Overwrite, Store, open_store


def report(
    out: Annotated[Path, typer.Option(help="Page to write: F.html.")] = Path("report.html"),
    store: Store = Path("assay-store"),
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    no_map: Annotated[bool, typer.Option("--no-map", help="Leave the map out.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write one self-contained page about a run: reasons, map, figures beside random, rows.

    The page opens from disk and loads nothing from the network.
    """
    from assay.flows.commands.output import print_json
    from assay.flows.export.destination import check_destination
    from assay.flows.report.write import write_report

    opened = open_store(store)
    check_destination(out, opened, overwrite=overwrite)
    written = write_report(opened, out, run=run, with_map=not no_map, overwrite=overwrite)
    if json:
        print_json({"run_id": written.run_id, "out": str(out), "bytes": written.size})
    else:
        typer.echo(f"Report of run {written.run_id} written to {out}")


COMMANDS = (report,)
