"""Commands that read a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.flows.commands.options import AllRuns, Json, Overwrite, Raw, Store, open_store
from assay.storage.errors import ConfigError
from assay.storage.runs.schema import NEWEST_FIRST


def sql(
    query: Annotated[str, typer.Argument(help="SQL query (SELECT, FROM, WITH, ...).")],
    store: Store = Path("assay-store"),
    format: Annotated[
        str, typer.Option(help="Output format: table, vertical, json, csv or parquet.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    overwrite: Overwrite = False,
    all_runs: AllRuns = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """Query the store's runs, samples, scores, selections, decisions and metrics."""
    from assay.flows.export.destination import check_destination
    from assay.flows.printing.output import check_format, emit

    opened, format = open_store(store), "json" if json else format
    check_format(format, out)
    if out is not None:
        check_destination(out, opened, overwrite=overwrite)
    rows = opened.sql(query, all_runs=all_runs, printable=format != "parquet")
    emit(rows, format, out, raw=raw, overwrite=overwrite)


def explain(
    sample_id: Annotated[str, typer.Argument(help="Id of the sample.")],
    store: Store = Path("assay-store"),
    json: Json = False,
) -> None:
    """Explain why a sample is in or out of the newest selection of its pool."""
    from assay.flows.printing.explaining import explanation, print_explanation
    from assay.flows.printing.output import print_json

    explained = explanation(open_store(store), sample_id)
    if json:
        print_json({"sample_id": sample_id, "pools": explained})
    else:
        print_explanation(sample_id, explained)


def export(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write (F.parquet, .jsonl, .csv, .arrow or .txt; .jsonl and .csv also with "
            ".gz or .zst), or a folder."
        ),
    ],
    store: Store = Path("assay-store"),
    run: Annotated[str | None, typer.Option(help="Id of a run. Default: the newest.")] = None,
    rows: Annotated[
        str,
        typer.Option(
            help="Rows to export: chosen, left, all, an SQL condition (\"label = 'x'\"), or a query "
            "with a column sample_id."
        ),
    ] = "chosen",
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="What to add: vectors,map,neighbors,scores,decisions; none leaves the scores out.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="parquet, jsonl, csv, arrow, hf (Hugging Face), webdataset, images (folders of "
            "labels) or ids. Default: by the ending of --out; Parquet in a folder."
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns of the pool to export: A,B. Default: all.")
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Where the pool is now, if it was moved since the run.")
    ] = None,
    shard_size: Annotated[
        int | None,
        typer.Option(help="Rows of each file in a folder. Default: 100000; webdataset 10000."),
    ] = None,
    card: Annotated[
        bool,
        typer.Option("--card", help="Write README.md (a dataset card) and croissant.json too."),
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="Format images: link to the pool's files, do not copy.")
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(help="Upload the folder to the Hugging Face Hub as this data set: USER/NAME."),
    ] = None,
    overwrite: Overwrite = False,
    all_runs: AllRuns = False,
    raw: Raw = False,
    json: Json = False,
) -> None:
    """Write rows with their original columns, position, weight and scores: a file, or a folder to train on."""
    from assay.flows.export import write as exporting
    from assay.flows.printing.output import print_json

    exported = exporting.export(
        open_store(store),
        out,
        run=run,
        rows=rows,
        with_=with_ or (),
        format=format,
        columns=columns,
        pool=pool,
        shard_size=shard_size,
        card=card,
        link=link,
        all_runs=all_runs,
        raw=raw,
        overwrite=overwrite,
    )
    uploaded = exporting.push_to_hub(out, push_to_hub) if push_to_hub else None
    if json:
        done = {"rows": exported, "out": str(out)}
        print_json(done | ({"uploaded": uploaded} if uploaded else {}))
    else:
        typer.echo(f"{exported:,} rows written to {out}")
        if uploaded:
            typer.echo(f"Uploaded: {uploaded}")


def runs(store: Store = Path("assay-store"), all_runs: AllRuns = False, json: Json = False) -> None:
    """List the runs of the store, newest first."""
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.output import print_json, print_table

    frame = open_store(store).trusted_sql(
        "SELECT run_id, kind, of_run, request, requested_at::VARCHAR AS requested_at, pool, status, "
        "started_at::VARCHAR AS started_at, finished_at::VARCHAR AS finished_at, n_samples, seed, "
        f"generation FROM runs ORDER BY {NEWEST_FIRST}",
        all_runs=all_runs,
    )
    if json:
        print_json(rows_json(frame))
    else:
        print_table(frame)


