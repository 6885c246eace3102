"""A damaged artifact is named, made again and never used; what the run comes to is the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.upkeep.check import check_store
from tests.system.comparing import contents, differences
from tests.system.trials import Trials, flip, forget_run

KINDS = (
    "samples", "embedder", "vectors", "graph", "index", "scores", "bucket_stream", "selection",
    "ledger",
)  # fmt: skip


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


DAMAGE: dict[str, Callable[[Path], Any]] = {"flip": flip, "cut": cut, "remove": Path.unlink}


def files_of(artifact: Path) -> list[Path]:
    return sorted(p for p in artifact.rglob("*") if p.is_file() and p.stat().st_size)


def artifacts_of(store: Path) -> list[Path]:
    found = sorted((store / "artifacts").glob("*/*"))
    assert {artifact.parent.name for artifact in found} == set(KINDS)
    return found


def damage_all(trials: Trials, kinds_of_damage: Callable[[int], tuple[str, ...]]) -> None:
    """Damage one file of every artifact, run, and do so until every file had its turn."""
    expected = trials.undisturbed("first").contents
    store = trials.after("first")
    rounds = max(len(files_of(artifact)) for artifact in artifacts_of(store))
    for number in range(rounds):
        for damage in kinds_of_damage(number):
            forget_run(store)
            damaged = []
            for artifact in artifacts_of(store):
                files = files_of(artifact)
                damaged.append(files[number % len(files)])
                DAMAGE[damage](damaged[-1])
            done = trials.run("first", store)
            assert done["error"] is None, (number, damage)
            for file in damaged:
                kind, fingerprint, *_ = file.relative_to(store / "artifacts").parts
                named = f"artifact {kind}/{fingerprint}: "
                assert any(
                    line.startswith(named) and str(file.parent) in line and "made again" in line
                    for line in done["log"].splitlines()
                ), (file, damage)
            assert differences(contents(store), expected) == [], (number, damage)


def test_every_file_of_every_kind(trials: Trials) -> None:
    damage_all(trials, lambda number: (list(DAMAGE)[number % 3],))


@pytest.mark.slow
def test_every_damage_to_every_file(trials: Trials) -> None:
    damage_all(trials, lambda number: tuple(DAMAGE))


@pytest.mark.parametrize(
    "kind",
    [
        kind
        if kind in ("samples", "graph", "bucket_stream", "selection")
        # the others are among those that are damaged together
        else pytest.param(kind, marks=pytest.mark.slow)
        for kind in KINDS
    ],
)
def test_one_damaged_artifact_among_sound_ones(trials: Trials, kind: str) -> None:
    store = trials.after("first")
    forget_run(store)
    artifact = next((store / "artifacts" / kind).iterdir())
    file = max(files_of(artifact), key=lambda path: path.stat().st_size)
    flip(file)
    if kind == "bucket_stream":  # only a selection needs it
        for selection in (store / "artifacts" / "selection").iterdir():
            ScoreStore(store).artifacts.discard("selection", selection.name)
    done = trials.run("first", store)
    assert done["error"] is None
    warned = [line for line in done["log"].splitlines() if line.startswith("artifact ")]
    assert len(warned) == 1
    assert file.name in warned[0] or "manifest" in warned[0]
    assert differences(contents(store), trials.undisturbed("first").contents) == []
    assert check_store(ScoreStore(store)) == []


@pytest.mark.parametrize(
    "kind",
    [
        "embedder",
        "vectors",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("samples", "graph", "index")),
    ],
)
def test_what_the_run_before_left_is_not_used_where_it_is_damaged(
    trials: Trials, kind: str
) -> None:
    store = trials.after("first")
    artifact = next((store / "artifacts" / kind).iterdir())
    flip(max(files_of(artifact), key=lambda path: path.stat().st_size))
    done = trials.run("changed", store)
    assert done["error"] is None
    assert f"{kind}/{artifact.name}" in done["log"]
    chosen = ScoreStore(store).sql("SELECT count(*) AS n FROM latest_selection")["n"].item()
    assert chosen == 20
    # what is not discarded at once is only what no run needs any more
    found = check_store(ScoreStore(store), repair=True)
    damaged = [finding.where for finding in found if finding.level == "damage"]
    assert damaged in ([], [artifact.relative_to(store).as_posix()])


def test_damaged_vectors_of_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    images = []
    for pixels in rng.integers(0, 255, (40, 16, 16, 3), np.uint8):
        buffer = io.BytesIO()
        pillow.fromarray(pixels).save(buffer, "PNG")
        images.append(buffer.getvalue())
    pool = pl.DataFrame({"id": range(41), "image": [*images, b"no image"]})
    pool.write_parquet(tmp_path / "pool.parquet")
    settings = {
        "pool": str(tmp_path / "pool.parquet"), "id": "id", "image": "image", "budget": 5,
        "select": "random", "scores": (), "store": str(tmp_path / "store"),
    }  # fmt: skip
    curate(**settings)
    expected = contents(tmp_path / "store")
    forget_run(tmp_path / "store")
    (vectors,) = (tmp_path / "store" / "artifacts" / "vectors").glob("*/vectors.npy")
    flip(vectors)
    curate(**settings)
    assert f"artifact vectors/{vectors.parent.name}: " in caplog.text
    assert differences(contents(tmp_path / "store"), expected) == []


def test_damaged_rankings(trials: Trials) -> None:
    expected = trials.undisturbed("features").contents
    store = trials.after("features")
    (artifact,) = (store / "artifacts" / "features").iterdir()
    for number, damage in enumerate([*DAMAGE, *DAMAGE]):
        forget_run(store)
        file = files_of(artifact)[number % len(files_of(artifact))]
        DAMAGE[damage](file)
        done = trials.run("features", store)
        assert done["error"] is None
        assert f"artifact features/{artifact.name}: " in done["log"]
        assert differences(contents(store), expected) == []


def test_check_names_damage_and_repair_mends_it(trials: Trials) -> None:
    store = trials.after("first")
    damaged = artifacts_of(store)
    for artifact in damaged:
        flip(files_of(artifact)[0])
    named = {f.where: f for f in check_store(ScoreStore(store)) if f.level == "damage"}
    assert set(named) == {artifact.relative_to(store).as_posix() for artifact in damaged}
    assert CliRunner().invoke(app, ["check", "--store", str(store)]).exit_code == 1
    assert CliRunner().invoke(app, ["check", "--repair", "--store", str(store)]).exit_code == 0
    assert not list((store / "artifacts").glob("*/*"))
    forget_run(store)
    assert trials.run("first", store)["error"] is None
    assert differences(contents(store), trials.undisturbed("first").contents) == []
