"""The command that ranks the columns of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.flows.commands.completion import complete_rankers
from assay.flows.commands.options import Json, Store, method_names


def features(
    table: Annotated[str, typer.Argument(help="File of the table.")],
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Column to explain.")],
    method: Annotated[
        str,
        typer.Option(
            metavar="A,B",
            help=f"Rankers: {method_names('ranker')}.",
            autocompletion=complete_rankers,
        ),
    ] = "ecfs",
    k: Annotated[
        str, typer.Option(metavar="N", help="Number of features to select, auto or shadow.")
    ] = "50",
    name: Annotated[str | None, typer.Option(help="The table's name in the store.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Parameter of a method: ecfs.alpha=cv. Repeatable."
        ),
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
        typer.Option(help="Add a consensus ranking of the methods: rra, borda, median or merge."),
    ] = None,
    consensus_of: Annotated[
        str | None,
        typer.Option(
            help="Methods to count in the consensus: A,B. Default: all but those whose "
            "scores are not corrected for chance."
        ),
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option(metavar="N", help="Share N seats out by importance (D'Hondt)."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SEPARATOR",
            help="Columns that begin alike up to it share their seats: _ for race_a and race_b.",
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Share of all importance below which columns get no seat.")
    ] = 0.0,
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
    from assay.flows.config.features import FeatureConfig
    from assay.flows.config.fields import method_options
    from assay.flows.printing.output import print_json
    from assay.flows.printing.summary import print_features
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
            "seats": seats,
            "seats_by": by,
            "seats_threshold": threshold,
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
