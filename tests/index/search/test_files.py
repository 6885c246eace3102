"""A saved index: no damage goes unnoticed, and a mapped one reads but never writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from assay.index import VectorIndex
from assay.storage.disk import checksums
from assay.storage.disk.artifacts import ArtifactStore
from assay.storage.errors import ConfigError, CorruptArtifactError

KINDS = ["flat", "ivf", "hnsw"]
FP = "0123456789abcdef"


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return [f"n{i * 7 % 400}" for i in range(400)]


def flips_unnoticed(folder: Path, use: Callable[[], object], count: int, seed: int) -> list[str]:
    """Flip one random bit of the folder's files at a time; return those that `use` stands."""
    rng = np.random.default_rng(seed)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    sizes = np.array([f.stat().st_size for f in files])

    def flip(file: Path, bit: int) -> None:
        with file.open("r+b") as opened:
            opened.seek(bit // 8)
            byte = opened.read(1)[0]
            opened.seek(bit // 8)
            opened.write(bytes([byte ^ 1 << bit % 8]))

    unnoticed = []
    for _ in range(count):
        # half of the flips fall on all files alike, however small
        even = rng.random() < 0.5
        at = int(rng.choice(len(files), p=None if even else sizes / sizes.sum()))
        bit = int(rng.integers(8 * sizes[at]))
        flip(files[at], bit)
        try:
            use()
        except CorruptArtifactError:
            pass
        else:
            unnoticed.append(f"{files[at].name}, bit {bit}")
        flip(files[at], bit)
    use()
    return unnoticed


@pytest.mark.parametrize("kind", KINDS)
def test_no_flipped_bit_of_a_folder_goes_unnoticed(
    X: np.ndarray, ids: list[str], kind: str, tmp_path: Path
) -> None:
    index = VectorIndex.from_vectors(X, ids=ids, kind=kind)
    index.remove(ids[:9])
    index.save(tmp_path)
    assert flips_unnoticed(tmp_path, lambda: VectorIndex.load(tmp_path), 1_000, 1) == []


def test_no_flipped_bit_of_an_artifact_goes_unnoticed(
    X: np.ndarray, ids: list[str], tmp_path: Path
) -> None:
    index = VectorIndex.from_vectors(X, ids=ids, kind="ivf")
    path, _ = ArtifactStore(tmp_path).get_or_make("index", FP, index.save, note="\u00e4", level=0.1)

    def use() -> None:
        VectorIndex.load(ArtifactStore(tmp_path).open("index", FP), verify=False)

    assert flips_unnoticed(path, use, 1_000, 2) == []


def test_no_flipped_bit_of_a_mapped_index_goes_unnoticed(
    X: np.ndarray, ids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 512)
    index = VectorIndex.from_vectors(X, ids=ids, kind="ivf")
    index.save(tmp_path)
    most = len(index.centroids)

    def use() -> None:
        VectorIndex.load(tmp_path, mmap=True).search(X[:1], 3, probes=most)

    assert flips_unnoticed(tmp_path, use, 1_000, 3) == []


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_a_mapped_index_finds_the_same(
    X: np.ndarray, ids: list[str], metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = VectorIndex.from_vectors(X, ids=ids, metric=metric, kind="ivf")
    index.remove(ids[:50])
    index.save(tmp_path)
    for verify in (True, False):
        mapped = VectorIndex.load(tmp_path, mmap=True, verify=verify)
        for given in ({}, {"probes": 2}, {"among": ids[100:200]}):
            for got, expected in zip(
                mapped.search(X, 5, **given), index.search(X, 5, **given), strict=True
            ):
                np.testing.assert_array_equal(got, expected)
        with monkeypatch.context() as patched:
            patched.setattr("assay.index.search.rows.EXACT_UP_TO", 0)
            for got, expected in zip(
                mapped.search(X, 5, excluding=ids[100:200]),
                index.search(X, 5, excluding=ids[100:200]),
                strict=True,
            ):
                np.testing.assert_array_equal(got, expected)


def test_blocks_of_a_mapped_index_are_checked_when_they_are_read(
    X: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 64)
    index = VectorIndex.from_vectors(X, kind="ivf", metric="l2")
    index.save(tmp_path)
    file = tmp_path / "index.faiss"
    content = bytearray(file.read_bytes())
    # the end of the file is the label of a row of the last list
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    mapped = VectorIndex.load(tmp_path, mmap=True)
    mapped.search(index.centroids[:1], 1, probes=1)
    with pytest.raises(CorruptArtifactError, match=r"index\.faiss does not match its checksum"):
        mapped.search(index.centroids[-1:], 1, probes=1)
    with pytest.raises(CorruptArtifactError):
        VectorIndex.load(tmp_path, mmap=True).search(X[:1], 1, among=[0])
    with pytest.raises(CorruptArtifactError):
        VectorIndex.load(tmp_path)


def test_a_mapped_index_refuses_to_be_changed_and_the_process_lives_on(
    X: np.ndarray, tmp_path: Path
) -> None:
    VectorIndex.from_vectors(X, kind="ivf").save(tmp_path)
    program = """
import sys
import numpy as np
from assay.index import VectorIndex
from assay.storage.errors import ConfigError

index = VectorIndex.load(sys.argv[1], mmap=True)
for change in (
    lambda: index.add(np.ones((1, 6))),
    lambda: index.remove([0]),
    lambda: index.save(sys.argv[1]),
):
    try:
        change()
    except ConfigError as error:
        print(error)
print(index.search(np.ones((1, 6)), 3)[1].shape, len(index))
index.build(np.eye(6))
index.add(np.ones((1, 6)))
print(len(index))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("is mapped read-only: load it without mmap=True" in line for line in lines[:3])
    assert lines[3:] == ["(1, 3) 400", "7"]


def test_a_folder_can_be_saved_anew_while_it_is_mapped(X: np.ndarray, tmp_path: Path) -> None:
    VectorIndex.from_vectors(X, kind="ivf").save(tmp_path)
    mapped = VectorIndex.load(tmp_path, mmap=True, verify=False)
    expected = mapped.search(X[:5], 3)[1]
    VectorIndex.from_vectors(X[:20], kind="ivf").save(tmp_path)
    np.testing.assert_array_equal(mapped.search(X[:5], 3)[1], expected)
    assert len(VectorIndex.load(tmp_path)) == 20


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_only_inverted_lists_can_be_mapped(X: np.ndarray, kind: str, tmp_path: Path) -> None:
    VectorIndex.from_vectors(X, kind=kind).save(tmp_path)
    with pytest.raises(ConfigError, match=f"not '{kind}': load it without mmap"):
        VectorIndex.load(tmp_path, mmap=True)


def test_a_broken_folder_is_refused(X: np.ndarray, ids: list[str], tmp_path: Path) -> None:
    VectorIndex.from_vectors(X, ids=ids).save(tmp_path)
    names = {"index.faiss", "index.json", "rows.npy", "ids.parquet", "checksums.json"}
    assert {p.name for p in tmp_path.iterdir()} == names
    for name in names:
        folder = tmp_path / "less" / name
        shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("less", name))
        with pytest.raises(CorruptArtifactError, match=name):
            VectorIndex.load(folder)
    file = tmp_path / "index.faiss"
    whole = file.read_bytes()
    for broken in (b"", b"nonsense" + whole[8:], whole[: len(whole) // 2], whole + b" "):
        file.write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match="does not match its checksum"):
            VectorIndex.load(tmp_path)
    with pytest.raises(CorruptArtifactError):
        VectorIndex.load(tmp_path / "nowhere")


def test_parts_that_do_not_fit_together_are_refused(
    X: np.ndarray, ids: list[str], tmp_path: Path
) -> None:
    VectorIndex.from_vectors(X, ids=ids).save(tmp_path)
    said = json.loads((tmp_path / "index.json").read_text())
    for changed, name in (
        ({"rows": 7}, "rows"),
        ({"stored": 7}, "stored"),
        ({"dimension": 11}, "dimension"),
        ({"faiss_metric": 1}, "faiss_metric"),
        ({"metric": "cos"}, "metric"),
        ({"ids": 399}, "ids"),
        ({"format": 0}, "format"),
    ):
        (tmp_path / "index.json").write_text(json.dumps(said | changed))
        with pytest.raises(CorruptArtifactError, match=name):
            VectorIndex.load(tmp_path, verify=False)
    (tmp_path / "index.json").write_text(json.dumps(said))
    whole = (tmp_path / "index.faiss").read_bytes()
    for broken in (b"", b"nonsense" + whole[8:], whole[: len(whole) // 2]):
        (tmp_path / "index.faiss").write_bytes(broken)
        with pytest.raises(CorruptArtifactError, match="can't be read"):
            VectorIndex.load(tmp_path, verify=False)
    (tmp_path / "index.faiss").write_bytes(whole)
    for rows in (np.zeros((2, 400), np.int64), np.tile(np.arange(399), (2, 1))):
        np.save(tmp_path / "rows.npy", rows)
        with pytest.raises(CorruptArtifactError, match="positions"):
            VectorIndex.load(tmp_path, verify=False)
