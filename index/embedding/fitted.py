"""What embedders that are fitted on a sample share: the sample, the fingerprint, their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from assay.storage.errors import InputError, MissingInputError, StoreError
from assay.storage.hashing.rows import hash_rows


def fixed_sample(ids: Any, n: int, count: int, seed: int) -> np.ndarray:
    """Return the positions of the `count` rows whose ids hash smallest, in order of their hash.

    It depends on neither the order of the rows nor on shards, and a row joining the pool rarely
    changes it. Without ids the position counts, as a decimal number.

    Examples
    --------
    >>> fixed_sample(["a", "b", "c"], 3, 2, seed=0).tolist()
    [2, 0]
    >>> fixed_sample(["c", "b", "a"], 3, 2, seed=0).tolist()
    [0, 2]
    """
    names = pa.array(np.arange(n)).cast(pa.large_string()) if ids is None else ids
    if len(names) != n:
        raise InputError(f"There are {len(names)} ids for {n} rows; give one each.")
    hashes = hash_rows(names, salt=seed)
    rows = np.arange(n)
    if count < n:
        bound = np.partition(hashes[:, 0], count - 1)[count - 1]
        rows = np.flatnonzero(hashes[:, 0] <= bound)
    result: np.ndarray = rows[np.lexsort((hashes[rows, 1], hashes[rows, 0]))[:count]]
    return result


class FittedEmbedder:
    """Base of embedders that hold fitted arrays.

    A subclass names its arrays (attributes with a ``_`` behind) and its constructor's parameters,
    and calls `_finish` when the arrays are there.
    """

    REVISION: ClassVar[int]
    ARRAYS: ClassVar[tuple[str, ...]]
    PARAMETERS: ClassVar[tuple[str, ...]]

    _notes: dict[str, Any] | None = None
    _fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """BLAKE2b of the parameters, what was noted in fitting and the arrays, 32 hex digits."""
        self._check_fitted()
        if self._fingerprint is None:
            digest = hashlib.blake2b(json.dumps(self._description()).encode(), digest_size=16)
            for name, array in self._arrays():
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(array.data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def save(self, directory: Path | str) -> None:
        """Write the fitted arrays and the parameters into an existing folder."""
        self._check_fitted()
        for name, array in self._arrays():
            np.save(Path(directory) / f"{name}.npy", array, allow_pickle=False)
        text = json.dumps(self._description(), indent=1) + "\n"
        (Path(directory) / "embedder.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Return the embedder that `save` wrote into the folder.

        Raises
        ------
        StoreError
            Files are missing, or written by another class or revision.
        """
        folder = Path(directory)
        try:
            description = json.loads((folder / "embedder.json").read_text(encoding="utf-8"))
            arrays = {n: np.load(folder / f"{n}.npy", allow_pickle=False) for n in cls.ARRAYS}
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder} holds no embedder that can be read: {error}.") from error
        made_by = (description.get("embedder"), description.get("revision"))
        if made_by != (cls.__name__, cls.REVISION):
            raise StoreError(
                f"The embedder in {folder} is a {made_by[0]} of revision {made_by[1]}, not a "
                f"{cls.__name__} of revision {cls.REVISION}; fit it again."
            )
        embedder = cls(**description["parameters"])
        for name, array in arrays.items():
            setattr(embedder, f"{name}_", array)
        embedder._finish(description["notes"])
        return embedder

    def _arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        for name in self.ARRAYS:
            yield name, np.ascontiguousarray(getattr(self, f"{name}_"))

    def _description(self) -> dict[str, Any]:
        return {
            "embedder": type(self).__name__,
            "revision": self.REVISION,
            "parameters": {name: getattr(self, name) for name in self.PARAMETERS},
            "notes": self._notes,
        }

    def _finish(self, notes: dict[str, Any]) -> None:
        """Take note of what else decides the vectors (JSON): it is fitted."""
        self._notes = notes
        self._fingerprint = None

    def _check_fitted(self) -> None:
        if self._notes is None:
            name = type(self).__name__
            raise MissingInputError(f"This {name} is not fitted; call fit, or load(directory).")
