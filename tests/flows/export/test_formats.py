"""Every format of an export: opened by the library that it is for, the same bytes for the same run."""

from __future__ import annotations

import csv
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from assay.flows import curate, torch_indices, torch_weights
from assay.flows.export.samples import image_extension, safe_name
from assay.flows.export.write import FORMATS, push_to_hub
from assay.flows.result import Result
from assay.storage import read_pool
from assay.storage.errors import ConfigError
from tests.flows.export.conftest import CLASSES, ROWS, files_of, picture, text_frame

ONE_FILE = ("f.parquet", "f.jsonl", "f.jsonl.gz", "f.jsonl.zst", "f.csv", "f.csv.gz", "f.arrow")


def chosen(result: Result) -> list[str]:
    return result.sql("SELECT sample_id FROM latest_selection ORDER BY position")[
        "sample_id"
    ].to_list()


def expected(result: Result) -> pl.DataFrame:
    ids = pl.DataFrame({"id": chosen(result)})
    return ids.join(text_frame(), on="id", how="left", maintain_order="left")


@pytest.mark.parametrize("name", ONE_FILE)
def test_a_file_holds_the_chosen_rows_in_order(texts: Result, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    assert texts.export(out) == 9
    pool = read_pool(out, id="id", text="text")
    frame = pool.take(range(9))
    assert frame.columns[:6] == text_frame().columns
    assert {"position", "weight", "pagerank"} <= set(frame.columns)
    wanted = expected(texts)
    assert frame["id"].to_list() == wanted["id"].to_list()
    assert frame["text"].to_list() == wanted["text"].to_list()
    assert frame["n"].cast(pl.Int64).to_list() == wanted["n"].to_list()
    assert frame["position"].cast(pl.Int64).to_list() == list(range(1, 10))
    if ".csv" not in name:
        assert frame["parts"].to_list() == wanted["parts"].to_list()


def computed_anew(result: Result, store: Path) -> Result:
    """Return the same run, made in another store."""
    config = json.loads(result.sql("SELECT config FROM runs")["config"].item())
    again = curate(**config | {"store": str(store)})
    assert (again.run_id, again.computed) == (result.run_id, True)
    return again


@pytest.fixture(scope="module")
def texts_again(texts: Result, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return computed_anew(texts, tmp_path_factory.mktemp("texts") / "store")


@pytest.fixture(scope="module")
def pictures_again(pictures: Result, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return computed_anew(pictures, tmp_path_factory.mktemp("pictures") / "store")


@pytest.mark.parametrize("format", [*FORMATS, *ONE_FILE])
def test_the_same_run_gives_the_same_bytes(
    texts: Result,
    texts_again: Result,
    pictures: Result,
    pictures_again: Result,
    tmp_path: Path,
    format: str,
) -> None:
    result, again = (pictures, pictures_again) if format == "images" else (texts, texts_again)
    more: dict[str, Any] = {"rows": "all", "with_": "decisions,neighbors,vectors"}
    if format in ONE_FILE:
        name = format
    else:
        name, more["format"] = "out", format
    for each, folder in ((result, tmp_path / "one"), (again, tmp_path / "two")):
        folder.mkdir()
        each.export(folder / name, card=format in ("parquet", "images"), **more)
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    assert one
    assert one == two


@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv", "arrow"])
def test_shards_together_are_the_file(texts: Result, tmp_path: Path, format: str) -> None:
    out = tmp_path / "shards"
    assert texts.export(out, format=format, rows="all", shard_size=25) == ROWS
    names = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    assert names == [f"part-0000{i}-of-00003.{format}" for i in range(3)]
    texts.export(tmp_path / f"f.{format}", rows="all")
    whole = read_pool(tmp_path / f"f.{format}", id="id", text="text").take(range(ROWS))
    assert read_pool(out, id="id", text="text").take(range(ROWS)).equals(whole)
    assert whole["id"].to_list()[:9] == chosen(texts)
    left = [i for i in text_frame()["id"] if i not in chosen(texts)]
    assert whole["id"].to_list()[9:] == left


def test_ids_stand_one_a_line(texts: Result, tmp_path: Path) -> None:
    texts.export(tmp_path / "ids.txt")
    assert (tmp_path / "ids.txt").read_text().splitlines() == chosen(texts)
    texts.export(tmp_path / "plain", format="ids", rows="left")
    assert len((tmp_path / "plain").read_text().splitlines()) == ROWS - 9


def test_gzip_says_nothing_of_the_time(texts: Result, tmp_path: Path) -> None:
    texts.export(tmp_path / "f.csv.gz")
    packed = (tmp_path / "f.csv.gz").read_bytes()
    assert packed[4:8] == bytes(4)
    rows = list(csv.DictReader(gzip.decompress(packed).decode().splitlines()))
    assert [row["id"] for row in rows] == chosen(texts)


def test_what_is_added(texts: Result, tmp_path: Path) -> None:
    texts.export(tmp_path / "f.parquet", rows="all", with_="decisions,vectors,neighbors")
    frame = pl.read_parquet(tmp_path / "f.parquet")
    assert frame["selected"].to_list() == [True] * 9 + [False] * (ROWS - 9)
    assert frame.filter(id="r7").select("reason", "vector", "neighbors").row(0)[0] == "empty"
    row = {name: i for i, name in enumerate(frame["id"])}
    usable = frame.filter(pl.col("id") != "r7")
    vectors = usable["vector"].to_numpy()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # every neighbor by its row number and by its id, with its distance
    all_vectors = np.zeros((ROWS, vectors.shape[1]), np.float32)
    all_vectors[[row[i] for i in usable["id"]]] = vectors
    for name, near, ids in usable.select("id", "neighbors", "neighbor_ids").rows():
        assert near["ids"] == [row[each] for each in ids]
        cosines = all_vectors[near["ids"]] @ all_vectors[row[name]]
        assert np.allclose(near["distances"], 1 - cosines, atol=1e-5)
    assert frame.filter(id="r7")["neighbors"].null_count() == 1
    texts.export(tmp_path / "g.parquet", with_="neighbors,none")
    few = pl.read_parquet(tmp_path / "g.parquet")
    assert "pagerank" not in few.columns
    flat = few.select(pl.col("neighbors").struct.field("ids").explode().drop_nulls())
    assert flat.to_series().is_between(0, 8).all()


def test_the_map_is_made_where_there_is_none(texts: Result, tmp_path: Path) -> None:
    texts.export(tmp_path / "f.parquet", rows="all", with_="map")
    frame = pl.read_parquet(tmp_path / "f.parquet")
    places = texts.store.sql("SELECT sample_id, x, y FROM latest_map")
    joined = frame.join(places, left_on="id", right_on="sample_id")
    assert joined.height == ROWS - 1
    assert joined["x"].to_list() == joined["x_right"].to_list()


def test_hugging_face_opens_the_folder_both_ways(
    texts: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    out = tmp_path / "hf"
    texts.export(out, format="hf", with_="vectors,neighbors,decisions", shard_size=4, card=True)
    disk = datasets.load_from_disk(str(out))["train"]
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert disk["id"][:] == loaded["id"][:] == chosen(texts)
    assert disk.features == loaded.features
    assert disk[3] == loaded[3]
    assert disk["parts"][:] == expected(texts)["parts"].to_list()
    assert disk.features["vector"].length == len(disk[0]["vector"])
    assert disk.features["n"].dtype == "int64"
    assert read_pool(out, id="id", text="text").n_rows is None  # Arrow files are read for it
    assert read_pool(out, id="id", text="text").samples()["sample_id"].to_list() == chosen(texts)


def hugging_face_dataset() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "label": datasets.ClassLabel(names=["zebra", "ant", "never"]),
            "boxes": datasets.Sequence(
                {"x": datasets.Value("int32"), "s": datasets.Value("string")}
            ),
            "fixed": datasets.Sequence(datasets.Value("float32"), length=2),
            "deep": {"a": datasets.Sequence(datasets.ClassLabel(names=["no", "yes"]))},
            "when": datasets.Value("timestamp[ms, tz=UTC]"),
            "small": datasets.Value("uint8"),
        }
    )
    rows = [
        {
            "picture": {"bytes": picture(i), "path": f"p{i}.png"},
            "label": None if i == 5 else i % 2,
            "boxes": {"x": [i, i + 1], "s": ["u", None]},
            "fixed": [i, 0.5],
            "deep": {"a": [i % 2, 1]},
            "when": 1_000_000 * i,
            "small": i,
        }
        for i in range(20)
    ]
    return datasets.Dataset.from_list(rows, features=features)


@pytest.mark.parametrize("way", ["disk", "parquet", "frame"])
def test_features_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    data = hugging_face_dataset()
    pool: Any = data
    if way == "disk":
        data.save_to_disk(tmp_path / "pool")
        pool = str(tmp_path / "pool")
    elif way == "parquet":
        data.to_parquet(tmp_path / "pool.parquet")
        pool = str(tmp_path / "pool.parquet")
    result = curate(
        pool=pool,
        image="picture",
        label="label",
        budget=6,
        select="random",
        store=str(tmp_path / "s"),
    )
    result.export(tmp_path / "out", format="hf", rows="all", with_="none")
    disk = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "c"))["train"]
    for name, feature in data.features.items():
        assert disk.features[name] == loaded.features[name] == feature, name
    rows = torch_indices(result).tolist()
    rows += [i for i in range(20) if i not in rows]
    for place, row in enumerate(rows):
        for name in ("label", "boxes", "fixed", "deep", "when", "small"):
            assert disk[place][name] == loaded[place][name] == data[row][name], name
        assert disk[place]["picture"].tobytes() == data[row]["picture"].tobytes()


