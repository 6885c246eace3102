"""Finding the files that a path or a glob of this machine names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import TypeVar

from assay.storage.errors import SourceError
from assay.storage.reading.locations import was_url

PARQUET = (".parquet", ".pq")
IPC = (".arrow", ".feather", ".ipc")
CSV = (".csv", ".tsv")
JSON = (".jsonl", ".ndjson", ".json")
NUMPY = (".npy", ".npz")
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
COMPRESSED = (".gz", ".zst")
READABLE = (
    f"{', '.join((*PARQUET, *IPC, *CSV, *JSON, *NUMPY))} (the text formats also compressed, with "
    f"{' or '.join(COMPRESSED)} added), and folders of images"
)
# what the Hugging Face `datasets` library and Croissant write beside data
_NOT_DATA = {"dataset_info.json", "dataset_dict.json", "state.json", "croissant.json"}


AnyPath = TypeVar("AnyPath", bound=PurePath)


def local_files(path: Path) -> tuple[str, list[tuple[Path, str]]]:
    """Return a name for a file, folder or glob, and its files with their names within it.

    A folder is searched to its bottom, and its files are in order of their relative path; what is
    hidden, starts with ``_``, has no readable extension or is no regular file is left out. Where
    there is no file of data, its images are taken. Neither a folder's search nor ``**`` follows
    links to folders.

    Raises
    ------
    SourceError
        Nothing is there, or nothing that can be read.
    """
    try:
        return _matches(path)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise SourceError(f"{str(path)[:200]!r} can't be read: {reason.rstrip('.')}.") from None


def _matches(path: Path) -> tuple[str, list[tuple[Path, str]]]:
    if path.is_file():
        if not file_format(path.name):
            raise SourceError(f"{path} has no extension that tells its format: {READABLE}.")
        return _shown(stem(path.name)), [(path, _shown(path.name))]
    if path.is_dir():
        base, candidates = path, path.rglob("*")
    elif glob.has_magic(str(path)):
        literal = [not glob.has_magic(part) for part in path.parts].index(False)
        base, pattern = Path(*path.parts[:literal]), list(path.parts[literal:])
        candidates = base.glob(os.path.join(*pattern, *["*"] * (pattern[-1] == "**")))
    else:
        raise SourceError(_no_such_file(path))
    relative = {candidate.relative_to(base): candidate for candidate in candidates}
    files = {
        (_shown(within.as_posix()), relative[within])
        for within in readable(within for within, each in relative.items() if each.is_file())
    }
    if not files:
        raise SourceError(f"{path} holds no file that can be read; readable are {READABLE}.")
    name = _shown(base.resolve().name) or "pool"
    return name, [(each, within) for within, each in sorted(files)]


def readable(files: Iterable[AnyPath]) -> list[AnyPath]:
    """Return those files of a folder that hold rows; where none does, its images."""
    shown = [file for file in files if not _is_hidden(file)]
    data = [file for file in shown if file_format(file.name) and file.name not in _NOT_DATA]
    return data or [file for file in shown if is_image(file.name)]


def is_image(name: str) -> bool:
    """Return whether a file is an image, as far as its name says."""
    return name.lower().endswith(IMAGES)


def _is_hidden(relative: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in relative.parts)


def file_format(name: str) -> str:
    """Return the extension that gives a file's format, in lower case; empty if there is none."""
    stem, last = os.path.splitext(name.lower())
    if last in COMPRESSED:
        inner = os.path.splitext(stem)[1]
        return inner if inner in CSV + JSON else ""
    return last if last in PARQUET + IPC + CSV + JSON + NUMPY else ""


def file_suffixes(name: str) -> str:
    """Return the suffixes of a readable file, in lower case: ``.csv.gz``."""
    return name[len(stem(name)) :].lower()


def stem(name: str) -> str:
    """Return a file's name without the extensions of its format and compression."""
    stem, last = os.path.splitext(name)
    return os.path.splitext(stem)[0] if last.lower() in COMPRESSED else stem


def _shown(name: str) -> str:
    """Return a file name as valid UTF-8, which a name on disk need not be."""
    return os.fsencode(name).decode("utf-8", "replace")


def _no_such_file(path: Path) -> str:
    if path.exists():
        return (
            f"{path} is no regular file (a pipe, a socket or a device); write it to a file first."
        )
    message = f"There is no file or folder {path}."
    if was_url(path):
        return f"{message} A URL is given as text: a Path drops one of its slashes."
    try:
        beside = sorted(entry.name for entry in os.scandir(path.parent))
    except OSError:
        return f"{message} The folder {path.parent} does not exist either."
    close = get_close_matches(path.name, beside, n=1, cutoff=0.5)
    return f"{message} Did you mean {path.parent / close[0]}?" if close else message
