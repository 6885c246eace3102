"""Cases that a fuzzer once found, replayed, and a short run of every target."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.security.fuzzing import TARGETS, check, dump, load, valid_files

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_that_was_found_stays_mended(path: Path, folder: Path) -> None:
    target, case = load(path.read_bytes())
    check(target, case, folder)


@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_finds_nothing(target: str, folder: Path) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(TARGETS[target][0])
    def run(case: object) -> None:
        assert load(dump(target, case))[0] == target
        check(target, case, folder)

    run()


@pytest.mark.parametrize("name", valid_files())
def test_the_files_that_are_mutated_are_valid(name: str, folder: Path) -> None:
    assert check("files", (name, valid_files()[name]), folder) == "read"


def test_a_wrong_reader_would_be_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.storage.reading.pools import Pool

    batches = Pool.batches
    monkeypatch.setattr(
        Pool, "batches", lambda self, n=9: (b.slice(0, 2) for b in batches(self, n))
    )
    with pytest.raises(AssertionError):
        check("files", ("a.csv", valid_files()["a.csv"]), folder)
