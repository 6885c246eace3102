"""Streams that were hashed in shards: the files of one piece, whatever the cuts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.ngrams import _stream_files
from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.index.ngrams.updates import join_streams, write_stream

TEXTS = st.lists(st.one_of(st.none(), st.text("ab ", max_size=30)), min_size=1, max_size=40)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stream_files, "_BLOCK", 16)


@settings(max_examples=25, deadline=None)
@given(texts=TEXTS, cuts=st.lists(st.integers(0, 40), max_size=4))
def test_joined_shards_are_written_as_one_piece(
    texts: list[str | None], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("streams")
    hasher = NGramHasher(buckets=2**10)
    bounds = sorted({0, len(texts), *(cut for cut in cuts if cut < len(texts))})
    parts = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        (folder / f"part {number}").mkdir()
        parts.append(BucketStream.write(folder / f"part {number}", texts[first:last], hasher))
    joined = join_streams(parts)
    for name in ("whole", "joined"):
        (folder / name).mkdir()
    whole = BucketStream.write(folder / "whole", texts, hasher, content="c")
    write_stream(folder / "joined", joined, content="c")
    assert files(folder / "joined") == files(folder / "whole")
    np.testing.assert_array_equal(joined.counts, whole.counts)
    rows = np.arange(len(texts))[::2]
    np.testing.assert_array_equal(joined.take(rows).buckets, whole.take(rows).buckets)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
