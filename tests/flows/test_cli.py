"""The command line: what it prints, and how it says that something is wrong."""

from __future__ import annotations

import csv
import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pytest

from assay.flows import cli
from assay.flows.running.results import RunResult
from tests.flows.conftest import listing


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs one command in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def common(settings: dict[str, Any], store: Path) -> list[str]:
    return [
        *("--pool", settings["pool"], "--id", "id", "--text", "text", "--keep", "domain"),
        *("--target", settings["target"], "--budget", "10%", "--store", str(store)),
    ]


def test_curate_says_what_was_chosen(assay: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = assay("curate", *common(settings, store))
    assert done.code == 0, done.err
    assert "600 rows went in, 60 were chosen by importance" in done.out
    assert "health_qa" in done.out
    assert "in a random subset" in done.out
    assert str(store) in done.out
    assert "Defaults taken: name=pool, select=importance" in done.out
    again = assay("curate", *common(settings, store))
    assert "Nothing changed" in again.out
    as_json = assay("curate", *common(settings, store), "--json")
    summary = json.loads(as_json.out)
    assert (summary["samples"], summary["selected"], summary["computed"]) == (600, 60, False)
    assert sum(row["n"] for row in summary["reasons"]) == 600


def test_a_command_rarely_looks_for_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    before, inside = gc.get_threshold(), []
    monkeypatch.setattr(cli, "app", lambda: inside.append(gc.get_threshold()[0]))
    cli.main()
    assert inside[0] >= 5_000
    assert gc.get_threshold() == before


def test_a_configuration_file_and_flags(
    assay: Any, settings: dict[str, Any], curated: RunResult, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'pool = "{settings["pool"]}"\nid = "id"\ntext = "text"\nkeep = ["domain"]\n'
        f'target = "{settings["target"]}"\nbudget = "50%"\nstore = "{curated.store.path}"\n'
        "[embedding]\ndimensions = 32\nbuckets = 16384\n"
    )
    done = assay("curate", path, "--budget", "10%", "--json")
    assert json.loads(done.out)["run_id"] == curated.run_id


def test_sql_prints_each_format(assay: Any, curated: RunResult, tmp_path: Path) -> None:
    query = "select method, count(*) as n, avg(score) as mean from scores group by all order by 1"
    store = ["--store", curated.store.path]
    assert "importance" in assay("sql", query, *store).out
    rows = json.loads(assay("sql", query, *store, "--json").out)["rows"]
    assert [row["n"] for row in rows] == [598] * 3
    lines = assay("sql", query, *store, "--format", "csv").out.splitlines()
    assert [row["method"] for row in csv.DictReader(lines)] == [row["method"] for row in rows]
    out = tmp_path / "o.parquet"
    assert assay("sql", query, *store, "--format", "parquet", "--out", out).code == 0
    assert pl.read_parquet(out).height == 3
    assert assay("sql", query, *store, "--format", "parquet").code == 2
    assert assay("sql", query, *store, "--format", "xml").code == 2


def test_explain_gives_the_reason(assay: Any, curated: RunResult) -> None:
    store = ["--store", curated.store.path]
    first = curated.sql("SELECT sample_id FROM latest_selection WHERE position = 1").item()
    assert f"{first} is IN the selection" in assay("explain", first, *store).out
    out = assay("explain", "empty-null", *store, "--json")
    found = json.loads(out.out)["pools"][0]
    assert (found["selected"], found["reason"], found["stage"]) == (False, "empty", "read")
    missing = assay("explain", "no-such-id", *store)
    assert (missing.code, missing.out) == (2, "")
    assert "no-such-id" in missing.err


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_export_hands_out_the_chosen_rows(
    assay: Any, curated: RunResult, pool_frame: pl.DataFrame, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"subset.{suffix}"
    done = assay("export", "--store", curated.store.path, "--out", out)
    assert done.code == 0, done.err
    assert "60 rows" in done.out
    read = {"parquet": pl.read_parquet, "jsonl": pl.read_ndjson, "csv": pl.read_csv}[suffix]
    frame = read(out)
    assert frame.columns[:3] == ["id", "text", "domain"]
    assert {"position", "weight", "importance", "pagerank", "knn_density"} <= set(frame.columns)
    assert frame["position"].to_list() == list(range(1, 61))
    texts = dict(pool_frame.select("id", "text").rows())
    assert all(texts[i] == t for i, t in frame.select("id", "text").iter_rows())


def test_export_of_some_columns_and_a_named_run(
    assay: Any, curated: RunResult, tmp_path: Path
) -> None:
    out = tmp_path / "subset.parquet"
    store = ["--store", curated.store.path]
    assert assay("export", *store, "--out", out, "--run", curated.run_id[:6], "--columns", "domain")
    assert "text" not in pl.read_parquet(out).columns
    for wrong in (["--run", "zzz"], ["--columns", "txt"]):
        done = assay("export", *store, "--out", tmp_path / "x.parquet", *wrong)
        assert done.code == 2
        assert not (tmp_path / "x.parquet").exists()
    assert assay("export", *store, "--out", tmp_path / "x.xlsx").code == 2


def test_export_refuses_a_pool_that_changed(
    assay: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    pool = tmp_path / "pool.parquet"
    pl.read_parquet(settings["pool"]).write_parquet(pool)
    moved = settings | {"pool": str(pool)}
    fast = ["--select", "random", "--scores", ""]
    assert assay("curate", *common(moved, tmp_path / "s"), *fast).code == 0
    pl.read_parquet(pool).head(500).write_parquet(pool)
    done = assay("export", "--store", tmp_path / "s", "--out", tmp_path / "o.csv")
    assert (done.code, "not what it was" in done.err) == (1, True)


def test_runs_and_diff(assay: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    fast = ["--select", "random", "--scores", ""]
    base = [*common(settings, tmp_path), *fast]
    a, b = (
        json.loads(assay("curate", *base, "--seed", seed, "--json").out)["run_id"]
        for seed in (1, 2)
    )
    listed = json.loads(assay("runs", "--store", tmp_path, "--json").out)["rows"]
    assert [row["run_id"] for row in listed] == [b, a]
    rows = json.loads(assay("diff", a, b, "--store", tmp_path, "--json").out)["rows"]
    changes = [row["change"] for row in rows]
    assert changes.count("in") == changes.count("out") > 0


def test_version_and_help(assay: Any) -> None:
    assert assay("--version").out.startswith("assay 0.")
    for command in ("demo", "curate", "features", "sql", "explain", "export", "runs", "diff"):
        done = assay(command, "--help")
        assert done.code == 0
        assert "--store" in done.out


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files that are wrong in some way."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "broken.csv").write_text("id,text\n1,one\n2,two\n3,three,surplus\n4,four\n")
    (folder / "short.csv").write_text("id,text\n1,one\n2\n3,three\n")
    pl.DataFrame({"id": [1, 1, 2], "text": ["a", "b", "c"]}).write_parquet(folder / "twice.parquet")
    pl.DataFrame({"id": [], "text": []}, schema={"id": pl.String, "text": pl.String}).write_parquet(
        folder / "none.parquet"
    )
    pl.DataFrame({"id": [1], "text": ["  "]}).write_parquet(folder / "blank.parquet")
    (folder / "folder").mkdir()
    (folder / "folder" / "letter.txt").write_text("dear")
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--pool": "WRONG/nowhere.parquet"}, "nowhere.parquet"),
        ({"--pool": "WRONG/broken.csv", "--keep": ""}, "line 4"),
        ({"--pool": "WRONG/short.csv", "--keep": ""}, "line 3"),
        ({"--text": "txt"}, "Did you mean 'text'"),
        ({"--keep": "domian"}, "Did you mean 'domain'"),
        ({"--pool": "WRONG/twice.parquet", "--keep": "id"}, "1"),
        ({"--pool": "WRONG/none.parquet", "--keep": ""}, "no rows"),
        ({"--pool": "WRONG/blank.parquet", "--keep": ""}, "no usable rows"),
        ({"--budget": "0"}, "budget"),
        ({"--budget": "601"}, "600"),
        ({"--budget": "120%"}, "120%"),
        ({"--target": "WRONG/blank.parquet"}, "no usable rows"),
        ({"--target": "WRONG/nowhere.parquet"}, "nowhere.parquet"),
        ({"--store": "WRONG/folder"}, "not a store"),
        ({"--select": "importanse"}, "Did you mean 'importance'"),
        ({"--scores": "pagerang"}, "Did you mean 'pagerank'"),
        ({"--difficulty": "label_agreement"}, "labels"),
        ({"--seed": "-1"}, "seed"),
    ],
    ids=lambda value: (
        "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_wrong_input_is_one_paragraph_and_changes_nothing(
    assay: Any,
    settings: dict[str, Any],
    wrong: Path,
    tmp_path: Path,
    change: dict[str, str],
    said: str,
) -> None:
    arguments = dict(zip(*[iter(common(settings, tmp_path / "store"))] * 2, strict=True))
    arguments |= {key: value.replace("WRONG", str(wrong)) for key, value in change.items()}
    before = listing(wrong)
    done = assay("curate", *(part for pair in arguments.items() for part in pair))
    assert done.code in (1, 2)
    assert done.out == ""
    last = done.err.strip().splitlines()
    assert last[-1].startswith("assay: ")
    assert said in last[-1]
    assert "Traceback" not in done.err
    assert not (tmp_path / "store").exists()
    assert listing(wrong) == before


@pytest.mark.parametrize(
    ("query", "code"),
    [("DELETE FROM scores", 2), ("selec 1", 2), ("CREATE TABLE t (a INT)", 2), ("FROM nowhere", 2)],
)
def test_wrong_sql_changes_nothing(assay: Any, curated: RunResult, query: str, code: int) -> None:
    before = listing(curated.store.path)
    done = assay("sql", query, "--store", curated.store.path)
    assert done.code == code
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1
    assert listing(curated.store.path) == before


def test_errors_are_json_too(assay: Any, tmp_path: Path) -> None:
    done = assay("runs", "--store", tmp_path / "nowhere", "--json")
    assert done.code == 1
    assert json.loads(done.out)["error"]["type"] == "StoreError"


def test_no_traceback_from_the_installed_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay.flows.cli", "curate", "--pool", "nowhere.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("assay: ")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sql_works_while_another_run_is_under_way(
    settings: dict[str, Any], curated: RunResult, assay: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(curated.store.path, store, symlinks=True)
    command = [
        *(sys.executable, "-m", "assay.flows.cli", "curate"),
        *common(settings, store),
        *("--seed", "11", "--name", "other"),
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked = 0
    while running.poll() is None:
        done = assay("sql", "select method, avg(score) from scores group by all", "--store", store)
        assert done.code == 0, done.err
        asked += 1
    assert running.returncode == 0, running.communicate()[1]
    assert asked > 3
    with duckdb.connect(str(store / "published" / "latest.duckdb"), read_only=True) as con:
        pools = con.sql("SELECT DISTINCT pool FROM latest_selection ORDER BY 1").fetchall()
    assert pools == [("other",), ("pool",)]


def test_the_demo(assay: Any, tmp_path: Path) -> None:
    done = assay("demo", "--store", tmp_path / "store")
    assert done.code == 0, done.err
    assert "6,000 rows went in, 300 were chosen by importance" in done.out
    assert done.out.count("  assay ") == 3
    assert "term:" in done.out
    as_json = json.loads(assay("demo", "--store", tmp_path / "store", "--json").out)
    shares = {row["domain"]: row for row in as_json["curate"]["shares"]["domain"]}
    assert shares["health_qa"]["share"] > 3 * shares["health_qa"]["random_share"]
    assert as_json["curate"]["computed"] is False


def test_the_command_line_imports_nothing_that_a_command_may_not_need() -> None:
    heavy = ("numpy", "polars", "pyarrow", "duckdb", "pydantic")
    # `assay plan` leaves the rest to another process
    modules = "assay.flows.cli, assay.flows.printing.output, assay.flows.estimate.estimation"
    code = f"import sys, {modules}; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