def test_images_in_folders_become_images_and_classes(pictures: Result, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pictures.export(tmp_path / "hf", format="hf")
    disk = datasets.load_from_disk(str(tmp_path / "hf"))["train"]
    assert disk.features["folder"].names == sorted(CLASSES)
    assert isinstance(disk.features["image"], datasets.Image)
    assert disk[0]["image"].size == (10, 12)
    path = disk.cast_column("image", datasets.Image(decode=False))[0]["image"]["path"]
    assert path == disk[0]["file"].split("/")[-1]


def test_web_dataset_gives_samples_in_order(
    texts: Result, pictures: Result, tmp_path: Path
) -> None:
    wds = pytest.importorskip("webdataset")
    texts.export(tmp_path / "t", format="webdataset", shard_size=4, with_="vectors")
    tars = sorted(str(p) for p in (tmp_path / "t").glob("*.tar"))
    assert len(tars) == 3
    samples = list(wds.WebDataset(tars, shardshuffle=False, empty_check=False).decode())
    assert [s["json"]["sample_id"] for s in samples] == chosen(texts)
    assert [s["txt"] for s in samples] == expected(texts)["text"].to_list()
    assert all(np.isclose(np.linalg.norm(s["vector.npy"]), 1, atol=1e-5) for s in samples)
    with tarfile.open(tars[0]) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar.getmembers()} == {(0, 0, 0, "")}
    pictures.export(tmp_path / "p", format="webdataset")
    tars = [str(p) for p in (tmp_path / "p").glob("*.tar")]
    samples = list(wds.WebDataset(tars, shardshuffle=False, empty_check=False).decode("pil"))
    assert [s["json"]["sample_id"] for s in samples] == chosen(pictures)
    assert all((s.get("png") or s["jpg"]).size == (10, 12) for s in samples)


