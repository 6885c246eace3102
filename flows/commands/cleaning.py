"""What `assay gc` removes, and how it tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from assay.storage import ScoreStore
from assay.storage.upkeep.gc import Garbage, collect

_NAMES = {
    "artifact": "artifacts that no kept run refers to",
    "leftover": "left half-written by processes that are gone",
    "published": "published files that newer ones replaced",
    "note": "notes of runs that are gone",
    "backup": "backups of migrations, but for the newest",
}


def clean(store: ScoreStore, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove what nothing in the store refers to; say what it was (`removed`) and how many `bytes`."""
    removed = collect(store, dry_run=dry_run)
    return {
        "store": str(store.path),
        "dry_run": dry_run,
        "bytes": _bytes(removed),
        "removed": [asdict(garbage) for garbage in removed],
    }


def _bytes(garbage: Iterable[Garbage]) -> int:
    return sum(one.bytes for one in garbage)


def print_cleaning(found: dict[str, Any]) -> None:
    """Print what `clean` returned."""
    removed = [Garbage(**one) for one in found["removed"]]
    if not removed:
        print(f"{found['store']}: there is nothing to remove.")
        return
    for what, told in _NAMES.items():
        these = [one for one in removed if one.what == what]
        if these:
            print(f"{len(these):>6,} {told}: {_size(_bytes(these))}")
            for one in these:
                print(f"       {one.where}")
    done = "would be freed (nothing was removed)" if found["dry_run"] else "freed"
    print(f"{found['store']}: {_size(found['bytes'])} {done}.")


def _size(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"
