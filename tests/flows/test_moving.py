"""A store that was copied or moved answers alike, and finds its pool where it is now."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows import cli, curate
from assay.flows.export.write import export
from assay.flows.report.contents import Contents
from assay.flows.result import Result
from assay.flows.stages.places import PLACES, place_of
from assay.storage import ScoreStore
from assay.storage.errors import AssayError, ConfigError, StoreError
from assay.storage.upkeep.check import check_store

FRAME = pl.DataFrame(
    {"id": range(40), "text": [f"about {i % 7} and {i}" for i in range(40)], "y": list("ab") * 20}
)
VIEWS = (
    "runs",
    "latest_samples",
    "latest_scores",
    "latest_selection",
    "latest_decisions",
    "ledger",
)


@pytest.fixture
def made(tmp_path: Path) -> Result:
    """Return a run over a pool in a folder `old`, in a store beside it."""
    (tmp_path / "old").mkdir()
    FRAME.write_parquet(tmp_path / "old" / "pool.parquet")
    return curate(
        pool=tmp_path / "old" / "pool.parquet",
        store=tmp_path / "old" / "store",
        id="id",
        text="text",
        label="y",
        budget=6,
        select="random",
    )


def answers(store: ScoreStore) -> dict[str, Any]:
    found = {view: store.sql(f"FROM {view} ORDER BY ALL").rows() for view in VIEWS}
    return found | {"explain": store.sql("FROM explain('3')").rows()}


def test_a_copied_store_answers_alike(made: Result, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(made.store.path, copy)
    store = ScoreStore(copy)
    assert answers(store) == answers(made.store)
    assert check_store(store) == []
    made.export(tmp_path / "one.parquet")
    export(store, tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    pool = str(tmp_path / "old" / "pool.parquet")
    again = curate(made.config, pool=pool, store=copy)
    assert (again.run_id, again.computed) == (made.run_id, False)


def test_a_moved_store_and_pool(
    made: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = answers(made.store)
    made.export(tmp_path / "one.csv")
    (tmp_path / "old").rename(tmp_path / "new")
    store, pool = ScoreStore(tmp_path / "new" / "store"), tmp_path / "new" / "pool.parquet"
    assert answers(store) == before
    with pytest.raises(AssayError, match="lies elsewhere now, name the place with --pool"):
        export(store, tmp_path / "two.csv")
    export(store, tmp_path / "two.csv", pool=pool)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    command = ["assay", "relocate", "--store", str(store.path), "--pool", str(pool), "--json"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    noted = json.loads(capsys.readouterr().out)
    assert noted == {"was": str(tmp_path / "old" / "pool.parquet"), "now": str(pool)}
    export(store, tmp_path / "three.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "three.csv").read_bytes()
    assert answers(store) == before
    assert check_store(store) == []
    # pages find it too
    shown = Contents(store, store.trusted_sql("FROM runs").row(0, named=True))
    assert (shown.problem, shown.texts(pl.Series([3])).to_list()) == (None, [FRAME["text"][3]])
    # the place where it is now is an input too
    for out in (pool, tmp_path / "new" / "store" / "x.parquet"):
        with pytest.raises(ConfigError):
            export(store, out, overwrite=True)


def test_frames_move_with_their_store(tmp_path: Path) -> None:
    result = curate(
        pool=FRAME, id="id", text="text", budget=6, select="random", store=tmp_path / "a"
    )
    result.export(tmp_path / "one.parquet")
    (tmp_path / "a").rename(tmp_path / "b")
    export(ScoreStore(tmp_path / "b"), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_another_pool_is_refused(made: Result, tmp_path: Path) -> None:
    from assay.flows.stages.places import relocate

    run = made.store.trusted_sql("SELECT * FROM runs").row(0, named=True)
    for name, frame in {
        "order": FRAME.reverse(),
        "content": FRAME.with_columns(text=pl.lit("x") + pl.col("text")),
        "label": FRAME.with_columns(y=pl.lit("c")),
        "fewer": FRAME.head(39),
    }.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
        with pytest.raises(StoreError, match="not what it was"):
            relocate(made.store, run, tmp_path / f"{name}.parquet")
    assert not (made.store.path / PLACES).exists()
    FRAME.write_ndjson(tmp_path / "same.jsonl")  # another format, the same rows
    relocate(made.store, run, tmp_path / "same.jsonl")
    assert place_of(made.store, run_pool(run)) == str(tmp_path / "same.jsonl")
    (made.store.path / PLACES).write_text("{")
    with pytest.raises(StoreError, match="assay relocate"):
        made.export(tmp_path / "f.csv")


def run_pool(run: dict[str, Any]) -> str:
    return str(json.loads(run["config"])["pool"])


def test_paths_are_taken_wherever_a_text_is(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "pool.parquet")
    quiz = [f"nothing at all like number {i} the pool holds anywhere in it" for i in range(9)]
    pl.DataFrame({"text": quiz}).write_parquet(tmp_path / "quiz.parquet")
    how: dict[str, Any] = {"id": "id", "text": "text", "budget": 4, "select": "random"}

    def run(kind: type) -> str:
        plan = {"leakage": {"quiz": kind(tmp_path / "quiz.parquet")}, "leakage_neighbors": None}
        return curate(
            pool=kind(tmp_path / "pool.parquet"), store=kind(tmp_path / "store"), plan=plan, **how
        ).run_id

    assert run(Path) == run(str)


def test_texts_are_a_pool(tmp_path: Path) -> None:
    import numpy as np
    import pandas as pd

    texts = FRAME["text"].to_list()
    how: dict[str, Any] = {"budget": 4, "select": "random", "store": tmp_path / "store"}
    wanted = curate(pool=pl.DataFrame({"text": texts}), **how)
    for given in (texts, tuple(texts), pl.Series(texts), pd.Series(texts), np.array(texts)):
        assert curate(pool=given, **how).run_id == wanted.run_id
    missing = curate(pool=[*texts, None], **how)
    assert missing.decisions()["reason"].to_list()[-1] == "empty"
    for wrong in ([], ["a", 1], "no such file"):
        with pytest.raises(AssayError):
            curate(pool=wrong, **how)