def diff(
    run_a: Annotated[
        str,
        typer.Argument(
            help="Earlier run: an id, its first digits, or previous. With --why also a file, folder "
            "or glob."
        ),
    ] = "previous",
    run_b: Annotated[str, typer.Argument(help="Later run: likewise, or latest.")] = "latest",
    store: Store = Path("assay-store"),
    pool: Annotated[
        str | None, typer.Option(help="Pool to compare, if the store has several.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="Output format: table, vertical, json, csv or parquet.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="Write the rows to this file.")] = None,
    overwrite: Overwrite = False,
    why: Annotated[
        bool,
        typer.Option(
            "--why", help="Say what moved, by column and part of the space, and what it cost."
        ),
    ] = False,
    loss: Annotated[
        str | None,
        typer.Option(help="--why: column (of runs: kept column or score) of each row's loss."),
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(
            help="--why: training log whose last epoch gives the losses; twice: A's, B's."
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="--why: column of labels, which is no input.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="--why: columns that are inputs: A,B. Default: all others.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="--why: NAME=A,B: columns that share the cost of inputs; repeatable."),
    ] = None,
    rows: Annotated[
        str, typer.Option(help="--why: rows of the runs: all, chosen, left, or an SQL condition.")
    ] = "all",
    id: Annotated[str | None, typer.Option(help="--why, files: column of unique ids.")] = None,
    text: Annotated[str | None, typer.Option(help="--why, files: column of texts.")] = None,
    vector: Annotated[str | None, typer.Option(help="--why, files: column of vectors.")] = None,
    image: Annotated[str | None, typer.Option(help="--why, files: column of images.")] = None,
    seed: Annotated[int, typer.Option(help="--why: random seed.")] = 0,
    save: Annotated[
        bool,
        typer.Option("--save", help="--why, runs: keep the answer in the store: the view shift."),
    ] = False,
    json: Json = False,
) -> None:
    """List the rows that entered or left the selection between two runs, and why. Default: the last two.

    With --why: which columns and parts of the space moved, of two runs' pools or of two files, and,
    where each row has a loss, how much of its change other inputs cost and how much other labels.
    """
    from assay.flows.config.arguments import assignments
    from assay.flows.export.destination import check_destination
    from assay.flows.export.frames import rows_json
    from assay.flows.printing.diff import format_of, is_place, print_difference, refuse_options
    from assay.flows.printing.output import emit, print_json
    from assay.flows.report.differences import difference

    given = {"id": id, "text": text, "vector": vector, "image": image}
    of_places = is_place(run_a) or is_place(run_b)
    asked_of_why: dict[str, Any] = {
        "--loss": loss, "--log": log, "--label": label, "--columns": columns, "--group": group,
        "--seed": seed, "--save": save,
    }  # fmt: skip
    of_files: dict[str, Any] = {f"--{role}": name for role, name in given.items()}
    of_two_runs: dict[str, Any] = {"--rows": rows if rows != "all" else None}
    if not why:
        if of_places:
            raise ConfigError(
                f"{run_a} and {run_b} are files; say --why to compare two pools, or name runs by ids "
                "of `assay runs`."
            )
        refuse_options(asked_of_why | of_files | of_two_runs, "are options of --why; add it")
    elif of_places:
        refuse_options(
            of_two_runs | {"--pool": pool, "--save": save},
            "are for runs, and two files are given; leave them out",
        )
    else:
        refuse_options(of_files, "are for files, and two runs are given; leave them out")
    if why:
        from assay.flows.commands import why as reasons
        from assay.flows.running.shifts import keep_shift

        named = assignments(group or (), "--group")
        groups = {name: value.split(",") for name, value in named.items()}
        question = reasons.Asked(
            roles={role: name for role, name in given.items() if name is not None},
            label=label,
            loss=loss,
            log=log or (),
            columns=columns.split(",") if columns else None,
            groups=groups or None,
            rows=rows,
            seed=seed,
        )
        notes: list[str] = []
        logs = [str(path) for path in question.log]
        if of_places:
            if out is not None:
                check_destination(out, overwrite=overwrite, inputs=[run_a, run_b, *logs])
            shift = reasons.of_places(run_a, run_b, question)
        else:
            opened = open_store(store)
            if out is not None:
                check_destination(out, opened, overwrite=overwrite, inputs=logs)
            compared = difference(opened, run_a, run_b, pool=pool)
            shift, notes = reasons.of_runs(opened, compared, question)
            if save:
                first, later = compared.run_a["run_id"], compared.run_b["run_id"]
                keep_shift(opened, first, later, shift, question.settings())
        if out is not None:
            emit(shift.columns, format_of(out, format), out, overwrite=overwrite)
        if json:
            print_json(reasons.shift_json(shift, notes))
        else:
            reasons.print_shift(shift, notes)
        return
    opened = open_store(store)
    if out is not None:
        check_destination(out, opened, overwrite=overwrite)
    compared = difference(opened, run_a, run_b, pool=pool)
    if out is not None:
        emit(compared.rows, format_of(out, format), out, overwrite=overwrite)
    if json:
        print_json(compared.summary() | ({} if out else rows_json(compared.rows)))
    elif out is not None or format == "table":
        print_difference(compared, rows=out is None)
    else:
        emit(compared.rows, format)


def relocate(
    pool: Annotated[str, typer.Option(help="File, folder or glob where the pool is now.")],
    store: Store = Path("assay-store"),
    run: Annotated[str | None, typer.Option(help="Run of the pool. Default: the newest.")] = None,
    json: Json = False,
) -> None:
    """Note where a pool is now, so that exports of its runs find it after a move."""
    from assay.flows.printing.output import print_json
    from assay.flows.running.finished import curation_run
    from assay.flows.stages import places

    opened = open_store(store)
    moved = curation_run(opened, run)
    noted = places.relocate(opened, moved, pool)
    if json:
        print_json(noted)
    else:
        typer.echo(f"The pool {noted['was']} is noted to be at {noted['now']}")
        typer.echo(
            f"Name it in the configuration of the next run too, with its name {moved['pool']!r} "
            "(`name = ...`, --name), by which it goes on from the runs before."
        )


COMMANDS = (sql, explain, export, relocate, runs, diff)
