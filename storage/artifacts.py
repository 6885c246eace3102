"""Artifacts: folders of files, addressed by the fingerprint of what made them, with checksums."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.storage.atomic import atomic_directory, temporary_beside
from assay.storage.errors import CorruptArtifactError, StoreError

BLOCK = 64 * 2**20
_NAME = re.compile(r"[a-z0-9_]{1,64}")


def _block_checksums(path: Path) -> list[str]:
    sums = []
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sums.append(hashlib.blake2b(block, digest_size=16).hexdigest())
    return sums


class ArtifactStore:
    """Folders under `root`, one for each (kind, fingerprint), each with a `manifest.json`.

    An artifact is written under a temporary name and renamed, so it is whole or not there. Its
    manifest holds the size of every file and the 128-bit BLAKE2b of every 64 MiB of it; `open`
    checks them the first time that this process uses the artifact.

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
                "files": [
                    {
                        "name": p.relative_to(folder).as_posix(),
                        "size": p.stat().st_size,
                        "blocks": _block_checksums(p),
                    }
                    for p in files
                ],
            }
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
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
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
            for entry in manifest["files"]:
                file = folder / entry["name"]
                if (
                    file.stat().st_size != entry["size"]
                    or _block_checksums(file) != entry["blocks"]
                ):
                    raise CorruptArtifactError(
                        f"{file} does not match its checksum; it was changed or damaged after it "
                        "was written. Run the same command again to rebuild it."
                    )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(
                f"The artifact {folder} can't be verified ({error}). "
                "Run the same command again to rebuild it."
            ) from error
        self._verified.add(folder)
        return folder

    def discard(self, kind: str, fingerprint: str) -> None:
        """Remove the artifact; it is renamed first, so that no half of it can be found."""
        folder = self.path(kind, fingerprint)
        self._verified.discard(folder)
        if folder.exists():
            aside = temporary_beside(folder)
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def get_or_make(
        self, kind: str, fingerprint: str, make: Callable[[Path], None], **made_by: Any
    ) -> tuple[Path, bool]:
        """Return the artifact's folder and whether it had to be made (again, if it was corrupt)."""
        if self.exists(kind, fingerprint):
            try:
                return self.open(kind, fingerprint), False
            except CorruptArtifactError:
                self.discard(kind, fingerprint)
        with self.create(kind, fingerprint, **made_by) as folder:
            make(folder)
        return self.path(kind, fingerprint), True
