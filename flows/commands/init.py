"""`assay init`: a configuration, a deployment and a notebook for the pool at hand."""

from __future__ import annotations

import json as json_format
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.flows.commands.options import Json, Overwrite
from assay.storage.errors import ConfigError

if TYPE_CHECKING:
    from assay.flows.config.proposal import Proposal

CONFIG, DEPLOYMENT, NOTEBOOK = "assay.toml", "prefect.yaml", "assay.ipynb"
_WIDTH = 96
_PATHS = ("pool", "target")


def init(
    pool: Annotated[
        str | None,
        typer.Argument(
            help="File, folder or glob to choose from. Default: the pool that ships with assay."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File of example rows to match. Default: a file called target or wanted beside the pool.",
        ),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="Separator of CSV fields: one character, or tab."),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoding of text files: utf-16, latin-1, ..."),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder to write the three files into.")
    ] = Path(),
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a commented configuration, a Prefect deployment and a notebook for a pool."""
    from assay.flows.config.proposal import propose
    from assay.flows.printing.output import print_json

    if pool is None:
        from assay.examples import example_path

        pool, target = (
            str(example_path("pool.parquet")),
            target or str(example_path("target.parquet")),
        )
    if not out.is_dir():
        raise ConfigError(f"There is no folder {out} to write into; make it first.")
    proposal = propose(pool, target=target, delimiter=delimiter, encoding=encoding)
    files = starting_files(proposal, out)
    written = write_all(files, out, overwrite=overwrite)
    if json:
        print_json({"files": [str(path) for path in written], "config": proposal.settings})
        return
    for key, value in proposal.settings.items():
        why = proposal.because.get(key)
        typer.echo(f"{key} = {_toml(value)}" + (f"  ({why})" if why else ""))
    if "id" not in proposal.settings:
        typer.echo(f"No id: {proposal.because['id']}.")
    change_folder = "" if out == Path() else f"cd {out} && "
    typer.echo(
        f"\nWritten: {', '.join(str(path) for path in written)}\n"
        f"Look at {CONFIG}, then: {change_folder}assay curate {CONFIG}"
    )


def starting_files(proposal: Proposal, folder: Path) -> dict[str, str]:
    """Return the names and texts of the files; paths in them begin at `folder`."""
    settings = {
        key: _from(folder, value) if key in _PATHS else value
        for key, value in proposal.settings.items()
    }
    return {
        CONFIG: configuration(proposal, settings),
        DEPLOYMENT: deployment(settings),
        NOTEBOOK: notebook(settings),
    }


def write_all(files: Mapping[str, str], folder: Path, *, overwrite: bool) -> list[Path]:
    """Write files into a folder, all or none where one of them is there already.

    Raises
    ------
    ConfigError
        A file is there, and `overwrite` is not set.
    """
    from assay.storage.disk.atomic import output_path

    existing = [name for name in files if os.path.lexists(folder / name)]
    if existing and not overwrite:
        raise ConfigError(
            f"{' and '.join(existing)} exist{'s' * (len(existing) == 1)} in {folder.absolute()} already. "
            "Write into another folder with --out, or replace with --overwrite."
        )
    for name, text in files.items():
        try:
            with output_path(folder / name, replace=overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except FileExistsError:
            raise ConfigError(
                f"{folder / name} was made by another process meanwhile; it stays as it is."
            ) from None
    return [folder / name for name in files]


def configuration(proposal: Proposal, settings: Mapping[str, Any]) -> str:
    """Return the text of the TOML file."""
    return "\n".join(_configuration_lines(proposal, settings)) + "\n"


def _configuration_lines(proposal: Proposal, settings: Mapping[str, Any]) -> Iterator[str]:
    from assay.flows.config.proposal import LOOKED_AT

    yield "# Written by assay init. Run it with: assay curate assay.toml"
    yield "# Every key: assay config. One of them: assay config --explain plan.quotas"
    yield "# For completion in an editor: assay config --schema > assay.schema.json, then the first line"
    yield "# is  #:schema assay.schema.json"
    yield ""
    part = f" (values are those of {LOOKED_AT:,} rows)" if proposal.rows > LOOKED_AT else ""
    yield f"# The pool has {proposal.rows:,} rows with these columns{part}:"
    for column in proposal.columns:
        note = f" -> {column.role}" if column.role else ""
        different = f", {column.values:,} values" if column.values else ""
        example = f", such as {_one_line(column.example)}" if column.example else ""
        yield f"#   {_one_line(column.name)} ({column.type}{different}{example}){note}"[:_WIDTH]
    yield ""
    for key, value in settings.items():
        why = proposal.because.get(key)
        yield f"{key} = {_toml(value)}" + (f"  # {_one_line(why)}" if why else "")
        if key == "pool" and "id" not in settings:
            yield f'# id = "..."  # {proposal.because["id"]}'
    if "target" not in settings:
        yield ""
        yield "# A file of rows like those wanted, with the same content: rows like them are chosen."
        yield '# target = "wanted.parquet"'
    yield ""
    yield "# Without these, what is given decides: assay methods --kind selector lists them."
    yield '# select = "stratified"'
    yield '# scores = ["pagerank", "knn_density"]'
    yield '# report = "report.html"  # needs assay-curation[report]'
    yield ""
    yield "[plan]"
    steps = ["exact_duplicates", "near_duplicates"] if "text" in settings else ["exact_duplicates"]
    if "columns" not in settings:
        yield f"# deduplicate = {_toml(steps)}"
    if "text" in settings:
        condition = f"length({_sql_name(settings['text'])}) > 40"
        yield f"# filters = {_toml([condition])}  # SQL that rows must meet"
    groups = [*settings.get("keep", ()), *([settings["label"]] if "label" in settings else [])]
    if groups:
        yield f"# by = {_toml(groups[0])}  # with quotas = {{ NAME = 0.5 }}: at most half of the budget"
    yield "# churn = 0.1  # a night replaces at most a tenth of what the night before chose"


def deployment(settings: Mapping[str, Any]) -> str:
    """Return the text of the Prefect deployment that runs the configuration every night."""
    from importlib.metadata import version

    import yaml

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    values = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1000)
    parameters = "".join(f"        {line}\n" for line in values.splitlines())
    return (
        "# Written by assay init: the configuration of assay.toml, every night at three.\n"
        "#   prefect work-pool create assay --type process\n"
        "#   prefect deploy --all\n"
        "#   prefect worker start --pool assay     (on every machine that is to work)\n"
        "# Without a server: assay curate assay.toml. One machine: assay serve assay.toml --cron ...\n"
        "name: assay\n"
        f"prefect-version: {version('prefect')}\n\n"
        "deployments:\n"
        "  - name: nightly\n"
        "    entrypoint: assay.flows.deployments:curate_flow\n"
        "    schedules:\n"
        '      - cron: "0 3 * * *"\n'
        "        timezone: UTC\n"
        "    # a run that is due while another is under way waits for it\n"
        "    concurrency_limit:\n"
        "      limit: 1\n"
        "      collision_strategy: ENQUEUE\n"
        "    parameters:\n"
        "      config:\n"
        f"{parameters}"
        "    work_pool:\n"
        "      name: assay\n"
        "      job_variables:\n"
        "        env:\n"
        '          DO_NOT_TRACK: "1"\n'
        '          PREFECT_SERVER_ANALYTICS_ENABLED: "false"\n'
        "          PREFECT_LOGGING_EXTRA_LOGGERS: assay\n"
    )


def notebook(settings: Mapping[str, Any]) -> str:
    """Return the text of a notebook that runs the configuration and looks at what it chose."""
    groups = [*settings.get("keep", ()), *([settings["label"]] if "label" in settings else [])]
    cells = [
        (
            "markdown",
            "# The pool, curated\n\nThe configuration is `assay.toml` beside this notebook.",
        ),
        (
            "code",
            "from assay.flows import CurationConfig, curate\n\n"
            f'result = curate(CurationConfig.from_toml("{CONFIG}"))\nresult',
        ),
        ("markdown", "How good the selection is, beside random subsets of equal size."),
        ("code", "result.ledger()"),
        ("markdown", "The rows that were chosen, with all their columns."),
        ("code", "chosen = result.selected()\nchosen.head()"),
        ("markdown", "Why rows are in or out."),
        ("code", 'result.decisions().group_by("selected", "stage", "reason").len().sort("len")'),
    ]
    if groups:
        column = "label" if groups[0] == settings.get("label") else f'"{groups[0]}"'
        query = (
            f"SELECT {column} AS kind, count(*) AS pool, count(position) AS chosen "
            "FROM latest_samples LEFT JOIN latest_selection USING (pool, sample_id) GROUP BY 1 ORDER BY 2 DESC"
        )
        cells.append(("code", f"result.sql({query!r})"))
    cells += [
        ("markdown", "One row: its decision and its scores."),
        ("code", 'result.explain(result.decisions()["sample_id"][0])'),
        ("markdown", "`result.map()` and `result.report()` show pages here; they need `assay-curation[report]`."),
    ]  # fmt: skip
    return (
        json_format.dumps(
            {
                "cells": [
                    _cell(kind, text, number) for number, (kind, text) in enumerate(cells, 1)
                ],
                "metadata": {
                    "kernelspec": {
                        "display_name": "Python 3",
                        "language": "python",
                        "name": "python3",
                    }
                },
                "nbformat": 4,
                "nbformat_minor": 5,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _cell(kind: str, text: str, number: int) -> dict[str, Any]:
    cell = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _from(folder: Path, location: str) -> str:
    """Return where a location is, seen from a folder."""
    from assay.storage.reading.locations import scheme_of

    if scheme_of(location) is not None or os.path.isabs(location) or folder == Path():
        return location
    try:
        return Path(os.path.relpath(location, folder)).as_posix()
    except ValueError:  # another drive
        return os.path.abspath(location)


def _toml(value: Any) -> str:
    import tomli_w

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return tomli_w.dumps({"key": value}).removeprefix("key = ").rstrip("\n")


def _sql_name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


COMMANDS = (init,)
