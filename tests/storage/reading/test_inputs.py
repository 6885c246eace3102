"""Inputs that most people start with: images in folders, chats, NumPy files, other delimiters."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assay.storage import read_pool
from assay.storage.errors import ConfigError, InputError, SourceChangedError, SourceError
from assay.storage.reading.chat import conversation_texts
from assay.storage.reading.tables import Table, read_table


def png(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def image_folder(folder: Path, names: list[str]) -> dict[str, bytes]:
    images = {name: png(i) for i, name in enumerate(names)}
    for name, content in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return images


# --- images ------------------------------------------------------------------------------------


def test_a_folder_of_images_has_its_classes_and_parts(tmp_path: Path) -> None:
    names = ["test/cat/1.png", "train/cat/2.PNG", "train/dog/3.png", "train/dog/.hidden.png"]
    images = image_folder(tmp_path / "pets", names)
    (tmp_path / "pets/README.md").write_text("no data")
    pool = read_pool(tmp_path / "pets", label="folder", keep=["split", "file"])
    assert (pool.name, pool.kind, pool.n_rows) == ("pets", "image", 3)
    assert pool.columns == ["image", "file", "folder", "split"]
    frame = pool.samples()
    assert frame["source"].to_list() == names[:3]
    assert frame["row"].to_list() == [0, 0, 0]
    assert frame["label"].to_list() == ["cat", "cat", "dog"]
    assert frame["split"].to_list() == ["test", "train", "train"]
    assert pool.contents().to_pylist() == [images[name] for name in names[:3]]
    assert pool.take([2, 0], ["file", "image"]).rows() == [
        (names[2], images[names[2]]),
        (names[0], images[names[0]]),
    ]
    # known by the same content as in a table
    table = read_pool({"image": [images[name] for name in names[:3]]}, image="image").samples()
    assert frame["content_hash"].equals(table["content_hash"])


def test_an_image_that_changes_is_noticed(tmp_path: Path) -> None:
    image_folder(tmp_path, ["a.png", "b/c.png"])
    pool = read_pool(tmp_path)
    before = pool.fingerprint
    assert read_pool(tmp_path).fingerprint == before
    (tmp_path / "b/c.png").write_bytes(png(7))
    assert read_pool(tmp_path).fingerprint != before
    with pytest.raises(SourceChangedError, match=r"c\.png changed"):
        pool.samples()


def test_data_beside_images_comes_first(tmp_path: Path) -> None:
    images = image_folder(tmp_path, ["a.png", "sub/b.png"])
    (tmp_path / "metadata.csv").write_text("file_name,text\na.png,x\nsub/b.png,y\n")
    pool = read_pool(tmp_path, image="file_name")
    assert pool.contents().to_pylist() == list(images.values())
    assert pool.contents_at(np.array([1])).to_pylist() == [images["sub/b.png"]]


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("form", ["text", "struct", "path"])
def test_images_by_their_paths(tmp_path: Path, form: str, absolute: bool) -> None:
    images = image_folder(tmp_path / "data", ["i/0.png", "i/1.png"])
    paths = [str(tmp_path / "data" / name) if absolute else name for name in images]
    column: Any = paths
    if form != "text":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows = [{"bytes": None, "path": p} for p in paths]
        rows.append({"bytes": b"own", "path": "elsewhere.png"})
        rows += [{"bytes": None, "path": None}, None]
        column = pa.array(rows, kind)
        if form == "path":
            column = pa.StructArray.from_arrays([pa.array(paths)], names=["path"])
    pq.write_table(pa.table({"image": column}), tmp_path / "data/p.parquet")
    pool = read_pool(tmp_path / "data/p.parquet", image="image")
    found = pool.contents().to_pylist()
    assert found[:2] == list(images.values())
    assert found[2:] == ([b"own", None, None] if form == "struct" else [])
    assert pool.samples()["problem"].to_list()[:2] == [None, None]
    before = pool.fingerprint
    (tmp_path / "data/i/0.png").write_bytes(png(9))
    assert read_pool(tmp_path / "data/p.parquet", image="image").fingerprint != before


def test_images_that_are_not_there_are_named() -> None:
    for path, reason in (("no/such.png", r"no/such\.png can't be read"), ("http://x/y.png", "URL")):
        with pytest.raises(InputError, match=reason):
            read_pool({"image": [path]}, image="image").samples()


def test_bytes_of_images_are_content_before_the_only_text(tmp_path: Path) -> None:
    assert read_pool({"image": [png(0)], "caption": ["a"]}).roles.content == "image"
    assert read_pool({"image": [png(0)], "text": ["a"]}).roles.content == "text"


# --- chats -------------------------------------------------------------------------------------

MESSAGE = st.fixed_dictionaries({"role": st.text(max_size=3), "content": st.none() | st.text()})
CHATS = st.lists(st.none() | st.lists(MESSAGE, max_size=3), min_size=1)


@settings(max_examples=100, deadline=None)
@given(
    chats=CHATS,
    template=st.sampled_from(["{role}: {content}", "<{role}>{content}</>", "{content}"]),
)
def test_conversations_are_written_by_the_template(chats: list[Any], template: str) -> None:
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    found = conversation_texts(pa.array(chats, kind), template).to_pylist()
    for chat, text in zip(chats, found, strict=True):
        if chat is None:
            assert text is None
        else:
            lines = [template.format(**{**m, "content": m["content"] or ""}) for m in chat]
            assert text == "\n".join(lines)


SPEAKERS = st.sampled_from(
    ["user", "User ", "human", "assistant", "gpt", "system", "developer", ""]
)
PART = st.fixed_dictionaries({"type": st.just("text"), "text": st.text()})


@given(parts=st.lists(PART, min_size=1, max_size=4), other=st.text())
def test_contents_are_texts_or_lists_of_parts_or_both(parts: list[Any], other: str) -> None:
    """A reader gives a list as JSON where another message's content is text."""
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    said = [{"role": "u", "content": json.dumps(parts)}, {"role": "a", "content": f"[{{ {other}"}]
    joined = "\n".join(part["text"] for part in parts)
    found = conversation_texts(pa.array([said], kind), "{content}").to_pylist()
    assert found == [f"{joined}\n[{{ {other}"]


