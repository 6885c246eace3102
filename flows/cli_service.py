"""Commands that look after a store and its nightly runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.cli_options import Json, Store, open_store


def check(
    store: Store = Path("assay-store"),
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be rebuilt.")] = False,
    json: Json = False,
) -> None:
    """Verify checksums, counts and decisions of a store, and the libraries of linear algebra."""
    from assay.flows.checking import check_all, print_check
    from assay.flows.output import print_json

    found = check_all(open_store(store), repair=repair)
    if json:
        print_json(found)
    else:
        print_check(found)
    if any(not finding["repaired"] for finding in found["findings"]):
        raise typer.Exit(1)


COMMANDS = (check,)
