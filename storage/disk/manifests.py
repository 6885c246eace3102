"""Folders whose files are named in a sealed manifest: what assay wrote, and may remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.storage.disk.checksums import describe_file, read_sealed, seal
from assay.storage.errors import CorruptArtifactError

MANIFEST = "manifest.json"


def seal_folder(folder: Path, **identity: Any) -> None:
    """Write the manifest of a folder: its identity, and the size and checksums of every file."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    named = [describe_file(p, p.relative_to(folder).as_posix()) for p in files]
    (folder / MANIFEST).write_bytes(seal({**identity, "files": named}))


def is_sealed(folder: Path, **identity: Any) -> bool:
    """Say whether all that a folder holds was written by assay, under this identity.

    Its manifest is whole, has the identity and names every other file; neither the folder nor
    anything in it is a symbolic link. The files' own checksums are not read.
    """
    sealed = folder / MANIFEST
    if folder.is_symlink() or sealed.is_symlink():
        return False
    try:
        manifest = read_sealed(sealed, "")
        named = {MANIFEST, *(entry["name"] for entry in manifest["files"])}
    except (CorruptArtifactError, KeyError, TypeError):
        return False
    if any(manifest.get(key) != value for key, value in identity.items()):
        return False
    return all(
        not path.is_symlink() and (path.is_dir() or path.relative_to(folder).as_posix() in named)
        for path in folder.rglob("*")
    )
