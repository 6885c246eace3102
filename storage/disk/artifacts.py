"""Artifacts: folders of files, addressed by the fingerprint of what made them, with checksums."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import atomic_directory, move_aside, set_aside, writer_of
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.checksums import CheckedFile, read_sealed
from assay.storage.disk.manifests import MANIFEST, is_sealed, seal_folder
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
    aside : Path, optional
        Where a damaged folder goes that can't be proved to be ours. Default: beside `root`.

    Notes
    -----
    A folder is removed only where `is_ours` can prove that this class wrote all that is in it.
    """

    def __init__(self, root: Path | str, aside: Path | None = None) -> None:
        self.root = Path(root)
        self._aside = aside or self.root.with_name(f"{self.root.name}-aside")
        self._verified: set[Path] = set()

    def path(self, kind: str, fingerprint: str) -> Path:
        """Return where the artifact is or would be."""
        for part in (kind, fingerprint):
            if not _NAME.fullmatch(part):
                raise StoreError(f"{part!r} is not a name of an artifact: use a-z, 0-9 and _.")
        return self.root / kind / fingerprint

    def exists(self, kind: str, fingerprint: str) -> bool:
        """Return whether the artifact exists; its checksums are not read."""
        return (self.path(kind, fingerprint) / MANIFEST).is_file()

    def intact(self, kind: str, fingerprint: str) -> bool:
        """Return whether the artifact exists and matches its checksums.

        A corrupt one is named on the log and removed, so that it is made again.
        """
        if not self.path(kind, fingerprint).is_dir():
            return False
        try:
            self.open(kind, fingerprint)
        except CorruptArtifactError as error:
            problem = str(error).removesuffix(_REMEDY).strip()
            logger.warning("artifact %s/%s: %s It is made again.", kind, fingerprint, problem)
            self.discard(kind, fingerprint)
            return False
        return True

    @contextmanager
    def create(self, kind: str, fingerprint: str, **made_by: Any) -> Iterator[Path]:
        """Yield an empty private folder that becomes the artifact when the body is done."""
        target = self.path(kind, fingerprint)
        if not self.root.parent.is_dir():
            raise StoreError(
                f"The folder {self.root.parent} is gone: it was moved or removed while it was written "
                "to. Run the same command on it where it is now."
            )
        with atomic_directory(target) as folder:
            yield folder
            boundary("artifact made", target)
            seal_folder(folder, kind=kind, fingerprint=fingerprint, made_by=made_by)
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
        manifest = read_sealed(folder / MANIFEST, _REMEDY)
        if (manifest.get("kind"), manifest.get("fingerprint")) != (kind, fingerprint):
            raise CorruptArtifactError(
                f"{folder} holds another artifact than its name says. {_REMEDY}"
            )
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
        making: dict[str, Any] = read_sealed(folder / MANIFEST, _REMEDY)["made_by"]
        return making

    def is_ours(self, kind: str, fingerprint: str) -> bool:
        """Say whether everything in the artifact's folder was written by assay.

        It is where its sealed manifest names this kind and fingerprint and every file beside it, and
        no symbolic link is on the way to any of them.
        """
        folder = self.path(kind, fingerprint)
        if self.root.is_symlink() or folder.parent.is_symlink():
            return False
        return is_sealed(folder, kind=kind, fingerprint=fingerprint)

    def listed(self) -> list[tuple[str, str]]:
        """Return the kind and fingerprint of every artifact; no symbolic link is followed."""
        return [
            (path.parent.name, path.name)
            for path in self._entries()
            if path.parent != self.root and self._is_artifact(path)
        ]

    def strays(self) -> list[Path]:
        """Return the entries of the artifacts folder that are no artifacts."""
        return [
            path
            for path in self._entries()
            if writer_of(path) is None
            and not (self._is_kind(path) if path.parent == self.root else self._is_artifact(path))
        ]

    def _entries(self) -> list[Path]:
        kinds = sorted(self.root.iterdir()) if self.root.is_dir() else []
        inside = (path for kind in kinds if self._is_kind(kind) for path in sorted(kind.iterdir()))
        return [*kinds, *inside]

    @staticmethod
    def _is_kind(path: Path) -> bool:
        return bool(_NAME.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()

    @classmethod
    def _is_artifact(cls, path: Path) -> bool:
        return cls._is_kind(path) and os.path.lexists(path / MANIFEST)

    def discard(self, kind: str, fingerprint: str) -> None:
        """Remove the artifact; it is renamed first, so that nobody sees half of it.

        What can't be proved to be ours is not removed but moved aside.

        Raises
        ------
        StoreError
            It lies behind a symbolic link.
        """
        folder = self.path(kind, fingerprint)
        self._verified.discard(folder)
        if not os.path.lexists(folder):
            return
        if self.is_ours(kind, fingerprint):
            move_aside(folder)
        elif self.root.is_symlink() or folder.parent.is_symlink():
            raise StoreError(
                f"The artifact {folder} lies behind a symbolic link, where assay removes nothing. "
                "Remove it yourself, or move it into the store, and run the same command again."
            )
        else:
            kept = set_aside(folder, self._aside)
            logger.warning("%s is not as assay wrote it; it was moved to %s", folder, kept)

    def get_or_make(
        self, kind: str, fingerprint: str, make: Callable[[Path], None], **made_by: Any
    ) -> tuple[Path, bool]:
        """Return the artifact's folder and whether it was built, or rebuilt because it was corrupt."""
        if self.intact(kind, fingerprint):
            return self.path(kind, fingerprint), False
        with self.create(kind, fingerprint, **made_by) as folder:
            make(folder)
        return self.path(kind, fingerprint), True
