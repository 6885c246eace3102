"""Commands that look after a store and its nightly runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.flows.commands.options import Json, Store, open_store

if TYPE_CHECKING:
    from assay.flows.estimate.estimation import Estimate
    from assay.storage import ScoreStore
    from assay.storage.upkeep.gc import Garbage

# kinds of garbage, in words
_GARBAGE = {
    "artifact": "artifacts that no kept run refers to",
    "leftover": "left half-written by processes that are gone",
    "published": "published files that newer ones replaced",
    "note": "notes of runs that are gone",
    "backup": "backups of migrations, but for the newest",
}


def check(
    store: Store = Path("assay-store"),
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair whatever can be rebuilt.")
    ] = False,
    json: Json = False,
) -> None:
    """Verify checksums, counts and decisions of a store, and the libraries of linear algebra."""
    from assay.flows.printing.output import print_json

    report = check_all(open_store(store), repair=repair)
    if json:
        print_json(report)
    else:
        print_check(report)
    if any(f["level"] == "damage" and not f["repaired"] for f in report["findings"]):
        raise typer.Exit(1)


def serve(
    config: Annotated[
        Path, typer.Argument(help="TOML file that configures a pool, or a table to rank.")
    ],
    cron: Annotated[
        str | None,
        typer.Option(help='Cron schedule (minute, hour, day, month, weekday): "0 3 * * *".'),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="Interval instead of a cron schedule: 3600, 30m, 1h.")
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(help="Time zone of the cron schedule: Europe/Berlin. Default: UTC."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the deployment. Default: the name of the file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most runs at once.")] = 1,
) -> None:
    """Run a configuration on a schedule of a Prefect server, until stopped."""
    from assay.flows.commands import serve as serving

    serving.serve(config, cron=cron, interval=interval, timezone=timezone, name=name, limit=limit)


def gc(
    store: Store = Path("assay-store"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove unreferenced files from a store: artifacts of runs that are no longer kept, and leftovers."""
    from assay.flows.printing.output import print_json

    report = clean(open_store(store), dry_run=dry_run)
    if json:
        print_json(report)
    else:
        print_cleaning(report)


def estimate(
    config: Annotated[Path, typer.Argument(help="TOML file, as for curate.")],
    pool: Annotated[
        str | None, typer.Option(help="File, folder or glob of the data to choose from.")
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="Refuse runs that need more memory: 16GiB.")
    ] = None,
    store: Annotated[str | None, typer.Option(help="Folder of the store.")] = None,
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            help="Instead: how accuracy grows with the budget, by a judge on up to 2,000 labeled rows.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Estimate a run's memory, disk space and time per stage from samples of the pool."""
    from assay.flows.estimate import estimation
    from assay.flows.printing.output import print_json

    settings = {"pool": pool, "memory_limit": memory_limit, "store": store}
    if curve:
        from assay.flows.commands.curve import print_curve
        from assay.flows.config.curation import CurationConfig

        print_curve(CurationConfig.from_toml(config, **settings), json=json)
        return
    expected = estimation.estimate(config, show=True, **settings)
    refused = expected.refused
    if json:
        error = {"type": type(refused).__name__, "message": str(refused)}
        print_json(expected.as_dict() | ({"error": error} if refused else {}))
    else:
        print_estimate(expected)
    if refused:
        sys.stderr.write(f"assay: {refused}\n")
        raise typer.Exit(1)


def check_all(store: ScoreStore, *, repair: bool = False) -> dict[str, Any]:
    """Return the store's faults (`findings`), and the libraries of linear algebra (`blas`)."""
    from assay.index.blas import blas_report
    from assay.storage.upkeep.check import check_store

    return {
        "store": str(store.path),
        "findings": [asdict(finding) for finding in check_store(store, repair=repair)],
        "blas": blas_report(),
    }


