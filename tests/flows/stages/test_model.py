"""Runs with a model's embeddings: only content that is new is ever sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows import curate
from tests.index.embedding.test_models import KEY, Endpoint, vectors


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = Endpoint()
    yield started
    started.server.shutdown()
    started.server.server_close()
    started.thread.join()


def texts_sent(endpoint: Endpoint) -> list[str]:
    sent = [text for request in endpoint.requests for text in request["input"]]
    endpoint.requests.clear()
    return sent


def test_only_new_content_is_encoded(endpoint: Endpoint, tmp_path: Path) -> None:
    texts = [f"text number {i}" for i in range(80)]
    settings: dict[str, Any] = {
        "id": "id", "text": "text", "select": "random", "scores": (), "budget": 5,
        "store": str(tmp_path / "store"), "name": "pool",
        "embedding": {"name": "openai", "options": {"model": "m", "base_url": endpoint.url}},
    }  # fmt: skip

    def run(some: list[str], **changed: Any) -> np.ndarray:
        frame = pl.DataFrame({"id": [f"i{n:03}" for n in range(len(some))], "text": some})
        result = curate(pool=frame, **settings | changed)
        folders = (result.store.path / "artifacts" / "vectors").iterdir()
        newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
        return np.load(newest / "vectors.npy")

    first = run(texts[:50])
    np.testing.assert_allclose(first, vectors(texts[:50]), atol=1e-6)
    assert sorted(texts_sent(endpoint)) == sorted(texts[:50])

    grown = [*texts[20:80], "", texts[3]]
    second = run(grown)
    assert sorted(texts_sent(endpoint)) == sorted(texts[50:])
    np.testing.assert_allclose(second[:60], vectors(texts[20:80]), atol=1e-6)
    np.testing.assert_array_equal(second[60], first[3])

    run(texts[10:70])
    assert texts_sent(endpoint) == []

    other = {"name": "openai", "options": {"model": "other", "base_url": endpoint.url}}
    run(texts[:50], embedding=other)
    assert len(texts_sent(endpoint)) == 50


def test_damaged_vectors_are_not_used(endpoint: Endpoint, tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a", "b", "c"], "text": ["x", "y", "z"]})
    settings: dict[str, Any] = {
        "id": "id", "text": "text", "select": "random", "scores": (), "budget": 1, "name": "p",
        "store": str(tmp_path), "graph": {"k": 1},
        "embedding": {"name": "openai", "options": {"model": "m", "base_url": endpoint.url}},
    }  # fmt: skip
    curate(pool=frame, **settings)
    texts_sent(endpoint)
    (folder,) = (tmp_path / "artifacts" / "vectors").iterdir()
    data = bytearray((folder / "vectors.npy").read_bytes())
    data[-1] ^= 1
    (folder / "vectors.npy").write_bytes(data)
    curate(pool=frame[:2], **settings)
    assert texts_sent(endpoint) == ["x", "y"]
