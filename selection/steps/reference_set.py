"""What rows are compared with that another data set holds: its hashes, shingles and vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.search.sparse_index import SparseIndex
from assay.selection.algorithms.equal_content import normalized
from assay.selection.algorithms.minhash import Shingles, shingles, signatures
from assay.selection.contract.inputs import text_series
from assay.storage.disk.checked_folder import check_files, write_checksums
from assay.storage.disk.pages import new_mapped, noted, open_mapped
from assay.storage.errors import IdError, InputError
from assay.storage.hashing.rows import hash_rows

SEED = 0

# files of a reference that near texts are looked for in
_NEAR = ("indptr.npy", "shingles.npy", "signature.npy")


@dataclass(frozen=True, eq=False)
class ReferenceSet:
    """What rows are compared with: the content of another data set, in the forms that are needed.

    Attributes
    ----------
    ids : Series of m texts
    hashes : uint64[m, 2]
        Of the normalized texts, or of the vectors where there are no texts.
    there : bool[m]
        The rows that have content.
    texts : Shingles, optional
    signature : uint32[m, permutations], optional
        MinHash of the shingles.
    vectors : float32[m, d], optional
    words : SparseIndex, optional
        The texts by their rare words.
    """

    ids: pl.Series
    hashes: NDArray[np.uint64]
    there: NDArray[np.bool_]
    texts: Shingles | None = None
    signature: NDArray[np.uint32] | None = None
    vectors: NDArray[np.float32] | None = None
    words: SparseIndex | None = None

    @classmethod
    def of(
        cls,
        texts: Any = None,
        *,
        vectors: Any = None,
        ids: Any = None,
        near: bool = True,
        words: bool = False,
        ngrams: int = 5,
        permutations: int = 128,
    ) -> Self:
        """Hash a data set.

        Parameters
        ----------
        texts : sequence or column of texts, optional
        vectors : array of shape (m, d), optional
        ids : m ids, optional
            Where None, the positions.
        near : bool, default True
            Whether texts are made ready for the search of near ones.
        words : bool, default False
            Whether texts are indexed by their rare words.
        ngrams, permutations : int
            As of `InReference`.

        Raises
        ------
        InputError, IdError
            Neither texts nor vectors are given, or lengths differ.
        """
        rows = None if vectors is None else np.ascontiguousarray(vectors, dtype=np.float32)
        series = None if texts is None else text_series(texts, "the reference")
        if series is None and rows is None:
            raise InputError("A reference needs texts or vectors; pass either, or both.")
        m = len(series) if series is not None else len(rows)  # type: ignore[arg-type]
        if rows is not None and len(rows) != m:
            raise InputError(f"A reference has {m} texts and {len(rows)} vectors; pass one each.")
        named = pl.Series("id", np.arange(m) if ids is None else ids).cast(pl.String)
        if len(named) != m or named.null_count():
            raise IdError(f"A reference has {m} rows and {len(named.drop_nulls())} ids.")
        if series is None:
            assert rows is not None
            return cls(named, hash_rows(rows), np.ones(m, dtype=bool), vectors=rows)
        hashes, filled = hashed(series)
        by_words = SparseIndex.from_texts(series, ids=named) if words else None
        if not near:
            return cls(named, hashes, filled, vectors=rows, words=by_words)
        sets = shingles(series, ngrams)
        signature = signatures(sets, permutations, SEED)
        return cls(named, hashes, filled, sets, signature, rows, by_words)

    @classmethod
    def write(
        cls,
        folder: Path,
        parts: Iterable[Any],
        ids: pl.Series,
        *,
        near: bool = True,
        ngrams: int = 5,
        permutations: int = 128,
    ) -> None:
        """Hash texts that come in parts, and write what `of` and `save` would.

        Memory is that of a part, and 40 bytes for each text.

        Parameters
        ----------
        folder : Path
        parts : iterable of columns of texts
            As many texts as ids in all.
        ids : Series of m texts
        near, ngrams, permutations
            As of `of`.

        Raises
        ------
        IdError
            There are more or fewer texts than ids.
        """
        shares: list[Path] = []
        m, begin = len(ids), 0
        hashes, filled = np.empty((m, 2), dtype=np.uint64), np.empty(m, dtype=bool)
        sizes = np.zeros(m + 1, dtype=np.int64)
        if near:
            _room(folder / "signature.npy", (m, permutations))
        for part in parts:
            texts = text_series(part, "the reference")
            end = begin + len(texts)
            if end > m:
                raise IdError(f"A reference has {m} ids, but more texts.")
            hashes[begin:end], filled[begin:end] = hashed(texts)
            if near:
                sets = shingles(texts, ngrams)
                sizes[begin + 1 : end + 1] = np.diff(sets.indptr)
                signed = signatures(sets, permutations, SEED)
                _fill(folder / "signature.npy", begin, signed)
                shares.append(folder / f"shingles-{len(shares)}.npy")
                np.save(shares[-1], sets.values)
            begin = end
        if begin != m:
            raise IdError(f"A reference has {m} ids, but {begin} texts.")
        if near:
            indptr = np.cumsum(sizes)
            _room(folder / "shingles.npy", (int(indptr[-1]),))
            place = 0
            for share in shares:
                values = np.load(share)
                _fill(folder / "shingles.npy", place, values)
                place += len(values)
                share.unlink()
            np.save(folder / "indptr.npy", indptr)
        cls(ids.cast(pl.String), hashes, filled).save(folder)

    def save(self, folder: Path) -> None:
        """Write it into a folder, with checksums of its files; vectors are kept elsewhere."""
        names = ["ids.parquet", "hashes.npy", "there.npy"]
        self.ids.to_frame("id").write_parquet(folder / "ids.parquet")
        np.save(folder / "hashes.npy", self.hashes)
        np.save(folder / "there.npy", self.there)
        if self.texts is not None and self.signature is not None:
            np.save(folder / "indptr.npy", self.texts.indptr)
            np.save(folder / "shingles.npy", self.texts.values)
            np.save(folder / "signature.npy", self.signature)
        names += [name for name in _NEAR if (folder / name).exists()]
        write_checksums(folder, names)
        if self.words is not None:
            self.words.save(folder / "words")

    @classmethod
    def load(
        cls, folder: Path, vectors: NDArray[np.float32] | None = None, *, verify: bool = True
    ) -> Self:
        """Open what `save` wrote, checking that every byte is as it was written; large parts stay on disk.

        Parameters
        ----------
        folder : Path
        vectors : array of shape (m, d), optional
        verify : bool, default True
            False leaves out the checksums, where `ArtifactStore.open` has compared its own.

        Raises
        ------
        CorruptArtifactError
            A file is missing or was changed; the message names it.
        """
        if verify:
            check_files(folder, "Make the reference again.")

        def opened(name: str) -> Any:
            return open_mapped(folder / f"{name}.npy")

        near = (folder / "signature.npy").exists()
        return cls(
            pl.read_parquet(folder / "ids.parquet")["id"],
            opened("hashes"),
            opened("there"),
            Shingles(opened("indptr"), opened("shingles")) if near else None,
            opened("signature") if near else None,
            vectors,
            SparseIndex.load(folder / "words", mmap=True, verify=verify)
            if (folder / "words").exists()
            else None,
        )


def hashed(texts: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return hashes of normalized texts, and which have content."""
    plain = normalized(texts)
    filled = (plain.is_not_null() & (plain != "")).fill_null(False).to_numpy().astype(bool)
    return hash_rows(plain), filled


def _room(path: Path, shape: tuple[int, ...]) -> None:
    """Make a file of uint32 of a shape."""
    new_mapped(path, np.uint32, shape)


def _fill(path: Path, begin: int, values: NDArray[np.uint32]) -> None:
    """Write some rows of a file that `_room` made; what is written leaves the memory."""
    if len(values):
        room = noted(np.lib.format.open_memmap(path, mode="r+"))
        room[begin : begin + len(values)] = values