def print_check(report: dict[str, Any]) -> None:
    """Print what `check_all` returned."""
    for finding in report["findings"]:
        mended = " (mended)" if finding["repaired"] else ""
        print(f"{finding['where']}: {finding['problem']}{mended}")
    if not any(finding["level"] == "damage" for finding in report["findings"]):
        print(f"{report['store']}: everything is as it was written.")
    for library in report["blas"]:
        kernels = library["architecture"] or "?"
        print(f"{library['library']} {library['version']} ({library['file']}): kernels {kernels}")
        if library["slow"]:
            print(
                "  These kernels leave AVX unused: searches of FAISS indexes are up to three times "
                "slower. Set OPENBLAS_CORETYPE=SkylakeX (AVX-512) or Haswell (AVX2) in the "
                "environment. The similarity graph is not concerned."
            )


def clean(store: ScoreStore, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove what nothing in the store refers to; say what it was (`removed`) and how many `bytes`."""
    from assay.storage.upkeep.gc import collect

    removed = collect(store, dry_run=dry_run)
    return {
        "store": str(store.path),
        "dry_run": dry_run,
        "bytes": _bytes(removed),
        "removed": [asdict(garbage) for garbage in removed],
    }


def _bytes(garbage: Iterable[Garbage]) -> int:
    return sum(one.bytes for one in garbage)


def print_cleaning(report: dict[str, Any]) -> None:
    """Print what `clean` returned."""
    from assay.storage.upkeep.gc import Garbage

    removed = [Garbage(**one) for one in report["removed"]]
    if not removed:
        print(f"{report['store']}: there is nothing to remove.")
        return
    for what, words in _GARBAGE.items():
        these = [one for one in removed if one.what == what]
        if these:
            print(f"{len(these):>6,} {words}: {_size(_bytes(these))}")
            for one in these:
                print(f"       {one.where}")
    done = "would be freed (nothing was removed)" if report["dry_run"] else "freed"
    print(f"{report['store']}: {_size(report['bytes'])} {done}.")


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def print_estimate(estimated: Estimate) -> None:
    """Print the stages as a table, then the whole in words."""
    import polars as pl

    from assay.flows.config.memory_size import machine_memory, memory_told
    from assay.flows.printing.output import print_table

    print_table(
        pl.DataFrame(
            {
                "stage": [stage.stage for stage in estimated.stages],
                "memory": [memory_told(stage.memory) for stage in estimated.stages],
                "disk": [memory_told(stage.disk) for stage in estimated.stages],
                "CPU s": [round(stage.cpu_seconds, 1) for stage in estimated.stages],
                "seconds": [round(stage.seconds, 1) for stage in estimated.stages],
            }
        )
    )
    peak = max(estimated.stages, key=lambda stage: stage.memory)
    seconds = sum(stage.seconds for stage in estimated.stages)
    sampled = " and ".join(f"{size:,}" for size in estimated.sampled)
    sys.stdout.write(
        f"{estimated.rows:,} rows: {memory_told(estimated.memory)} of memory (stage {peak.stage}), "
        f"{memory_told(estimated.disk)} on disk, about {_time_told(seconds)}; measured on samples of "
        f"{sampled} rows.\n"
    )
    if estimated.shard_memory is not None:
        sys.stdout.write(
            f"{estimated.shards:,} shards of {estimated.shard_rows:,} rows: a worker takes about "
            f"{memory_told(estimated.shard_memory)} for one.\n"
        )
        return
    room = estimated.memory_limit or machine_memory()
    if room is None or estimated.shards == 1:
        return
    whose = "memory_limit" if estimated.memory_limit else "this machine's memory"
    if estimated.shards is None:
        sys.stdout.write(f"{whose} ({memory_told(room)}) has no room for any part of the pool.\n")
        return
    sys.stdout.write(
        f"{whose} ({memory_told(room)}) has room for {estimated.rows_at_once:,} rows: {estimated.shards} "
        "shards.\n"
    )


def _time_told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


COMMANDS: dict[str, Callable[..., None]] = {
    "check": check,
    "serve": serve,
    "gc": gc,
    "plan": estimate,
}
