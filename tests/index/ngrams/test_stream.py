from __future__ import annotations

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assay.index.ngrams import stream as bucket_stream
from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.index.threads import aside, ordered_map, thread_count
from assay.storage import ArtifactStore, read_pool
from assay.storage.errors import ConfigError, CorruptArtifactError
from tests.selection.importance.test_resampler import sentences

TEXTS = [*sentences(3_000, 1) * 3, None, "", "\u4f60\u597d \u4e16\u754c", " \t"]
HASHERS = [
    NGramHasher(2, 1 << 17),
    NGramHasher(3, 10_000, hash="sha256", tokenizer="regex"),
    NGramHasher(1, 1 << 16, characters=True),
]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("assay.index.ngrams._stream_files._BLOCK", 1 << 15)
    monkeypatch.setattr(bucket_stream, "_HELD", 1 << 16)
    monkeypatch.setattr("assay.index.ngrams.hasher._CHUNK", 1 << 14)


def check(stream, hasher, texts=TEXTS):
    """Compare a stream with what hashing the texts at once gives."""
    grams = hasher.transform(texts)
    np.testing.assert_array_equal(stream.n_tokens, grams.n_tokens)
    np.testing.assert_array_equal(stream.sizes(), np.diff(grams.indptr))
    counts = np.bincount(grams.buckets, minlength=hasher.buckets)
    np.testing.assert_array_equal(stream.counts, counts)
    row = at = 0
    for first, part in stream:
        assert first == row
        np.testing.assert_array_equal(part.buckets, grams.buckets[at : at + len(part.buckets)])
        row, at = row + len(part.n_tokens), at + len(part.buckets)
        small = np.uint16 if hasher.buckets <= 65_536 else np.uint32
        assert part.buckets.dtype == small
    assert (row, at) == (len(texts), len(grams.buckets)) == (len(stream), stream.sizes().sum())
    rows = np.array([0, 5, 8_999, 9_002])
    picked = hasher.transform([texts[i] for i in rows])
    found = stream.take(rows)
    np.testing.assert_array_equal(found.indptr, picked.indptr)
    np.testing.assert_array_equal(found.buckets, picked.buckets)
    np.testing.assert_array_equal(
        stream.counts_of(rows[::-1]), np.bincount(picked.buckets, minlength=hasher.buckets)
    )
    times = np.array([3, 0, 2, 5])
    weighted = np.bincount(
        picked.buckets, np.repeat(times, np.diff(picked.indptr)), minlength=hasher.buckets
    )
    np.testing.assert_array_equal(stream.counts_of(rows, times), weighted)
    np.testing.assert_array_equal(stream.counts_of(rows[::-1], times[::-1]), weighted)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("hasher", HASHERS, ids=lambda h: f"{h.ngrams}-{h.hash}")
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("kept", [0, 150_000, 1 << 30])
def test_a_stream_holds_what_hashing_gives(hasher, threads, kept):
    stream = BucketStream.of(TEXTS, hasher, threads=threads, kept=kept)
    in_files = sum(not isinstance(block.buckets, np.ndarray) for block in stream.blocks)
    assert len(stream.blocks) > 2
    expected = {0: len(stream.blocks), 1 << 30: 0}
    assert in_files == expected.get(kept, in_files)
    check(stream, hasher)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("hasher", HASHERS, ids=lambda h: f"{h.ngrams}-{h.hash}")
@pytest.mark.parametrize("kept", [0, 1 << 30])
@pytest.mark.parametrize("left_out", ["without n-grams", "some", "whole blocks", "none"])
def test_some_rows_of_a_stream_are_a_stream(hasher, kept, left_out):
    stream = BucketStream.of(TEXTS, hasher, kept=kept)
    chosen = {
        "without n-grams": stream.n_tokens > 0,
        "some": np.random.default_rng(0).random(len(TEXTS)) < 0.7,
        "whole blocks": np.arange(len(TEXTS)) >= 4_000,
        "none": np.ones(len(TEXTS), bool),
    }[left_out]
    rows = np.flatnonzero(chosen)
    part = stream.select(rows)
    assert (part is stream) == (left_out == "none")
    texts = [TEXTS[row] for row in rows]
    grams = hasher.transform(texts)
    np.testing.assert_array_equal(part.counts, np.bincount(grams.buckets, minlength=hasher.buckets))
    np.testing.assert_array_equal(part.sizes(), np.diff(grams.indptr))
    found = list(part)
    assert [first for first, _ in found] == np.cumsum([0] + [len(g.n_tokens) for _, g in found])[
        :-1
    ].tolist()
    np.testing.assert_array_equal(np.concatenate([g.buckets for _, g in found]), grams.buckets)
    if left_out == "without n-grams":
        pairs = zip(found, stream, strict=True)
        assert all(np.shares_memory(a.buckets, b.buckets) for (_, a), (_, b) in pairs) or not kept
    picked = np.array([0, 7, len(rows) - 1])
    np.testing.assert_array_equal(
        part.take(picked).buckets, hasher.transform([texts[i] for i in picked]).buckets
    )
    again = part.select(np.arange(1, len(part), 2))
    np.testing.assert_array_equal(again.counts, hasher.counts(texts[1::2]))
    del stream
    assert sum(int(g.n_tokens.sum()) for _, g in part) == int(part.n_tokens.sum())


