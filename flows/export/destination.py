"""Where a command may write: not over an existing file unless asked, never over inputs or a store."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.fields import location_keys
from assay.flows.export.frames import already_there
from assay.flows.stages.places import place_of
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError
from assay.storage.reading.finding import readable
from assay.storage.reading.locations import as_path, scheme_of
from assay.storage.runs.migrations import MARKER

MADE = ".assay-export.json"
"""The hidden file by which a folder is known as an export; it names what the export wrote."""

_LOCATIONS = dict.fromkeys([*location_keys(CurationConfig), *location_keys(FeatureConfig)])


def check_destination(
    out: Path,
    store: ScoreStore | None = None,
    *,
    overwrite: bool = False,
    inputs: Collection[str] = (),
) -> None:
    """Raise unless a command may write the file `out`; nothing is opened or changed.

    Parameters
    ----------
    out : Path
        A file that does not exist yet, or exists and may be replaced. Through a symbolic link its
        target is meant; pipes and devices are written to as they are.
    store : ScoreStore, optional
        The store that is read. Nothing inside it (or inside another store) and none of the files
        that its runs were made from may be written, whatever `overwrite` says; neither may a file
        that a run's pool, folder or glob would take in.
    overwrite : bool, default False
        Whether an existing file may be replaced.
    inputs : collection of str
        Further locations that the command reads, which are not written either.

    Raises
    ------
    ConfigError
        It may not be written.
    """
    real = Path(os.path.realpath(out))
    if not real.parent.is_dir():
        raise ConfigError(f"There is no folder {real.parent} to write {real.name} into.")
    try:
        status = os.stat(out)
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise ConfigError(
            f"{out} can't be written: {error.strerror}. Name another file."
        ) from error
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{out} is a folder; name a file in it.")
    inside = _store_around(real, store)
    if inside is not None:
        raise ConfigError(
            f"{out} is inside the store {inside}, which only assay writes; name a file elsewhere."
        )
    read = [(location, "which this command reads") for location in inputs]
    if store is not None:
        role = f"which a run of the store {store.path} was made from"
        read += [(location, role) for location in _inputs(store)]
    for location, how in read:
        if _is_input(real, status, location):
            raise ConfigError(
                f"{out} is, or would become, a part of {location}, {how}. It is never written; name "
                "another file."
            )
    if status is not None and stat.S_ISREG(status.st_mode) and not overwrite:
        raise already_there(out)


def check_folder(
    out: Path, store: ScoreStore, *, overwrite: bool = False, inputs: Collection[str] = ()
) -> None:
    """Raise unless an export of `store` may make the folder `out`; nothing is opened or changed.

    Parameters
    ----------
    out : Path
        A folder that does not exist yet, is empty, or was made by an export and may be replaced.
        Never one inside a store, inside an input of its runs, or around one of them.
    store : ScoreStore
    overwrite : bool, default False
        Whether a folder that an export made is replaced. One that holds anything else is not.
    inputs : collection of str
        Further locations that the command reads.

    Raises
    ------
    ConfigError
        It may not be made.
    """
    real = Path(os.path.realpath(out))
    if not real.parent.is_dir():
        raise ConfigError(f"There is no folder {real.parent} to make {real.name} in.")
    if real.exists() and not real.is_dir():
        raise ConfigError(f"{out} is a file, and this format makes a folder; name a folder.")
    inside = _store_around(real / MADE, store)
    if inside is not None:
        raise ConfigError(
            f"{out} is inside the store {inside}, which only assay writes; name a folder elsewhere."
        )
    if _is_above(real, store.path):
        raise ConfigError(f"The store {store.path} is inside {out}; name another folder.")
    for location in (*_inputs(store), *inputs):
        if _is_above(real, as_path(location)) or _takes_in(location, real):
            raise ConfigError(
                f"{out} holds, or would become, a part of {location}, which a run of the store "
                f"{store.path} was made from. It is never written; name another folder."
            )
    strange = _not_exported(real)
    if strange is None:
        return
    if strange:
        raise ConfigError(
            f"The folder {out} holds {strange!r}, which no export wrote. Name another folder, or "
            "move that away first."
        )
    if not overwrite:
        raise already_there(out)


def _not_exported(folder: Path) -> str | None:
    """Return a file of a folder that no export wrote, an empty text for none; None: all is empty."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    try:
        written = set(json.loads((folder / MADE).read_bytes())["files"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        written = set()
    files = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    names = sorted(p.relative_to(folder).as_posix() for p in files)
    return next((name for name in names if name not in {*written, MADE}), "")


def _is_above(folder: Path, path: Path) -> bool:
    resolved = Path(os.path.realpath(path))
    return resolved == folder or folder in resolved.parents


def _takes_in(location: str, folder: Path) -> bool:
    """Return whether a folder lies where an input's folder or glob looks for files."""
    path = as_path(location).absolute()
    resolved = Path(os.path.realpath(path))
    if resolved.is_dir():
        return resolved in folder.parents
    patterns = [_is_pattern(part) for part in path.parts]
    if not any(patterns):
        return False
    first = patterns.index(True)
    base = Path(os.path.realpath(Path(*path.parts[:first])))
    if base != folder and base not in folder.parents:
        return False
    below, parts = folder.relative_to(base).parts, path.parts[first:]
    if "**" in parts:
        return True
    return len(below) < len(parts) and all(map(fnmatchcase, below, parts))


def _store_around(real: Path, store: ScoreStore | None) -> Path | None:
    """Return the store that contains a file, by the identity of its folders; None if none does."""
    root = None if store is None else _identity(store.path)
    for folder in real.parents:
        if (root is not None and _identity(folder) == root) or _is_store(folder):
            return folder
    return None


def _is_store(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MARKER).read_bytes())["format"] == "assay-store")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _inputs(store: ScoreStore) -> Iterator[str]:
    """Yield every path that a run of the store was made from."""
    seen = set()
    for text in store.trusted_sql("SELECT DISTINCT config FROM runs", all_runs=True)["config"]:
        config = json.loads(text or "{}")
        for key in _LOCATIONS:
            for location in _strings(_value(config, key)):
                for each in (location, place_of(store, location)):
                    if each not in seen and scheme_of(each) in (None, "file"):
                        seen.add(each)
                        yield each


