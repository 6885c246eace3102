"""The commands about configurations and words: `config`, `reasons`, and what `--save-config` writes."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.options import Json
from assay.storage.errors import ConfigError


def config(
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON schema, for editors that complete keys."),
    ] = False,
    explain: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Explain a key, or all of a table: plan.quotas, graph."),
    ] = None,
    of: Annotated[
        str, typer.Option(metavar="COMMAND", help="Which file: of curate, or of features.")
    ] = "curate",
    json: Json = False,
) -> None:
    """List the keys of a configuration file with their defaults and meanings."""
    from assay.flows.config import schema as schemas
    from assay.flows.printing.output import print_json

    if of not in schemas.FORMS:
        raise ConfigError(f"--of is {of!r}; it may be: {', '.join(schemas.FORMS)}.")
    form = schemas.FORMS[of]
    if schema:
        print_json(schemas.json_schema(form))
        return
    listed = list(schemas.keys(form)) if explain is None else schemas.key(form, explain)
    if json:
        print_json({"keys": [key._asdict() for key in listed]})
        return
    width = min(100, shutil.get_terminal_size().columns)
    for key in listed:
        default = "" if key.default is None else f" (default {_toml(key.default)})"
        typer.echo(f"{key.name}{default}")
        meaning = key.meaning or "No description."
        if explain is None:
            meaning = textwrap.shorten(meaning, width - 4, placeholder=" ...")
        indent = "    "
        typer.echo(textwrap.fill(meaning, width, initial_indent=indent, subsequent_indent=indent))


def reasons(
    json: Json = False,
) -> None:
    """List the reasons that decisions may have, with what each means."""
    import polars as pl

    from assay.flows.printing.output import print_json, print_table
    from assay.storage.runs.reasons import REASONS, Reason

    if json:
        print_json({"reasons": [reason._asdict() for reason in REASONS]})
    else:
        print_table(pl.DataFrame(REASONS, schema=Reason._fields, orient="row"))


def save(settings: Any, out: Path) -> None:
    """Write the TOML file that repeats a call; one that says the same already stays.

    Raises
    ------
    ConfigError
        There is another file of that name, or no folder to write it into.
    """
    import tomli_w

    from assay.storage.disk.atomic import output_path

    values = settings.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    simple = {name: value for name, value in values.items() if not isinstance(value, dict)}
    text = tomli_w.dumps(simple | values)
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    if out.is_file() and out.read_bytes() == text.encode():
        return
    try:
        with output_path(out, replace=False) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise ConfigError(
            f"{out} exists already and says something else. Name another file with --save-config, or "
            "remove it first."
        ) from None


def _toml(value: Any) -> str:
    """Format a default as a file would hold it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value == {} else str(value)


COMMANDS = (config, reasons)
