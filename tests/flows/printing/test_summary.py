"""What the commands say at their end: what was asked for, the figures that matter, sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows.printing import summary
from assay.flows.printing.explaining import explanation, print_explanation
from assay.flows.printing.summary import print_curation
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate, rank_features
from assay.selection import registry
from assay.selection.evaluation.figures import GENERAL, WORDS, figures_that_matter
from assay.storage.errors import IdError, InputError


def told(capsys: pytest.CaptureFixture[str], result: RunResult) -> str:
    capsys.readouterr()
    print_curation(result)
    return capsys.readouterr().out


def figures_of(text: str) -> list[str]:
    """Return the names of the figures between the heading and the line that names the rest."""
    section = text.partition("random subsets of equal size:\n")[2].partition("\nAll ")[0]
    lines = [line for line in section.splitlines() if line.startswith("  ")]
    return [line.partition("  random")[0].rpartition(")")[0].rpartition("(")[2] for line in lines]


def test_importance_ends_with_closeness_and_diversity(
    curated: RunResult, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(capsys, curated)
    assert f"Asked for: 10% of the rows; like those of {settings['target']}\n" in text
    assert figures_of(text) == ["kl_target", "cmmd_target", "spread.vendi"]
    assert "coverage." not in text
    assert "Random subsets do better" not in text
    count = curated.ledger().height
    # of this run alone, whatever else the store holds
    query = f"from ledger where run_id = '{curated.run_id}'"
    assert f'All {count} figures: assay sql "{query}" --store ' in text
    assert curated.sql(query).height == count
    assert text.count("effective_sample_size") == 0


def test_random_being_better_is_one_line_about_what_was_asked_for(
    curated: RunResult, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = summary.curation_summary(curated)
    worse = [
        row | {"verdict": "random is better" if row["better"] else None} for row in real["ledger"]
    ]
    monkeypatch.setattr(summary, "curation_summary", lambda result: real | {"ledger": worse})
    text = told(capsys, curated)
    assert text.count("Random subsets do better") == 1
    assert "what was asked for: kl_target, cmmd_target.\n" in text


def test_what_a_plan_asks_for_is_said(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = {"filters": ["length(text) > 5"], "by": "domain", "quotas": {"assistant_queries": 3}}
    keys = settings | {"target": None, "select": "random", "budget": 20, "plan": plan}
    result = curate(**keys, store=str(tmp_path / "store"))
    text = told(capsys, result)
    assert "Asked for: 20 rows; under the plan's by, filters, quotas\n" in text
    assert figures_of(text) == list(registry.entry("random", "selector").judged_by)
    left_out = result.sql(
        "SELECT sample_id FROM latest_decisions JOIN latest_samples USING (pool, sample_id) "
        "WHERE domain = 'assistant_queries' AND NOT selected ORDER BY sample_id LIMIT 1"
    ).item()
    (one,) = explanation(result.store, left_out)
    (group,) = (group for group in one["groups"] if group["column"] == "domain")
    assert (group["value"], group["chosen"], group["quota"]) == ("assistant_queries", 3, 3)
    (sentence,) = (line for line in one["sentences"] if "domain" in line)
    assert (
        sentence
        == f"Of the {group['rows']} rows of domain 'assistant_queries', 3 were chosen, at most 3."
    )


def test_explanations_are_sentences(curated: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    out = curated.sql(
        "SELECT sample_id FROM latest_decisions WHERE reason = 'not_drawn' ORDER BY sample_id LIMIT 1"
    ).item()
    found = explanation(curated.store, out)
    capsys.readouterr()
    print_explanation(out, found)
    text = capsys.readouterr().out
    assert "Left out at the stage select: other rows were drawn (rank " in text
    assert "Its content: " in text
    near = found[0]["represented_by"]
    if near:
        assert f"The nearest chosen row is {near['sample_id']}" in text
    first = curated.sql("SELECT sample_id FROM latest_selection WHERE position = 1").item()
    assert explanation(curated.store, first)[0]["sentences"][0] == "Chosen as number 1."


def test_every_selector_says_which_figures_matter() -> None:
    for entry in registry.entries("selector"):
        if not entry.package:
            assert len(entry.judged_by) == 3, entry.name
            assert set(entry.judged_by) <= set(WORDS), entry.name
    assert set(GENERAL) <= set(WORDS)


def test_figures_that_a_run_lacks_are_replaced_by_general_ones() -> None:
    ledger = [{"name": name, "value": 1.0} for name in ("duplicates_left", *GENERAL[:2], "x")]
    assert [row["name"] for row in figures_that_matter("top", ledger)] == [
        "duplicates_left",
        *GENERAL[:2],
    ]
    assert figures_that_matter("top", []) == []


def test_a_run_has_one_effective_sample_size(settings: dict[str, Any], tmp_path: Path) -> None:
    options = {"mode": "dsir"}
    keys = settings | {"budget": 30, "options": options, "select": "importance"}
    result = curate(**keys, store=str(tmp_path / "store"))
    query = "SELECT value FROM {} WHERE name = 'effective_sample_size'"
    values = [
        *result.sql(query.format("metrics"))["value"],
        *result.sql(query.format("ledger"))["value"],
    ]
    assert len(set(values)) == 1


def test_auto_and_stability_print_what_they_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = np.random.default_rng(0)
    label = numbers.integers(0, 2, 120)
    frame = pl.DataFrame(
        {f"c{i}": numbers.normal(size=120) + (i < 2) * label * 2 for i in range(6)}
    )
    frame.with_columns(label=label).write_parquet(tmp_path / "table.parquet")
    result = rank_features(
        table=str(tmp_path / "table.parquet"), label="label", methods=("fisher",), k="auto",
        stability=5, store=str(tmp_path / "store"),
    )  # fmt: skip
    capsys.readouterr()
    summary.print_features(result)
    text = capsys.readouterr().out
    kept = result.scores().filter("selected").height
    assert f"fisher: --k auto keeps {kept} of 6 columns; of " in text
    assert "cross-validated accuracy 0." in text
    assert "fisher: stability " in text
    assert "over 5 resamples" in text


def test_many_anomalies_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.DataFrame({f"c{i}": [1.0] * 40 for i in range(15)} | {"x": np.arange(40.0)})
    frame.with_columns(label=np.arange(40) % 2).write_parquet(tmp_path / "table.parquet")
    result = rank_features(
        table=str(tmp_path / "table.parquet"), label="label", methods=("fisher",),
        store=str(tmp_path / "store"),
    )  # fmt: skip
    capsys.readouterr()
    summary.print_features(result)
    text = capsys.readouterr().out
    assert "Columns to look at: 15 constant" in text
    assert "c14" not in text.partition("Columns to look at")[2]


def test_an_id_that_is_nearly_there_is_named(curated: RunResult) -> None:
    with pytest.raises(IdError, match=r"Did you mean 'empty-null'.*--store "):
        explanation(curated.store, "empty-nul")
    with pytest.raises(IdError) as refused:
        explanation(curated.store, "wholly different")
    assert "Did you mean" not in str(refused.value)


def test_groups_without_a_name_and_other_pools_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.DataFrame(
        {
            "id": range(40),
            "text": [f"about {i % 7} things" for i in range(40)],
            "kind": ["a", None] * 20,
        }
    )
    given = {"id": "id", "text": "text", "keep": ["kind"], "budget": 5, "select": "random"}
    first = curate(pool=frame, name="june", store=str(tmp_path), **given)
    assert "(none)" in told(capsys, first)
    assert "The first run of this pool" not in told(capsys, first)
    second = curate(pool=frame, name="july", store=str(tmp_path), **given)
    assert "The first run of this pool; the store also holds june." in told(capsys, second)


def test_features_beyond_those_shown_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = np.random.default_rng(0).normal(size=(60, 13))
    frame = pl.DataFrame(numbers, schema=[f"c{i}" for i in range(13)])
    frame = frame.with_columns(y=pl.when(pl.col("c0") > 0).then(pl.lit("p")).otherwise(pl.lit("n")))
    result = rank_features(table=frame, label="y", k=13, store=str(tmp_path))
    summary.print_features(result)
    text = capsys.readouterr().out
    assert "3 more are selected. All of them: assay sql" in text
    query = text.partition('assay sql "')[2].partition('"')[0]
    assert result.sql(query).height == 13


def test_a_column_of_labels_without_labels_is_refused_before_work(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": range(9), "text": ["a text"] * 9, "label": [None] * 9})
    frame = frame.with_columns(pl.col("label").cast(pl.String))
    with pytest.raises(InputError, match=r"'label' holds no value in any row.*label_agreement"):
        curate(pool=frame, id="id", text="text", label="label", budget=2, store=str(tmp_path))
    assert not any((tmp_path / "artifacts").glob("vectors*"))
