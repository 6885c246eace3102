"""An updated stream is, to the byte, the stream of the texts as they are now."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.index.ngrams.updates import write_updated
from assay.storage.errors import InputError

HASHERS = [NGramHasher(2, 1 << 17), NGramHasher(1, 1 << 10, characters=True)]
TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=40)), min_size=1, max_size=30)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.index.ngrams._stream_files._BLOCK", 50)


@settings(max_examples=60, deadline=None)
@given(before=TEXTS, now=TEXTS, picks=st.data(), hasher=st.sampled_from(HASHERS))
def test_an_updated_stream_is_that_of_the_texts_now(before, now, picks, hasher) -> None:
    # each text is new, or one of those before, any number of times and in any order
    rows = np.array(
        [picks.draw(st.integers(-1, len(before) - 1), label="row") for _ in now], np.int64
    )
    texts = [before[row] if row >= 0 else text for row, text in zip(rows, now, strict=True)]
    fresh = [text for row, text in zip(rows, now, strict=True) if row < 0]
    with TemporaryDirectory() as folder:
        old, updated, written = (Path(folder) / name for name in ("old", "updated", "written"))
        for path in (old, updated, written):
            path.mkdir()
        BucketStream.write(old, before, hasher, content="a")
        write_updated(updated, BucketStream.load(old), rows, fresh, content="b")
        BucketStream.write(written, texts, hasher, content="b")
        assert files(updated) == files(written)


def test_texts_must_fit_the_rows(tmp_path: Path) -> None:
    before = BucketStream.of(["a rose"], HASHERS[0])
    with pytest.raises(InputError, match="2 texts for 1 new rows"):
        write_updated(tmp_path, before, np.array([0, -1]), ["a", "b"])