def test_a_file_of_both_kinds_of_content(tmp_path: Path) -> None:
    """Parts without a text (pictures) add none; lists that are no parts stay as they are."""
    picture = {"type": "image_url", "image_url": {"url": "http://pictures/1"}}
    contents = [
        [{"type": "text", "text": "Two"}, picture, {"text": "lines", "type": "text"}],
        "one",
    ]
    contents.append(json.dumps([{"answer": 42}]))
    path = tmp_path / "chats.jsonl"
    path.write_text(
        "\n".join(json.dumps({"messages": [{"role": "user", "content": c}]}) for c in contents)
    )
    pool = read_pool(path, text="messages", template="{content}")
    assert pool.contents().to_pylist() == ["Two\nlines", "one", '[{"answer": 42}]']


SPOKEN = st.fixed_dictionaries({"role": SPEAKERS, "content": st.none() | st.text(max_size=4)})


@settings(max_examples=150, deadline=None)
@given(
    chats=st.lists(st.none() | st.lists(SPOKEN, max_size=6), min_size=1, max_size=6),
    turns=st.sampled_from([None, "all", "last"]),
    system=st.sampled_from([None, True, False]),
)
def test_the_last_turn_and_the_system_prompt(
    chats: list[Any], turns: str | None, system: bool | None
) -> None:
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    for array in (pa.array(chats, kind), pa.array([None, *chats, None], kind)[1:-1]):
        found = conversation_texts(array, "<{role}>{content}", turns=turns, system=system)
        for chat, text in zip(chats, found.to_pylist(), strict=True):
            if chat is None:
                assert text is None
                continue
            left = [
                m for m in chat if system is not False or m["role"] not in ("system", "developer")
            ]
            if turns == "last":
                asked = [
                    i for i, m in enumerate(left) if m["role"].strip().lower() in ("user", "human")
                ]
                left = left[asked[-1] if asked else len(left) - 1 :] if left else []
            assert text == "\n".join(f"<{m['role']}>{m['content'] or ''}" for m in left)


