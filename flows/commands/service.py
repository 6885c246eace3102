"""Commands that look after a store and its nightly runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.options import Json, Store, open_store


def check(
    store: Store = Path("assay-store"),
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be rebuilt.")] = False,
    json: Json = False,
) -> None:
    """Verify checksums, counts and decisions of a store, and the libraries of linear algebra."""
    from assay.flows.commands.checking import check_all, print_check
    from assay.flows.commands.output import print_json

    found = check_all(open_store(store), repair=repair)
    if json:
        print_json(found)
    else:
        print_check(found)
    if any(f["level"] == "damage" and not f["repaired"] for f in found["findings"]):
        raise typer.Exit(1)


def serve(
    config: Annotated[Path, typer.Argument(help="A TOML file of a pool, or of a table to rank.")],
    cron: Annotated[
        str | None, typer.Option(help='When: minute, hour, day, month, weekday: "0 3 * * *".')
    ] = None,
    interval: Annotated[str | None, typer.Option(help="Or how often: 3600, 30m, 1h.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of the cron line, as Europe/Berlin; else UTC.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The deployment's name; else that of the file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs at once.")] = 1,
) -> None:
    """Run a configuration by a schedule of a Prefect server, until this is stopped."""
    from assay.flows.commands import serve as serving

    serving.serve(config, cron=cron, interval=interval, timezone=timezone, name=name, limit=limit)


def gc(
    store: Store = Path("assay-store"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would be.")] = False,
    json: Json = False,
) -> None:
    """Remove what nothing in a store refers to: artifacts of runs that are not kept, leftovers."""
    from assay.flows.commands.cleaning import clean, print_cleaning
    from assay.flows.commands.output import print_json

    found = clean(open_store(store), dry_run=dry_run)
    if json:
        print_json(found)
    else:
        print_cleaning(found)


def plan(
    config: Annotated[Path, typer.Argument(help="A TOML file, as for curate.")],
    pool: Annotated[str | None, typer.Option(help="File, folder or glob to choose from.")] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="Refuse a run that would take more: 16GiB.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="The store's folder.")] = None,
    json: Json = False,
) -> None:
    """Say what a run will take, by samples of the pool: memory, disk and time of every stage."""
    from assay.flows.commands.output import print_json
    from assay.flows.commands.planned import print_estimate
    from assay.flows.config.curation import CurationConfig
    from assay.flows.estimate.estimation import estimate

    given = {"pool": pool, "memory_limit": memory_limit, "store": store}
    found = estimate(CurationConfig.from_toml(config, **given))
    refused = found.refused
    if json:
        error = {"type": type(refused).__name__, "message": str(refused)}
        print_json(found.as_dict() | ({"error": error} if refused else {}))
    else:
        print_estimate(found)
    if refused:
        sys.stderr.write(f"assay: {refused}\n")
        raise typer.Exit(1)


COMMANDS = (check, serve, gc, plan)
