"""`--out` replaces nothing unless asked, and never what a run was made from or a store."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows import cli, curate, rank_features
from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.fields import location_keys
from assay.flows.export.destination import check_destination
from assay.flows.export.frames import write_frame
from assay.flows.export.write import export
from assay.storage import ScoreStore
from assay.storage.disk.atomic import atomic_path, output_path, remove
from assay.storage.errors import ConfigError
from assay.storage.runs.run_file import RunInfo

ROWS = 24
FRAME = pl.DataFrame({"id": range(ROWS), "text": [f"words {i} of {i % 5}" for i in range(ROWS)]})
KEYS: dict[str, Any] = {"id": "id", "text": "text", "budget": 4, "select": "random", "scores": ()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with files of every role, all of them CSV, and a store with runs over them."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("rows", "wanted"):
        FRAME.write_csv(folder / f"{name}.csv")
    quiz = [f"nothing at all like number {i} the pool holds anywhere in it" for i in range(9)]
    pl.DataFrame({"id": range(9), "text": quiz}).write_csv(folder / "quiz.csv")
    FRAME.with_columns(y=pl.col("id") % 2).write_csv(folder / "table.csv")
    log = pl.DataFrame({"sample_id": list(range(ROWS)) * 2, "epoch": [0] * ROWS + [1] * ROWS})
    log.with_columns(margin=pl.lit(0.5)).write_csv(folder / "log.csv")
    plan = {"leakage": {"quiz": str(folder / "quiz.csv")}, "leakage_neighbors": None}
    paths = {"target": str(folder / "wanted.csv"), "training_log": str(folder / "log.csv")}
    pool, store = str(folder / "rows.csv"), str(folder / "store")
    curate(pool=pool, store=store, **KEYS | {"budget": 6})
    rank_features(table=str(folder / "table.csv"), label="y", k=1, store=store)
    curate(pool=pool, plan=plan, store=store, **paths, **KEYS)
    return folder


@pytest.fixture
def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScoreStore]:
    """Return the store, with its folder as the working folder; what a test puts there is removed."""
    monkeypatch.chdir(folder)
    before = set(folder.iterdir())
    yield ScoreStore(folder / "store")
    for path in set(folder.iterdir()) - before:
        remove(path)


def assay(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> int:
    monkeypatch.setattr("sys.argv", ["assay", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def commands(out: Path | str) -> list[list[str]]:
    return [
        ["export", "--store", "store", "--out", str(out)],
        ["sql", "SELECT 1 AS one", "--store", "store", "--format", "csv", "--out", str(out)],
    ]


INPUTS = ("rows.csv", "wanted.csv", "quiz.csv", "log.csv", "table.csv")


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("way", ["itself", "dots", "link", "hard link", "linked folder"])
def test_no_input_of_a_run_is_ever_written(
    made: ScoreStore, monkeypatch: pytest.MonkeyPatch, name: str, way: str
) -> None:
    before = Path(name).read_bytes()
    out = Path(name)
    if way == "dots":
        out = Path("store", "..", name)
    elif way == "linked folder":
        os.symlink(Path.cwd(), "here")
        out = Path("here", name)
    elif way != "itself":
        (os.symlink if way == "link" else os.link)(name, "other.csv")
        out = Path("other.csv")
    for command in commands(out):
        assert assay(monkeypatch, *command) == 2
        assert assay(monkeypatch, *command, "--overwrite") == 2
    with pytest.raises(ConfigError, match="never written"):
        export(made, out, overwrite=True)
    assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    "inside", ["store/store.json", "store/new.csv", "store/runs/new.csv", "store/write.lock"]
)
def test_a_store_is_never_written(
    made: ScoreStore, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    before = sorted(str(p) for p in Path("store").rglob("*"))
    marker = Path("store/store.json").read_bytes()
    os.symlink("store", "way-in")
    os.symlink(Path(inside).absolute(), "link.csv")
    for out in (inside, Path("way-in", *Path(inside).parts[1:]), "link.csv"):
        for command in commands(out):
            assert assay(monkeypatch, *command, "--overwrite") == 2
    assert sorted(str(p) for p in Path("store").rglob("*")) == before
    assert Path("store/store.json").read_bytes() == marker


def test_another_store_is_not_written_either(made: ScoreStore, tmp_path: Path) -> None:
    ScoreStore(tmp_path / "second", create=True).make()
    with pytest.raises(ConfigError, match="inside the store"):
        export(made, tmp_path / "second" / "published" / "x.csv")


@pytest.mark.parametrize(
    ("pool", "out", "refused"),
    [
        ("parts", "parts/new.parquet", True),
        ("parts", "parts/deep/new.csv", True),
        ("parts", "parts/notes.txt", False),  # no data, as its name says
        ("parts", "elsewhere/new.parquet", False),
        ("parts/*.parquet", "parts/new.parquet", True),
        ("parts/*.parquet", "parts/new.csv", False),
        ("parts/*.parquet", "parts/deep/new.parquet", False),
        ("parts/**/*.parquet", "parts/deep/new.parquet", True),
        ("part[a-z]/[a-c].parquet", "parts/c.parquet", True),
        ("part[a-z]/[a-c].parquet", "parts/d.parquet", False),
    ],
)
def test_nothing_becomes_a_part_of_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str, out: str, refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for below in ("parts/deep", "elsewhere"):
        Path(below).mkdir(parents=True)
    FRAME.write_parquet("parts/a.parquet")
    store = ScoreStore("store", create=True)
    store.begin(
        RunInfo(
            run_id="b" * 16,
            kind="curate",
            pool="parts",
            started_at=datetime.now(UTC),
            n_samples=ROWS,
            seed=0,
            generation="g",
            config={"pool": str(Path(pool).absolute()), "name": "elsewhere"},
            versions={},
        )
    )
    if refused:
        with pytest.raises(ConfigError, match="would become"):
            check_destination(Path(out), store)
    else:
        check_destination(Path(out), store)


def test_an_existing_file_needs_overwrite(
    made: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path("mine.jsonl")
    for command in (
        commands(out)[0],
        ["sql", "SELECT 1 AS one", "--store", "store", "--out", str(out)],
    ):
        out.write_text("mine")
        out.chmod(0o600)
        assert assay(monkeypatch, *command) == 2
        assert out.read_text() == "mine"
        assert assay(monkeypatch, *command, "--overwrite") == 0
        assert out.read_text() != "mine"
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        out.unlink()
        assert assay(monkeypatch, *command) == 0
    with pytest.raises(ConfigError, match="--overwrite"):
        export(made, out)
    assert export(made, out, overwrite=True) == 4


def test_diff_has_the_same_rule(made: ScoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.csv").write_text("mine")
    for out, overwrite in (("d.csv", []), ("rows.csv", ["--overwrite"]), ("store/d.csv", [])):
        assert assay(monkeypatch, "diff", "--store", "store", "--out", out, *overwrite) == 2
    assert Path("d.csv").read_text() == "mine"
    assert assay(monkeypatch, "diff", "--store", "store", "--out", "d.csv", "--overwrite") == 0
    assert Path("d.csv").read_text() != "mine"


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_written_through(made: ScoreStore, dangling: bool) -> None:
    Path("far").mkdir()
    if not dangling:
        Path("far/real.csv").write_text("old")
    os.symlink("far/real.csv", "link.csv")
    assert export(made, Path("link.csv"), overwrite=not dangling) == 4
    assert os.readlink("link.csv") == "far/real.csv"
    assert pl.read_csv("far/real.csv").height == 4


def test_links_that_lead_nowhere(made: ScoreStore) -> None:
    os.symlink("b.csv", "a.csv")
    os.symlink("a.csv", "b.csv")
    with pytest.raises(ConfigError, match=r"can't be written|no folder"):
        export(made, Path("a.csv"), overwrite=True)
    os.symlink("missing/x.csv", "c.csv")
    with pytest.raises(ConfigError, match="no folder"):
        export(made, Path("c.csv"), overwrite=True)
    with pytest.raises(ConfigError, match="is a folder"):
        check_destination(Path("store").parent, made, overwrite=True)


def test_a_device_and_a_pipe_are_written_to(
    made: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    null = ["sql", "SELECT 1", "--store", "store", "--format", "csv", "--out", "/dev/null"]
    assert assay(monkeypatch, *null, "--overwrite") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo("pipe.csv")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe.csv").read_text()))
    reader.start()
    assert export(made, Path("pipe.csv")) == 4
    reader.join(10)
    assert stat.S_ISFIFO(os.stat("pipe.csv").st_mode)
    assert len(read[0].splitlines()) == 5


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    with pytest.raises(FileExistsError), output_path(out) as temporary:  # noqa: PT012
        temporary.write_text("ours")
        out.write_text("theirs")
    assert out.read_text() == "theirs"
    with pytest.raises(ConfigError, match="exists already"):
        write_frame(FRAME, out, "csv")
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_a_disk_without_links_keeps_a_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    out = tmp_path / "x.csv"
    with atomic_path(out, replace=False) as temporary:
        temporary.write_text("first")
    with pytest.raises(FileExistsError), atomic_path(out, replace=False) as temporary:
        temporary.write_text("second")
    assert out.read_text() == "first"


def test_every_location_of_a_configuration_is_an_input() -> None:
    keys = {
        ".".join(key) for form in (CurationConfig, FeatureConfig) for key in location_keys(form)
    }
    assert {"pool", "target", "training_log", "plan.leakage", "table"} <= keys


def test_a_folder_is_replaced_only_where_an_export_made_it(
    made: ScoreStore, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export(made, out, columns=["id"])  # an empty folder is filled
    with pytest.raises(ConfigError, match="exists already"):
        export(made, out)
    export(made, out, overwrite=True, format="hf")
    assert sorted(p.name for p in out.iterdir() if p.name[0] != ".") == [
        "README.md",
        "dataset_dict.json",
        "train",
    ]
    (out / "train" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        export(made, out, overwrite=True)
    (out / "train" / "notes.txt").unlink()
    (out / "dangling").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="dangling"):
        export(made, out, overwrite=True)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="no export wrote"):
            export(made, tmp_path / "own", overwrite=overwrite)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        export(made, tmp_path / "file", overwrite=True, format="hf")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("out", ["store/new", "store", ".", "store/runs", "way-in/new"])
def test_no_folder_in_or_around_a_store_or_input(made: ScoreStore, out: str) -> None:
    os.symlink("store", "way-in")
    before = sorted(str(p) for p in Path().rglob("*"))
    for overwrite in (False, True):
        with pytest.raises(ConfigError):
            export(made, Path(out), overwrite=overwrite, format="hf")
    assert sorted(str(p) for p in Path().rglob("*")) == before


@pytest.mark.parametrize(
    ("pool", "out", "refused"),
    [
        ("parts", "parts/out", True),
        ("parts", "parts", True),
        ("parts", "elsewhere/out", False),
        ("parts/*.parquet", "parts/out", False),
        ("parts/*/*.parquet", "parts/out", True),
        ("parts/**/*.parquet", "parts/deep/out", True),
        ("parts/*.parquet", "out", False),
    ],
)
def test_no_folder_becomes_a_part_of_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: str, out: str, refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for below in ("parts/deep", "elsewhere"):
        Path(below).mkdir(parents=True)
    FRAME.write_parquet("parts/deep/a.parquet")
    FRAME.with_columns(id=pl.col("id") + ROWS).write_parquet("parts/a.parquet")
    result = curate(pool=pool, store="store", **KEYS)
    if refused:
        with pytest.raises(ConfigError, match="part of"):
            result.export(out, format="hf", overwrite=True)
    else:
        assert result.export(out, format="hf") == 4


def test_a_failure_leaves_the_folder_as_it_was(
    made: ScoreStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(made, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def fail(*_: Any) -> bytes:
        raise OSError("no space")

    monkeypatch.setattr("assay.flows.export.write.croissant", lambda *a, **k: fail())
    with pytest.raises(OSError, match="no space"):
        export(made, out, overwrite=True, card=True, format="csv")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
