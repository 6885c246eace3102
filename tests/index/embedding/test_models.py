"""Embedders that call a model, each against a stub on this machine."""

from __future__ import annotations

import hashlib
import json
import pickle
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.index import Embedder
from assay.index.embedding.embedders import EMBEDDERS, embedder_class
from assay.index.embedding.onnx import OnnxEmbedder
from assay.index.embedding.openai import OpenAIEmbedder
from assay.index.embedding.sentence_transformers import SentenceTransformerEmbedder
from assay.storage.errors import (
    ColumnError,
    ConfigError,
    DependencyError,
    InputError,
    ServiceError,
)

KEY = "sk-secret-0123456789"


def vector(text: str, width: int = 6) -> list[float]:
    """Return the vector that the stubs give a text."""
    digest = hashlib.blake2b(text.encode(), digest_size=width).digest()
    return [byte / 255 - 0.5 for byte in digest]


def vectors(texts: list[str], width: int = 6) -> np.ndarray:
    found = np.array([vector(text, width) for text in texts])
    return found / np.linalg.norm(found, axis=1, keepdims=True)


TEXTS = [f"text number {i} " * (i % 4 + 1) for i in range(23)]


def test_every_name_leads_to_an_embedder() -> None:
    for name in EMBEDDERS:
        found = embedder_class(name)
        assert callable(found.encode)
        assert hasattr(found, "fingerprint")
    with pytest.raises(ColumnError, match="'openai'"):
        embedder_class("opnai")


# sentence-transformers


class FakeSentenceTransformer:
    commit: str | None = "c0ffee"
    made: list[dict[str, Any]] = []  # noqa: RUF012
    batches: list[list[str]] = []  # noqa: RUF012

    def __init__(self, name: str, **options: Any) -> None:
        if name == "missing":
            raise OSError("missing is not a local folder")
        self.made.append({"name": name, **options})

    def __iter__(self) -> Iterator[Any]:
        yield SimpleNamespace(
            auto_model=SimpleNamespace(config=SimpleNamespace(_commit_hash=self.commit))
        )
        yield SimpleNamespace()

    def get_sentence_embedding_dimension(self) -> int:
        return 6

    def encode(self, texts: list[str], *, batch_size: int, prompt: str | None, **_: Any) -> Any:
        self.batches.append(texts)
        return np.array([vector((prompt or "") + text) for text in texts], np.float32)


@pytest.fixture
def sentence_transformers(monkeypatch: pytest.MonkeyPatch) -> type[FakeSentenceTransformer]:
    class Fake(FakeSentenceTransformer):
        made: list[dict[str, Any]] = []  # noqa: RUF012
        batches: list[list[str]] = []  # noqa: RUF012

    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    return Fake


def test_sentence_transformer(
    sentence_transformers: type[FakeSentenceTransformer], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    embedder = SentenceTransformerEmbedder("a/model", revision="main", batch_size=4)
    assert not sentence_transformers.made  # loaded when first needed
    assert isinstance(embedder, Embedder)
    found = embedder.encode(TEXTS)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, vectors(TEXTS), atol=1e-6)
    assert sentence_transformers.made == [
        {"name": "a/model", "revision": "main", "device": None, "trust_remote_code": False}
    ]
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert embedder.encode([]).shape == (0, 6)
    raw = SentenceTransformerEmbedder("a/model", normalize=False, prompt="query: ")
    np.testing.assert_allclose(raw.encode(["x"])[0], vector("query: x"), atol=1e-6)


def test_blank_texts_are_zeros_and_do_not_reach_the_model(
    sentence_transformers: type[FakeSentenceTransformer],
) -> None:
    embedder = SentenceTransformerEmbedder("a/model")
    found = embedder.encode(pl.Series(["a", None, "  ", "", "b"]))
    assert sentence_transformers.batches == [["a", "b"]]
    np.testing.assert_allclose(found[[0, 4]], vectors(["a", "b"]), atol=1e-6)
    assert not found[1:4].any()
    assert embedder.encode([None]).tolist() == [[0] * 6]