def test_chats_are_read_without_their_system_prompt(tmp_path: Path) -> None:
    said = [
        ("system", "Be brief"),
        ("user", "Hi"),
        ("assistant", "Yes?"),
        ("user", "Why"),
        ("assistant", "So"),
    ]
    lines = [{"messages": [{"role": role, "content": text} for role, text in said]}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = {
        (turns, system): read_pool(tmp_path / "c.jsonl", turns=turns, system=system)
        for turns in (None, "last")
        for system in (None, False)
    }
    texts = {key: pool.contents()[0].as_py() for key, pool in made.items()}
    assert texts[None, False] == texts[None, None].partition("\n")[2]
    assert texts["last", None] == texts["last", False] == "user: Why\nassistant: So"
    assert made[None, None].samples()["sample_id"][0] != made[None, False].samples()["sample_id"][0]
    with pytest.raises(ConfigError, match="turns is 'first'"):
        read_pool(tmp_path / "c.jsonl", turns="first")


@pytest.mark.parametrize("names", [("role", "content"), ("from", "value")])
def test_chats_of_files_are_texts(tmp_path: Path, names: tuple[str, str]) -> None:
    column = "messages" if names[0] == "role" else "conversations"
    chats = [[("user", "Hi"), ("model", "Yes?")], [("user", "")], []]
    lines = [{column: [dict(zip(names, pair, strict=True)) for pair in chat]} for chat in chats]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pool = read_pool(tmp_path / "c.jsonl", template="[{role}] {content}")
    assert pool.roles.text == column
    assert pool.contents().to_pylist() == ["[user] Hi\n[model] Yes?", "[user] ", ""]
    assert pool.samples()["problem"].to_list() == [None, None, "empty"]
    assert read_pool(tmp_path / "c.jsonl").contents()[0].as_py() == "user: Hi\nmodel: Yes?"


def test_contents_of_several_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image", "text": None}]
    pool = read_pool([{"messages": [{"role": "u", "content": parts}]}])
    assert pool.contents().to_pylist() == ["u: a\n"]


def test_templates_are_checked() -> None:
    for template in ("{role}", "{content} {name}", "content"):
        with pytest.raises(ConfigError, match="must hold"):
            read_pool({"text": ["a"]}, template=template)


# --- folders that are columns ------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_folders_named_as_columns_are_columns(tmp_path: Path, suffix: str) -> None:
    for label, year in (("pos", "2024"), ("a%20b", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"label={label}" / f"year={year}"
        folder.mkdir(parents=True)
        frame = pl.DataFrame({"body": [f"{label} {i}" for i in range(3)]})
        writers = {"parquet": frame.write_parquet, "csv": frame.write_csv}
        writers.get(suffix, frame.write_ndjson)(folder / f"p.{suffix}")
    pool = read_pool(tmp_path, label="label", keep=["year"])
    assert pool.roles.text == "body"
    assert pool.columns == ["body", "label", "year"]
    frame = pool.samples()
    assert frame["label"].to_list() == ["a b"] * 3 + ["pos"] * 3
    assert frame["year"].cast(pl.String).to_list() == [None] * 3 + ["2024"] * 3
    assert pool.take([4, 0], ["label", "body"]).rows() == [("pos", "pos 1"), ("a b", "a%20b 0")]
    assert Table(tmp_path).read(["label"])["label"].to_list() == frame["label"].to_list()


def test_a_column_of_the_file_comes_before_its_folder(tmp_path: Path) -> None:
    (tmp_path / "label=x").mkdir()
    pl.DataFrame({"text": ["a"], "label": ["own"]}).write_parquet(tmp_path / "label=x/p.parquet")
    assert read_pool(tmp_path, label="label").samples()["label"].to_list() == ["own"]


# --- delimiters and encodings ------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_plain_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "text"], ["1", "a, b"], ["2", f'"x{delimiter}y"'], ["3", ""]]
    text = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "p.csv").write_text(text)
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("p.csv", "p.csv.gz"):
        pool = read_pool(tmp_path / name, id="id", text="text")
        assert pool.contents().to_pylist() == ["a, b", f"x{delimiter}y", None]


def test_a_comma_stays_the_delimiter_where_another_would_not_fit(tmp_path: Path) -> None:
    for text, columns in (
        ("a,b;c\n1,2;3\n", ["a", "b;c"]),
        ("a;b\n1\n2;3;4\n", ["a;b"]),
        ("a\n1;2\n", ["a"]),
    ):
        (tmp_path / "p.csv").write_text(text)
        assert read_table(tmp_path / "p.csv").columns == columns


@pytest.mark.parametrize("given", ["^", "tab", "\\t", "semicolon"])
def test_a_delimiter_may_be_given(tmp_path: Path, given: str) -> None:
    real = {"tab": "\t", "\\t": "\t", "semicolon": ";"}.get(given, given)
    (tmp_path / "p.csv").write_text(f"id{real}text,more\n1{real}a,b\n")
    pool = read_pool(tmp_path / "p.csv", text="text,more", delimiter=given)
    assert pool.take([0]).rows() == [("1", "a,b")]


def test_delimiters_and_encodings_are_checked(tmp_path: Path) -> None:
    for delimiter in ("", ";;", "\n", '"', "é", "a"):
        with pytest.raises(ConfigError, match="delimiter"):
            read_pool({"text": ["a"]}, delimiter=delimiter)
    with pytest.raises(ConfigError, match="encoding"):
        read_pool({"text": ["a"]}, encoding="utf-99")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1", "cp1252", "shift_jis"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz"])