@pytest.mark.parametrize("link", [False, True])
def test_images_go_into_folders_of_classes(pictures: Result, tmp_path: Path, link: bool) -> None:
    out = tmp_path / "out"
    assert pictures.export(out, format="images", rows="all", link=link) == 24
    pool = Path(json.loads(pictures.sql("SELECT config FROM runs")["config"].item())["pool"])
    contents = {name: sorted(p.read_bytes() for p in out.glob(f"{name}/*")) for name in CLASSES}
    for name in CLASSES:
        assert contents[name] == sorted(p.read_bytes() for p in pool.glob(f"*/{name}/*"))
    assert all(p.is_symlink() == link for p in out.glob("*/*"))
    assert read_pool(out, label="folder").n_rows == 24
    # the same name stands in train and test
    assert len({p.name.split("-")[-1] for p in out.glob("cat/*")}) < len(list(out.glob("cat/*")))


def test_hostile_labels_stay_in_the_folder(tmp_path: Path) -> None:
    labels = ["../../up", "/etc", "..", "a/b", "", None, "nul\0", "x" * 400, "e\u0301t\u00e9"]
    frame = pl.DataFrame({"image": [picture(i) for i in range(9)], "y": labels})
    result = curate(
        pool=frame, image="image", label="y", budget=9, select="random", store=str(tmp_path / "s")
    )
    before = files_of(tmp_path)
    result.export(tmp_path / "out", format="images")
    after = set(files_of(tmp_path)) - set(before)
    assert len(after) == 10
    assert all(name.startswith("out/") and name.count("/") <= 2 for name in after)
    assert (tmp_path / "out" / "unlabeled").is_dir()


