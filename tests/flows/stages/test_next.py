"""The next batch to label: from a file, a folder, a growing table or a column, night after night."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import CurationConfig, curate, next_batch
from assay.flows.cli import app
from assay.flows.config.labels import labels_fingerprint, read_labels
from assay.flows.stages.run import resolve_run
from assay.storage import ScoreStore
from assay.storage.errors import AssayError, ColumnError, ConfigError, IdError

RNG = np.random.default_rng(5)
KINDS = RNG.integers(0, 4, 200)
X = (RNG.normal(size=(4, 6))[KINDS] * 2 + RNG.normal(size=(200, 6))).astype(np.float32)
IDS = [f"r{i:03}" for i in range(200)]
TRUTH = dict(zip(IDS, (f"kind {kind}" for kind in KINDS), strict=True))
FIRST = IDS[::10]


@pytest.fixture
def place(tmp_path):
    frame = pl.DataFrame({"id": IDS, "x": X.tolist(), "kind": list(TRUTH.values())})
    frame.write_parquet(tmp_path / "pool.parquet")
    (tmp_path / "labels").mkdir()
    return tmp_path


def label(place, ids, name="1.csv"):
    frame = pl.DataFrame({"id": ids, "label": [TRUTH[i] for i in ids], "by": "me"})
    frame.write_csv(place / "labels" / name)


def settings(place, **more):
    return {
        "pool": str(place / "pool.parquet"),
        "id": "id",
        "vector": "x",
        "budget": 12,
        "store": str(place / "store"),
        **more,
    }


def choose(place, **more):
    return next_batch(**settings(place, labels=str(place / "labels"), **more))


def chosen(result):
    return result.sql("SELECT sample_id FROM latest_selection ORDER BY position")[
        "sample_id"
    ].to_list()


def test_nights_of_labels(place):
    first = choose(place)
    assert first.computed
    assert len(chosen(first)) == 12
    assert not choose(place).computed
    label(place, chosen(first))
    second = choose(place)
    assert second.run_id != first.run_id
    assert not set(chosen(second)) & set(chosen(first))
    covered = second.sql("SELECT sample_id FROM latest_decisions WHERE reason = 'covered'")
    assert sorted(covered["sample_id"]) == sorted(chosen(first))
    assert not choose(place).computed
    # the same labels in other files are no news
    (place / "labels" / "1.csv").rename(place / "labels" / "one.csv")
    frame = pl.DataFrame(
        {"sample_id": chosen(first)[:3], "label": [TRUTH[i] for i in chosen(first)[:3]]}
    )
    frame.write_parquet(place / "labels" / "again.parquet")
    assert not choose(place).computed
    label(place, chosen(second), "2.csv")
    third = choose(place)
    assert third.computed
    metrics = dict(third.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["labeled"] == 24
    assert metrics["covered"] == 24
    stored = third.sql("SELECT sample_id, label FROM latest_samples WHERE label IS NOT NULL")
    assert {row["sample_id"]: row["label"] for row in stored.iter_rows(named=True)} == {
        i: TRUTH[i] for i in (*chosen(first), *chosen(second))
    }
    changes = ScoreStore(place / "store").sql(
        f"SELECT change, count(*) AS n FROM diff('{second.run_id}', '{third.run_id}') GROUP BY 1"
    )
    assert dict(changes.iter_rows()) == {"in": 12, "out": 12}


def test_the_run_is_explained(place):
    label(place, FIRST)
    result = choose(place)
    said = result.explain(chosen(result)[0])
    assert said["reason"] == "selected"
    assert 0 <= said["detail"]["uncertainty"] <= 1
    assert set(said["scores"]) == {
        "uncertainty",
        "predicted_entropy",
        "neighbor_disagreement",
        "novelty_to_labeled",
        "typicality",
    }
    assert result.explain(FIRST[0])["reason"] == "covered"
    out = next(i for i in IDS if i not in FIRST and i not in chosen(result))
    assert result.explain(out)["reason"] == "lower_gain"
    assert result.ledger().height


def test_nothing_is_embedded_again_when_labels_arrive(place):
    label(place, FIRST)
    first, store = choose(place), ScoreStore(place / "store")
    label(place, [IDS[1]], "2.csv")
    second = choose(place)
    kinds = "('samples', 'vectors', 'graph')"
    query = f"SELECT kind, fingerprint FROM artifacts WHERE kind IN {kinds} ORDER BY ALL"
    of = [store.run_table(result.run_id, query).rows() for result in (first, second)]
    assert of[0] == of[1]
    assert len(of[0]) == 3


def test_a_file_a_frame_and_a_column_are_the_same_choice(place):
    label(place, FIRST)
    known = pl.DataFrame({"id": FIRST, "label": [TRUTH[i] for i in FIRST]})
    known.write_ndjson(place / "labels.jsonl")
    column = [TRUTH[i] if i in FIRST else None for i in IDS]
    pl.DataFrame({"id": IDS, "x": X.tolist(), "grade": column}).write_parquet(
        place / "graded.parquet"
    )
    by_folder = chosen(choose(place))
    by_file = chosen(next_batch(**settings(place, labels=str(place / "labels.jsonl"))))
    by_frame = chosen(next_batch(labels=known, **settings(place)))
    by_column = chosen(
        next_batch(**settings(place, pool=str(place / "graded.parquet"), label="grade"))
    )
    plain = curate(
        **settings(place, pool=str(place / "graded.parquet"), label="grade"),
        select="next_batch",
        scores=(),
    )
    assert by_folder == by_file == by_frame == by_column == chosen(plain)


def test_the_pools_own_labels_are_not_read_where_labels_are_apart(place):
    label(place, FIRST)
    frame = pl.read_csv(place / "labels" / "1.csv").rename({"label": "kind"})
    frame.write_csv(place / "labels" / "1.csv")
    result = choose(place, label="kind")
    assert result.sql("SELECT count(label) AS n FROM latest_samples")["n"].item() == len(FIRST)


def test_the_last_label_of_a_row_counts(place):
    pl.DataFrame({"id": ["r1", "r2", "r1"], "label": ["a", None, "b"]}).write_csv(place / "1.csv")
    found = read_labels(str(place / "1.csv"), id="id", label=None)
    assert found.rows() == [("r1", "b")]
    (place / "2").mkdir()
    found.write_parquet(place / "2" / "b.parquet")
    apart = read_labels(str(place / "2"), id="id", label=None)
    assert labels_fingerprint(apart) == labels_fingerprint(found)
    assert read_labels(str(place / "labels"), id="id", label=None).is_empty()


def test_a_column_without_a_label_yet_is_a_first_round(place):
    frame = pl.read_parquet(place / "pool.parquet")
    frame.with_columns(kind=pl.lit(None, dtype=pl.String)).write_parquet(place / "pool.parquet")
    result = next_batch(**settings(place, label="kind"))
    assert chosen(result) == chosen(choose(place))


def test_rows_that_are_out_for_labeling_can_be_covered_beside_the_labels(place):
    label(place, FIRST)
    out = chosen(choose(place))
    (place / "out.txt").write_text("\n".join(out))
    for covered in (str(place / "out.txt"), "id in ('" + "','".join(out) + "')"):
        result = choose(place, plan={"covered": covered})
        assert not set(chosen(result)) & {*out, *FIRST}
        metrics = dict(result.sql("SELECT name, value FROM metrics").iter_rows())
        assert (metrics["covered"], metrics["labeled"]) == (32, 20)


def test_one_file_configures_both_curation_and_the_next_batch(place):
    label(place, FIRST)
    config = place / "assay.toml"
    config.write_text(
        f"""
        pool = "{place}/pool.parquet"
        id = "id"
        vector = "x"
        labels = "{place}/labels"
        budget = "20%"
        select = "k_center"
        scores = ["knn_density"]
        difficulty = "knn_density"
        store = "{place}/store"
        [options]
        metric = "l2"
        [score_options.knn_density]
        [plan]
        filters = ["kind <> 'kind 3'"]
        churn = 0.5
        [next]
        budget = 7
        options = {{ informativeness = 0.5 }}
        """
    )
    settings = CurationConfig.from_toml(config)
    assert settings.next_wanted
    assert resolve_run(settings).select == "k_center"
    plain = curate(settings)
    runner = CliRunner()
    done = runner.invoke(app, ["next", str(config), "--json"])
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["select"], said["selected"], said["computed"]) == ("next_batch", 7, True)
    assert said["run_id"] != plain.run_id
    kinds = ScoreStore(place / "store").sql("SELECT sample_id FROM latest_selection")["sample_id"]
    assert not {TRUTH[i] for i in kinds} & {"kind 3"}
    again = runner.invoke(app, ["next", str(config)])
    assert "Nothing changed" in again.stdout
    assert "Labels so far: 20 rows of 4 classes; a model" in again.stdout
    # what the next batch is does not change what curation is
    changed = settings.model_dump(exclude_unset=True) | {"next": {"budget": 9}}
    assert resolve_run(CurationConfig.build(changed)).run_id == plain.run_id


def test_the_command_saves_what_repeats_it(place, monkeypatch):
    monkeypatch.chdir(place)
    label(place, FIRST)
    runner = CliRunner()
    given = ["next", "--pool", "pool.parquet", "--id", "id", "--vector", "x", "--labels", "labels"]
    given += ["--budget", "5%", "--option", "informativeness=0.5", "--store", "store", "--json"]
    first = runner.invoke(app, [*given, "--save-config", "next.toml"])
    assert first.exit_code == 0, first.stderr
    second = json.loads(runner.invoke(app, ["next", "next.toml", "--json"]).stdout)
    assert json.loads(first.stdout)["run_id"] == second["run_id"]
    assert (second["selected"], second["computed"]) == (10, False)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (None, ConfigError, "Name a file or folder of ids and labels"),
        ("id,label\nx1,a\nx2,b\n", IdError, "None of the 2 ids with a label"),
        ("id,class\nr001,a\n", ColumnError, "column of labels in"),
        ("key,label\nr001,a\n", ColumnError, "column of ids in"),
    ],
)
def test_what_is_wrong_with_labels_is_said_before_any_work(place, labels, error, message):
    more = {}
    if labels is not None:
        (place / "l.csv").write_text(labels)
        more["labels"] = str(place / "l.csv")
    with pytest.raises(error, match=message):
        next_batch(**settings(place, **more))
    assert not list((place / "store").glob("runs/*.duckdb"))


def test_a_folder_of_labels_must_be_there(place):
    with pytest.raises(AssayError, match="There is no file or folder"):
        next_batch(**settings(place, labels=str(place / "lables")))


def test_a_configuration_with_the_table_next_runs_as_its_flow(place):
    label(place, FIRST)
    (place / "next.toml").write_text(
        f'pool = "{place}/pool.parquet"\nid = "id"\nvector = "x"\nlabels = "{place}/labels"\n'
        f'store = "{place}/flow"\n[next]\nbudget = 12\n'
    )
    environment = os.environ | {"PREFECT_HOME": str(place / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, "-m", "assay.flows.deployments", str(place / "next.toml")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    direct = choose(place)
    assert direct.run_id in done.stdout
    assert "12 of 200 rows of pool chosen by next_batch" in done.stdout
    by_flow = ScoreStore(place / "flow").sql(
        "SELECT sample_id FROM latest_selection ORDER BY position"
    )
    assert by_flow["sample_id"].to_list() == chosen(direct)


def test_a_schedule_of_the_table_next_is_that_of_its_flow(place):
    from assay.flows.commands.serve import flow_of, load
    from assay.flows.deployments import curate_flow, next_flow

    text = f'pool = "{place}/pool.parquet"\nlabels = "{place}/labels"\n'
    (place / "c.toml").write_text(text)
    assert flow_of(load(place / "c.toml")) is curate_flow
    (place / "c.toml").write_text(f"{text}[next]\n")
    assert flow_of(load(place / "c.toml")) is next_flow