@pytest.mark.usefixtures("small_blocks")
def test_temporary_files_go_with_the_stream():
    stream = BucketStream.of(TEXTS, HASHERS[0], kept=0)
    folder = stream.blocks[0].buckets.parent
    assert folder.is_dir()
    parts = iter(stream)
    _, part = next(parts)
    del stream, parts
    assert not folder.exists()
    assert part.buckets.sum() > 0


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("hasher", HASHERS, ids=lambda h: f"{h.ngrams}-{h.hash}")
def test_a_stream_is_written_and_read(tmp_path, hasher):
    written = BucketStream.write(tmp_path, TEXTS, hasher, threads=2, content="00ff")
    check(written, hasher)
    read = BucketStream.load(tmp_path)
    check(read, hasher)
    for name in ("ngrams", "buckets", "hash", "tokenizer", "characters"):
        assert getattr(read.hasher, name) == getattr(hasher, name)
    header = json.loads((tmp_path / "stream.json").read_text())
    assert header["content"] == "00ff"
    assert sum(header["rows"]) == len(TEXTS)
    assert {file.suffix for file in tmp_path.iterdir()} == {".npy", ".json"}


def test_a_stream_is_an_artifact(tmp_path):
    pool = read_pool({"text": sentences(50, 2)})
    store, hasher = ArtifactStore(tmp_path), HASHERS[0]
    address = ("bucket_stream", BucketStream.fingerprint_of(pool.fingerprint, hasher))

    def make(folder):
        BucketStream.write(folder, pool.batches(), hasher, content=pool.fingerprint)

    for made in (True, False):
        folder, was_made = store.get_or_make(*address, make)
        assert was_made == made
    assert len(BucketStream.load(folder)) == 50
    others = [NGramHasher(3), NGramHasher(2, 9), NGramHasher(characters=True)]
    others += [NGramHasher(hash="sha256"), NGramHasher(tokenizer="regex")]
    addresses = {BucketStream.fingerprint_of(pool.fingerprint, each) for each in others}
    addresses |= {BucketStream.fingerprint_of("ab", hasher), address[1]}
    assert len(addresses) == 7


def test_a_broken_folder_is_refused(tmp_path):
    with pytest.raises(CorruptArtifactError, match="does not hold a bucket stream"):
        BucketStream.load(tmp_path)
    BucketStream.write(tmp_path, ["a b"], HASHERS[0])
    (tmp_path / "buckets-000000.npy").unlink()
    with pytest.raises(CorruptArtifactError, match="files are missing"):
        BucketStream.load(tmp_path)
    header = json.loads((tmp_path / "stream.json").read_text())
    (tmp_path / "stream.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(CorruptArtifactError, match="format 99"):
        BucketStream.load(tmp_path)


@pytest.mark.parametrize("texts", [[], [None, ""], pa.chunked_array([], pa.string())])
def test_streams_without_ngrams(tmp_path, texts):
    stream = BucketStream.write(tmp_path, texts, HASHERS[0])
    assert len(stream) == len(BucketStream.load(tmp_path)) == len(texts)
    assert not stream.counts.any()
    assert stream.take(np.arange(len(texts))).indptr.tolist() == [0] * (len(texts) + 1)


@pytest.mark.parametrize(
    "make",
    [
        pl.Series,
        pa.array,
        lambda texts: pa.chunked_array([texts[:7], [], texts[7:]]),
        lambda texts: iter([texts[:10], pl.Series(texts[10:])]),
        lambda texts: read_pool({"text": texts}).batches(13),
    ],
)
def test_any_column_is_the_same(make):
    check(BucketStream.of(make(TEXTS), HASHERS[0]), HASHERS[0])


def test_items_are_mapped_in_order_and_errors_come_through():
    assert list(ordered_map(lambda x: x * x, range(50), 3)) == [x * x for x in range(50)]
    assert thread_count(None) >= 1
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ConfigError, match="threads"):
            thread_count(wrong)

    def fail(x):
        if x == 3:
            raise ValueError("three")
        return x

    with pytest.raises(ValueError, match="three"):
        list(ordered_map(fail, range(10), 2))


@pytest.mark.parametrize("threads", [1, 2])
def test_items_are_taken_aside_in_order_and_errors_come_through(threads):
    taken = []
    with aside(taken.append, threads) as put:
        for item in range(50):
            put(item)
    assert taken == list(range(50))

    def fail(x):
        if x == 3:
            raise ValueError("three")
        taken.append(x)

    def give(last):
        with aside(fail, threads) as put:
            for item in range(last):
                put(item)

    for last in (4, 10):
        taken.clear()
        with pytest.raises(ValueError, match="three"):
            give(last)
        assert taken == [0, 1, 2]


def test_a_block_that_cannot_be_kept_is_an_error_with_threads_too(tmp_path):
    texts = ["a rose is a rose"] * 400_000
    (tmp_path / "buckets-000000.npy").mkdir()
    for threads in (1, 2):
        with pytest.raises(OSError, match="buckets-000000"):
            BucketStream.write(tmp_path, texts, HASHERS[0], threads=threads)
        assert not (tmp_path / "stream.json").exists()
