"""A folder that a user saves an object into: its files' checksums beside them, compared on loading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from assay.storage.disk.atomic import write_bytes
from assay.storage.disk.checksums import CheckedFile, describe_file, read_sealed, seal
from assay.storage.errors import CorruptArtifactError

CHECKSUMS = "checksums.json"


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of the named files of a folder, under a seal of their own."""
    files = [describe_file(folder / name, name) for name in names]
    write_bytes(folder / CHECKSUMS, seal({"files": files}))


def check_files(folder: Path, remedy: str) -> None:
    """Compare the files of a folder with what `write_checksums` wrote.

    Raises
    ------
    CorruptArtifactError
        A file, which is named, is missing or not as it was written, or the checksums are not.
    """
    listed = read_sealed(folder / CHECKSUMS, remedy).get("files")
    if not isinstance(listed, list):
        raise CorruptArtifactError(f"{folder / CHECKSUMS} lists no files. {remedy}")
    for entry in listed:
        CheckedFile(folder / entry["name"], entry, remedy).check()