def _value(config: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        config = config.get(part) if isinstance(config, dict) else None
    return config


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings(inner)


def _is_input(real: Path, status: os.stat_result | None, location: str) -> bool:
    """Return whether a file is the location, a link to it, or in the folder or glob that it names."""
    path = as_path(location).absolute()
    if status is not None and _identity(path) == (status.st_dev, status.st_ino):
        return True
    resolved = Path(os.path.realpath(path))
    if resolved == real:
        return True
    if resolved.is_dir():
        folder = _identity(resolved)
        above = [parent for parent in real.parents if _identity(parent) == folder]
        taken_in = bool(above) and bool(readable([real.relative_to(above[0])]))
        return taken_in or _among(status, resolved, ("**", "*"))
    literal = [part for part in path.parts if not _is_pattern(part)]
    if len(literal) == len(path.parts):
        return False
    # links above the first pattern are followed, as a search does
    base = Path(*path.parts[: [_is_pattern(part) for part in path.parts].index(True)])
    pattern = Path(os.path.realpath(base), *path.parts[len(base.parts) :])
    return _matches(real, pattern) or _among(status, base, path.parts[len(base.parts) :])


def _is_pattern(part: str) -> bool:
    return any(character in part for character in "*?[")


def _matches(path: Path, pattern: Path) -> bool:
    if "**" in pattern.parts:
        return fnmatchcase(str(path), str(pattern).replace("**/", "*"))
    return len(path.parts) == len(pattern.parts) and all(
        map(fnmatchcase, path.parts, pattern.parts)
    )


def _among(status: os.stat_result | None, base: Path, pattern: tuple[str, ...]) -> bool:
    """Return whether a file of several names is one that a glob finds under another name."""
    if status is None or status.st_nlink < 2:
        return False
    wanted = status.st_dev, status.st_ino
    return any(_identity(path) == wanted for path in base.glob(os.path.join(*pattern)))
