"""The command that lists recipes, and shows the plan of one."""

from __future__ import annotations

import shutil
import textwrap
from typing import Annotated, Any

import typer

from assay.flows.commands.completion import complete_recipes
from assay.flows.commands.options import Json


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Show the plan of this recipe.", autocompletion=complete_recipes),
    ] = None,
    json: Json = False,
) -> None:
    """List the plans of published methods, for `assay curate --recipe NAME`, or show one."""
    from assay.flows.config import recipe
    from assay.flows.printing.output import print_json

    listed = recipe.recipes() if name is None else (recipe.recipe(name),)
    if json:
        print_json({"recipes": [each._asdict() for each in listed]})
    elif name is None:
        width = max(len(each.name) for each in listed)
        for each in listed:
            typer.echo(f"{each.name:<{width}}  {each.help}")
            typer.echo(f"{'':<{width}}  {each.source}")
    else:
        _print_page(listed[0])


def _print_page(recipe: Any) -> None:
    import tomli_w

    width = min(100, shutil.get_terminal_size().columns)
    typer.echo(f"{recipe.name}: {recipe.help}\n")
    for text in (recipe.does, f"Needs: {recipe.needs}.", f"Source: {recipe.source}."):
        typer.echo(textwrap.fill(text, width))
    typer.echo(f"\n{tomli_w.dumps(recipe.settings)}", nl=False)


COMMANDS = (recipes,)