def test_names_and_extensions() -> None:
    assert safe_name("a b-c_d.e") == "a b-c_d.e"
    assert len(safe_name("\u00e9" * 300).encode()) <= 180
    for format, name in {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp"}.items():
        assert image_extension(picture(0, format)) == name


def test_training_loops_get_rows_and_weights(texts: Result) -> None:
    indices = torch_indices(texts)
    assert text_frame()["id"].gather(indices).to_list() == chosen(texts)
    assert (torch_indices(texts.store.path) == indices).all()
    assert (torch_indices(str(texts.store.path), texts.run_id[:8]) == indices).all()
    weights = torch_weights(texts)
    assert weights.shape == (ROWS,)
    stored = texts.sql("SELECT weight FROM latest_selection ORDER BY position")["weight"]
    assert weights[indices].tolist() == stored.to_list()
    assert (np.delete(weights, indices) == 0).all()


def test_the_hub_gets_the_folder(
    texts: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    calls: list[tuple[str, Any]] = []

    class Api:
        def __init__(self, token: str | None = None) -> None:
            calls.append(("token", token))

        def create_repo(self, repo: str, **how: Any) -> None:
            calls.append((repo, how))

        def upload_folder(self, **how: Any) -> str:
            calls.append(("upload", how))
            return "https://hub/datasets/me/rows/commit/1"

    monkeypatch.setattr(hub, "HfApi", Api)
    with pytest.raises(ConfigError, match="not a folder that"):
        push_to_hub(tmp_path, "me/rows")
    url = texts.push_to_hub("me/rows", tmp_path / "hub", private=True)
    assert url.startswith("https://hub/")
    assert calls[1] == ("me/rows", {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert calls[2][1]["folder_path"] == str(tmp_path / "hub")
    assert (tmp_path / "hub" / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("f.xlsx", {}, "must end in"),
        ("f.parquet", {"format": "csv"}, "ends as parquet"),
        ("f.parquet.gz", {}, "not packed"),
        ("f.parquet", {"shard_size": 3}, "shards need a folder"),
        ("out", {"shard_size": 0}, "at least 1"),
        ("out", {"format": "xml"}, "no format 'xml'"),
        ("out", {"format": "images"}, "only images"),
        ("out", {"link": True}, "Only the format images"),
        ("f.csv", {"with_": "scores,colour"}, "nothing named 'colour'"),
        ("f.csv", {"rows": " "}, "is empty"),
    ],
)
def test_what_can_not_be_is_refused(
    texts: Result, tmp_path: Path, name: str, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        texts.export(tmp_path / name, **how)
    assert list(tmp_path.iterdir()) == []


def test_arrow_files_are_ipc_files(texts: Result, tmp_path: Path) -> None:
    texts.export(tmp_path / "f.arrow")
    with pa.OSFile(str(tmp_path / "f.arrow")) as file:
        assert pa.ipc.open_file(file).read_all().num_rows == 9