def test_text_of_other_encodings(tmp_path: Path, encoding: str, suffix: str) -> None:
    words = "日本語" if encoding == "shift_jis" else "Grüße, öfter"
    rows = [words] * 3_000
    if suffix == "jsonl":
        text = "".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in rows)
    else:
        text = "\n".join(["text", *(f'"{row}"' for row in rows)])
    content = text.encode(encoding)
    path = tmp_path / f"p.{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    pool = read_pool(path, text="text", encoding=encoding)
    assert pool.contents().to_pylist() == rows


def test_a_wrong_encoding_is_one_error_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes("text\nGrüße\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"line 2: .*--encoding, such as latin-1"):
        read_pool(tmp_path / "p.csv", text="text").samples()
    with pytest.raises(SourceError, match="can't be read"):
        read_pool(tmp_path / "p.csv", text="text", encoding="ascii").samples()


# --- NumPy's files -----------------------------------------------------------------------------


def test_numpy_files_are_pools(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 3))
    np.save(tmp_path / "v.npy", vectors)
    pool = read_pool(tmp_path / "v.npy")
    np.testing.assert_array_equal(pool.vectors(), vectors.astype(np.float32))
    np.savez(tmp_path / "v.npz", emb=vectors.astype(">f4"), ids=np.array(list("abcde")), y=range(5))
    pool = read_pool(tmp_path / "v.npz", vector="emb", id="ids", label="y")
    np.testing.assert_array_equal(pool.vectors(), vectors.astype(np.float32))
    assert pool.samples()["sample_id"].to_list() == list("abcde")
    assert pool.samples()["label"].to_list() == list("01234")
    np.savez(tmp_path / "w.npz", a=np.zeros(2), b=np.zeros(3))
    with pytest.raises(SourceError, match=r"a 2, b 3"):
        read_pool(tmp_path / "w.npz")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SourceError, match="not Python objects"):
        read_pool(tmp_path / "o.npy")


def test_vectors_beside_the_rows(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    (folder / "a.csv").write_text("id,kind\n1,x\n2,y\n")
    pl.DataFrame({"id": [3], "kind": ["z"]}).write_parquet(folder / "b.parquet")
    vectors = np.arange(6, dtype=np.float16).reshape(3, 2)
    np.save(tmp_path / "v.npy", vectors)
    pool = read_pool(folder, vector=str(tmp_path / "v.npy"), id="id", keep=["kind"])
    np.testing.assert_array_equal(pool.vectors(), vectors.astype(np.float32))
    assert pool.samples()["kind"].to_list() == ["x", "y", "z"]
    assert pool.take([2, 0])["id"].to_list() == ["3", "1"]
    before = pool.fingerprint
    np.save(tmp_path / "v.npy", vectors + 1)
    again = read_pool(folder, vector=str(tmp_path / "v.npy"), id="id", keep=["kind"])
    assert again.fingerprint != before
    np.save(tmp_path / "v.npy", vectors[:2])
    with pytest.raises(InputError, match="2 vectors, but the pool has 3 rows"):
        read_pool(folder, vector=str(tmp_path / "v.npy"))
    with pytest.raises(SourceError, match=r"no file w\.npy"):
        read_pool(folder, vector="w.npy")