def test_sentence_transformer_fingerprint(
    sentence_transformers: type[FakeSentenceTransformer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(model: Any = "a/model", **options: Any) -> str:
        return SentenceTransformerEmbedder(model, **options).fingerprint

    (tmp_path / "one" / "0_Transformer").mkdir(parents=True)
    (tmp_path / "one" / "0_Transformer" / "weights").write_bytes(b"1234")
    (tmp_path / "one" / "modules.json").write_text("[]")
    local = made(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert made(tmp_path / "two") == local
    assert not sentence_transformers.made  # a folder is known by its files
    (tmp_path / "two" / "0_Transformer" / "weights").write_bytes(b"1235")
    hub = made()
    found = [local, made(tmp_path / "two"), hub, made("b/model"), made(normalize=False)]
    found.append(made(prompt="p"))
    monkeypatch.setattr(FakeSentenceTransformer, "commit", "decaf")
    found.append(made())
    assert len(set(found)) == len(found)
    assert made(batch_size=1) == found[-1]
    monkeypatch.setattr(FakeSentenceTransformer, "commit", None)
    with pytest.raises(ConfigError, match="revision="):
        made()
    assert made(revision="c0ffee") == hub
    loaded = len(sentence_transformers.made)
    assert made(revision="c0ffee" * 6 + "abcd") != hub
    assert len(sentence_transformers.made) == loaded  # a full commit says it all


def test_sentence_transformer_refuses(
    sentence_transformers: type[FakeSentenceTransformer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="not a local folder"):
        SentenceTransformerEmbedder("missing").encode(["a"])
    with pytest.raises(ConfigError, match="batch_size"):
        SentenceTransformerEmbedder("a/model", batch_size=0)
    with pytest.raises(ConfigError, match="model"):
        SentenceTransformerEmbedder(" ")
    with pytest.raises(InputError, match="strings"):
        SentenceTransformerEmbedder("a/model").encode([1, 2])
    monkeypatch.setattr(
        FakeSentenceTransformer, "encode", lambda self, texts, **_: np.full((len(texts), 6), np.nan)
    )
    with pytest.raises(InputError, match="NaN"):
        SentenceTransformerEmbedder("a/model").encode(["a"])
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(DependencyError, match=r"assay-curation\[sentence-transformers\]"):
        SentenceTransformerEmbedder("a/model").encode(["a"])


# ONNX: a word's vector is a row of TABLE

WORDS = {"[UNK]": 0, "a": 1, "b": 2, "c": 3}
TABLE = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]], np.float32)


def words(text: str, limit: int = 256) -> list[int]:
    return [WORDS.get(word, 0) for word in text.split()][:limit]


def pooled(texts: list[str], limit: int = 256) -> np.ndarray:
    means = np.array([TABLE[words(text, limit)].mean(axis=0) for text in texts])
    return means / np.linalg.norm(means, axis=1, keepdims=True)


class FakeTokenizer:
    limit = 0

    @classmethod
    def from_file(cls, path: str) -> FakeTokenizer:
        if Path(path).read_text() == "broken":
            raise Exception("no tokenizer")
        return cls()

    def no_padding(self) -> None:
        pass

    def enable_truncation(self, limit: int) -> None:
        self.limit = limit

    def encode_batch(self, texts: list[str]) -> list[Any]:
        ids = [words(text, self.limit) for text in texts]
        return [
            SimpleNamespace(ids=i, attention_mask=[1] * len(i), type_ids=[0] * len(i)) for i in ids
        ]


class FakeSession:
    inputs = ("input_ids", "attention_mask")
    ranks = 3
    shapes: list[tuple[int, ...]] = []  # noqa: RUF012

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        assert providers == ["CPUExecutionProvider"]
        if Path(path).read_bytes() == b"broken":
            raise RuntimeError("invalid protobuf")

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.inputs]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(shape=["n", "t", 3] if self.ranks == 3 else ["n", "d"])]

    def run(self, names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert set(given) == set(self.inputs)
        assert all(array.dtype == np.int64 for array in given.values())
        self.shapes.append(given["input_ids"].shape)
        tokens = TABLE[given["input_ids"]]
        return [tokens if self.ranks == 3 else tokens[:, -1] if self.ranks == 2 else tokens[0, 0]]


@pytest.fixture
def onnx_folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


@pytest.fixture
def onnx(monkeypatch: pytest.MonkeyPatch) -> type[FakeSession]:
    class Session(FakeSession):
        shapes: list[tuple[int, ...]] = []  # noqa: RUF012

    runtime = ModuleType("onnxruntime")
    runtime.SessionOptions = SimpleNamespace  # type: ignore[attr-defined]
    runtime.InferenceSession = Session  # type: ignore[attr-defined]
    runtime.disable_telemetry_events = lambda: None  # type: ignore[attr-defined]
    tokenizers = ModuleType("tokenizers")
    tokenizers.Tokenizer = FakeTokenizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setitem(sys.modules, "tokenizers", tokenizers)
    return Session


PHRASES = ["a", "a b c a b c", "b b", "c", "a a b", "zzz", "b c"]


def test_onnx(onnx: type[FakeSession], onnx_folder: Path) -> None:
    embedder = OnnxEmbedder(onnx_folder, batch_size=3)
    assert isinstance(embedder, Embedder)
    np.testing.assert_allclose(embedder.encode(PHRASES), pooled(PHRASES), atol=1e-6)
    assert onnx.shapes == [(3, 1), (3, 3), (1, 6)]  # texts of like length go together
    np.testing.assert_allclose(
        OnnxEmbedder(onnx_folder, max_tokens=2).encode(PHRASES), pooled(PHRASES, 2), atol=1e-6
    )
    first = OnnxEmbedder(onnx_folder, pooling="cls", normalize=False).encode(PHRASES)
    np.testing.assert_array_equal(first, TABLE[[words(text)[0] for text in PHRASES]])
    assert embedder.encode([" ", "a", None])[[0, 2]].tolist() == [[0, 0, 0]] * 2
    assert embedder.encode([]).shape == (0, 3)


def test_onnx_models_of_other_shapes(
    onnx: type[FakeSession], onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "ranks", 2)
    monkeypatch.setattr(onnx, "inputs", ("input_ids", "token_type_ids", "attention_mask"))
    found = OnnxEmbedder(onnx_folder, batch_size=1, normalize=False).encode(["a b", "c"])
    np.testing.assert_array_equal(found, TABLE[[2, 3]])
    monkeypatch.setattr(onnx, "ranks", 1)
    with pytest.raises(ConfigError, match="first output"):
        OnnxEmbedder(onnx_folder).encode(["a"])
    monkeypatch.setattr(onnx, "inputs", ("pixel_values",))
    with pytest.raises(ConfigError, match="pixel_values"):
        OnnxEmbedder(onnx_folder).encode(["a"])


def test_onnx_fingerprint(onnx: type[FakeSession], onnx_folder: Path) -> None:
    found = [OnnxEmbedder(onnx_folder).fingerprint]
    for options in ({"pooling": "cls"}, {"max_tokens": 9}, {"normalize": False}):
        found.append(OnnxEmbedder(onnx_folder, **options).fingerprint)
    for name in ("model.onnx", "tokenizer.json", "model.onnx_data"):
        (onnx_folder / name).write_text("other")
        found.append(OnnxEmbedder(onnx_folder).fingerprint)
    assert len(set(found)) == len(found)
    assert OnnxEmbedder(onnx_folder, batch_size=1, threads=2).fingerprint == found[-1]


def test_onnx_refuses(
    onnx: type[FakeSession], onnx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="pooling"):
        OnnxEmbedder(onnx_folder, pooling="max")
    (onnx_folder / "tokenizer.json").write_text("broken")
    with pytest.raises(ConfigError, match=r"tokenizer\.json can't be read"):
        OnnxEmbedder(onnx_folder).encode(["a"])
    (onnx_folder / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ConfigError, match="can't be loaded"):
        OnnxEmbedder(onnx_folder).encode(["a"])
    for name in ("onnxruntime", "tokenizers"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            (onnx_folder / "model.onnx").write_bytes(b"graph")
            with pytest.raises(DependencyError, match=r"assay-curation\[onnx\]"):
                OnnxEmbedder(onnx_folder).encode(["a"])
    (onnx_folder / "model.onnx").unlink()
    with pytest.raises(ConfigError, match=r"no model\.onnx"):
        OnnxEmbedder(onnx_folder)
    (onnx_folder / "onnx").mkdir()
    (onnx_folder / "onnx" / "model.onnx").write_bytes(b"graph")
    OnnxEmbedder(onnx_folder)


def test_onnx_with_the_real_packages(tmp_path: Path) -> None:
    helper = pytest.importorskip("onnx.helper")
    pytest.importorskip("onnxruntime")
    tokenizers = pytest.importorskip("tokenizers")
    import onnx
    from onnx import TensorProto, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "words",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", 3])],
        [numpy_helper.from_array(TABLE, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_padding()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    embedder = OnnxEmbedder(tmp_path, batch_size=3, threads=1)
    np.testing.assert_allclose(embedder.encode(PHRASES), pooled(PHRASES), atol=1e-6)
    (tmp_path / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ConfigError, match="can't be loaded"):
        OnnxEmbedder(tmp_path).encode(["a"])


# OpenAI's protocol


class Endpoint:
    """An endpoint on the loopback device that misbehaves as `script` says, then behaves."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.width = 6
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(body)
                endpoint.headers.append(dict(self.headers))
                endpoint.paths.append(self.path)
                step = endpoint.script.pop(0) if endpoint.script else None
                status, headers, answer = endpoint.answer(step, body["input"])
                if step == "drop":
                    self.connection.close()
                    return
                self.send_response(status)
                length = len(answer) + (9 if step == "short" else 0)
                for name, value in {"Content-Length": str(length), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def answer(self, step: Any, texts: list[str]) -> tuple[int, dict[str, str], bytes]:
        if isinstance(step, tuple):
            status, headers = step
            message = f"Incorrect API key provided: {KEY}" if status == 401 else "not now"
            return status, headers, json.dumps({"error": {"message": message}}).encode()
        rows = [
            {"index": i, "embedding": vector(text, self.width), "object": "embedding"}
            for i, text in enumerate(texts)
        ]
        if step == "fewer":
            rows = rows[:-1]
        elif step == "twice":
            rows[-1]["index"] = 0
        elif step == "words":
            rows[0]["embedding"] = ["a"] * self.width
        elif step == "ragged":
            rows[0]["embedding"] = [1.0]
        elif step == "nan":
            rows[0]["embedding"] = [float("nan")] * self.width
        body = json.dumps({"data": rows[::-1], "model": "m"}).encode()  # in another order
        if step == "malformed":
            body = body[: len(body) // 2]
        elif step == "list":
            body = b"[]"
        elif step == "other":
            body = b"{}"
        return 200, {}, body


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = Endpoint()
    yield started
    started.server.shutdown()
    started.server.server_close()
    started.thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr("assay.index.embedding.openai.time.sleep", found.append)
    return found


def test_openai(endpoint: Endpoint, waits: list[float]) -> None:
    embedder = OpenAIEmbedder("m", base_url=endpoint.url + "/", batch_size=10)
    assert isinstance(embedder, Embedder)
    found = embedder.encode(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, vectors(TEXTS), atol=1e-6)
    assert [request["input"] for request in endpoint.requests] == [
        TEXTS[:10],
        TEXTS[10:20],
        TEXTS[20:],
    ]
    assert set(endpoint.paths) == {"/v1/embeddings"}
    assert endpoint.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "dimensions" not in endpoint.requests[0]
    assert embedder.n_requests_ == 3
    assert waits == []
    assert embedder.encode([None, "  "]).tolist() == [[0] * 6] * 2
    assert embedder.n_requests_ == 3


def test_openai_requests_end_at_a_number_of_characters(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.index.embedding.openai._CHARACTERS", 10)
    texts = ["x" * 6, "y" * 4, "z", "w" * 50, "v"]
    found = OpenAIEmbedder("m", base_url=endpoint.url).encode(texts)
    assert [len(request["input"]) for request in endpoint.requests] == [2, 1, 1, 1]
    np.testing.assert_allclose(found, vectors(texts), atol=1e-6)


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ([(429, {}), (429, {})], [0.5, 1.0]),
        ([(503, {}), (500, {}), (502, {}), (408, {})], [0.5, 1.0, 2.0, 4.0]),
        ([(429, {"Retry-After": "7"}), (429, {"Retry-After": "900"})], [7.0, 60.0]),
        ([(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})], [0.0]),
        ([(429, {"Retry-After": "soon"})], [0.5]),
        (["drop", "malformed", "short", "list"], [0.5, 1.0, 2.0, 4.0]),
    ],
)
def test_openai_tries_again(
    endpoint: Endpoint, waits: list[float], script: list[Any], wanted: list[float]
) -> None:
    endpoint.script = script
    embedder = OpenAIEmbedder("m", base_url=endpoint.url)
    np.testing.assert_allclose(embedder.encode(TEXTS), vectors(TEXTS), atol=1e-6)
    assert waits == wanted
    assert embedder.n_requests_ == len(wanted) + 1


def test_openai_gives_up(endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.script = [(503, {})] * 9
    with pytest.raises(ServiceError, match=r"after 3 requests.*503: not now"):
        OpenAIEmbedder("m", base_url=endpoint.url, retries=2).encode(["a"])
    assert waits == [0.5, 1.0]
    endpoint.server.shutdown()
    endpoint.server.server_close()
    with pytest.raises(ServiceError, match="after 1 requests"):
        OpenAIEmbedder("m", base_url=endpoint.url, retries=0).encode(["a"])


def test_openai_waits_no_longer_than_the_timeout() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        embedder = OpenAIEmbedder("m", base_url=url, retries=0, timeout=0.2)
        with pytest.raises(ServiceError, match=r"(?i)timed out"):
            embedder.encode(["a"])


@pytest.mark.parametrize(
    ("step", "message"),
    [("fewer", "returned 2 vectors"), ("twice", "index for each"), ("other", "no vectors")],
)
def test_openai_wants_one_vector_per_text(
    endpoint: Endpoint, waits: list[float], step: str, message: str
) -> None:
    endpoint.script = [step]
    with pytest.raises(ServiceError, match=message):
        OpenAIEmbedder("m", base_url=endpoint.url).encode(["a", "b", "c"])
    assert waits == []


def test_openai_checks_the_vectors(endpoint: Endpoint) -> None:
    for step, message in (("words", "no array"), ("ragged", "no array"), ("nan", "NaN")):
        endpoint.script = [step]
        with pytest.raises(InputError, match=message):
            OpenAIEmbedder("m", base_url=endpoint.url).encode(["a", "b", "c"])
    embedder = OpenAIEmbedder("m", base_url=endpoint.url)
    embedder.encode(["a"])
    endpoint.width = 5
    with pytest.raises(InputError, match=r"\(1, 5\), not \(1, 6\)"):
        embedder.encode(["b"])
    shorter = OpenAIEmbedder("m", base_url=endpoint.url, dimensions=4)
    assert shorter.encode([]).shape == (0, 4)
    with pytest.raises(InputError, match=r"\(1, 5\), not \(1, 4\)"):
        shorter.encode(["b"])
    assert endpoint.requests[-1]["dimensions"] == 4
    endpoint.width = 4
    assert shorter.encode(["b"]).shape == (1, 4)


def test_openai_refusals_are_not_tried_again(endpoint: Endpoint, waits: list[float]) -> None:
    endpoint.script = [(400, {}), (401, {}), (302, {"Location": f"{endpoint.url}/elsewhere"})]
    embedder = OpenAIEmbedder("m", base_url=endpoint.url)
    with pytest.raises(ServiceError, match="400: not now"):
        embedder.encode(["a"])
    with pytest.raises(ServiceError, match="OPENAI_API_KEY") as caught:
        embedder.encode(["a"])
    assert KEY not in str(caught.value)
    with pytest.raises(ServiceError, match="302"):
        embedder.encode(["a"])
    assert len(endpoint.requests) == 3  # the redirection was not followed
    assert waits == []


def test_the_key_stays_in_the_environment(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = OpenAIEmbedder("m", base_url=endpoint.url)
    fingerprint = embedder.fingerprint
    embedder.encode(["a"])
    assert KEY not in repr(embedder) + repr(vars(embedder))
    assert KEY.encode() not in pickle.dumps(embedder)
    monkeypatch.setenv("OTHER_KEY", "another")
    assert OpenAIEmbedder("m", base_url=endpoint.url, key_variable="OTHER_KEY").fingerprint == (
        fingerprint
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    embedder.encode(["a"])
    assert "Authorization" not in endpoint.headers[-1]
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        embedder.encode(["a"])
    assert KEY not in str(caught.value)


def test_openai_fingerprint_and_refusals() -> None:
    def made(model: str = "m", **options: Any) -> str:
        return OpenAIEmbedder(model, **options).fingerprint

    found = [made(), made("n"), made(base_url="http://h/v1"), made(dimensions=3)]
    found.append(made(normalize=False))
    assert len(set(found)) == len(found)
    assert made(batch_size=3, retries=0, timeout=1.0) == made()
    assert made(base_url="http://h/v1/") == found[2]
    for wrong in ({"batch_size": 0}, {"dimensions": 0}, {"retries": -1}, {"timeout": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            OpenAIEmbedder("m", **wrong)
    for url in (f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", "host/v1", "ftp://h"):
        with pytest.raises(ConfigError, match="base_url") as caught:
            OpenAIEmbedder("m", base_url=url)
        assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="name of an environment variable") as caught:
        OpenAIEmbedder("m", key_variable=KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(ConfigError, match="model"):
        OpenAIEmbedder("")
