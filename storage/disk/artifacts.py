"""Artifacts: folders of files, addressed by the fingerprint of what made them, with checksums."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import atomic_directory, move_aside
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.checksums import CheckedFile, describe_file, read_sealed, seal
from assay.storage.errors import CorruptArtifactError, StoreError

logger = logging.getLogger("assay.storage")

_NAME = re.compile(r"[a-z0-9_]{1,64}")
_REMEDY = "Run the same command again to rebuild it."


class ArtifactStore:
    """Folders under `root`, one for each (kind, fingerprint), each with a `manifest.json`.

    An artifact is written under a temporary name and renamed, so it is whole or not there. Its
    manifest holds the size of every file, the 128-bit BLAKE2b of every 64 MiB of it and a checksum of
    itself; `open` checks them the first time that this process uses the artifact.

    Parameters
    ----------
    root : Path
        The `artifacts` folder of a store; made when the first artifact is.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._verified: set[Path] = set()

    def path(self, kind: str, fingerprint: str) -> Path:
        """Return where the artifact is or would be."""
        for part in (kind, fingerprint):
            if not _NAME.fullmatch(part):
                raise StoreError(f"{part!r} is not a name of an artifact: use a-z, 0-9 and _.")
        return self.root / kind / fingerprint

    def exists(self, kind: str, fingerprint: str) -> bool:
        """Say whether the artifact is there (its checksums are not read)."""
        return (self.path(kind, fingerprint) / "manifest.json").is_file()

    def intact(self, kind: str, fingerprint: str) -> bool:
        """Say whether the artifact is there and matches its checksums.

        A corrupt one is named on the log and removed, so that it is made again.
        """
        if not self.path(kind, fingerprint).is_dir():
            return False
        try:
            self.open(kind, fingerprint)
        except CorruptArtifactError as error:
            told = str(error).removesuffix(_REMEDY).strip()
            logger.warning("artifact %s/%s: %s It is made again.", kind, fingerprint, told)
            self.discard(kind, fingerprint)
            return False
        return True

    @contextmanager
    def create(self, kind: str, fingerprint: str, **made_by: Any) -> Iterator[Path]:
        """Yield an empty private folder that becomes the artifact when the body is done."""
        target = self.path(kind, fingerprint)
        with atomic_directory(target) as folder:
            yield folder
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            manifest = {
                "kind": kind,
                "fingerprint": fingerprint,
                "made_by": made_by,
                "files": [describe_file(p, p.relative_to(folder).as_posix()) for p in files],
            }
            boundary("artifact made", target)
            (folder / "manifest.json").write_bytes(seal(manifest))
            boundary("manifest sealed", target)
        self._verified.add(target)

    def open(self, kind: str, fingerprint: str) -> Path:
        """Return the artifact's folder, its checksums verified on this process's first use.

        Raises
        ------
        StoreError
            If there is no such artifact.
        CorruptArtifactError
            If a file is missing, or does not match its size or checksums.
        """
        folder = self.path(kind, fingerprint)
        if folder in self._verified:
            return folder
        if not folder.is_dir():
            raise StoreError(f"There is no artifact {kind}/{fingerprint} in {self.root}.")
        manifest = read_sealed(folder / "manifest.json", _REMEDY)
        for entry in manifest["files"]:
            if ".." in Path(entry["name"]).parts or Path(entry["name"]).is_absolute():
                raise CorruptArtifactError(f"{folder} names a file outside of it. {_REMEDY}")
            CheckedFile(folder / entry["name"], entry, _REMEDY).check()
        self._verified.add(folder)
        return folder

    def made_by(self, kind: str, fingerprint: str) -> dict[str, Any]:
        """Return what the artifact's manifest says of its making.

        Raises
        ------
        StoreError, CorruptArtifactError
            There is no such artifact, or its manifest is damaged.
        """
        folder = self.path(kind, fingerprint)
        if not folder.is_dir():
            raise StoreError(f"There is no artifact {kind}/{fingerprint} in {self.root}.")
        found: dict[str, Any] = read_sealed(folder / "manifest.json", _REMEDY)["made_by"]
        return found

    def discard(self, kind: str, fingerprint: str) -> None:
        """Remove the artifact; it is renamed first, so that no half of it can be found."""
        folder = self.path(kind, fingerprint)
        self._verified.discard(folder)
        if folder.exists():
            move_aside(folder)

    def get_or_make(
        self, kind: str, fingerprint: str, make: Callable[[Path], None], **made_by: Any
    ) -> tuple[Path, bool]:
        """Return the artifact's folder and whether it had to be made (again, if it was corrupt)."""
        if self.intact(kind, fingerprint):
            return self.path(kind, fingerprint), False
        with self.create(kind, fingerprint, **made_by) as folder:
            make(folder)
        return self.path(kind, fingerprint), True
