"""What `assay serve` checks before it serves, and what it leaves of a run with the server."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.flows.commands import serve as serving
from assay.flows.config.features import FeatureConfig
from assay.flows.engines import prefect_page as run_artifacts
from assay.flows.running.results import RunResult, curation_summary
from assay.storage.errors import ColumnError, ConfigError, ServiceError, SourceError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3600", 3600), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("1 d", 86400)],
)
def test_intervals(text: str, seconds: float) -> None:
    assert serving.parse_interval(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "0", "0.5s", "1x", "h", "1h30", "-5", "1e3", "nan", "400d"])
def test_wrong_intervals(text: str) -> None:
    with pytest.raises(ConfigError, match="interval"):
        serving.parse_interval(text)


@given(st.text(max_size=12))
def test_any_text_is_an_interval_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert serving.parse_interval(text).total_seconds() >= 1


def test_schedules() -> None:
    nightly = serving.schedule_of("0 3 * * mon-fri", None, "Europe/Berlin")
    assert (nightly.cron, nightly.timezone) == ("0 3 * * mon-fri", "Europe/Berlin")
    hourly = serving.schedule_of(None, "1h", None)
    assert hourly.interval is not None
    assert hourly.interval.total_seconds() == 3600


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None, None), "either --cron"),
        (("0 3 * * *", "1h", None), "either --cron"),
        (("0 25 * * *", None, None), "cron line '0 25"),
        (("at night", None, None), "cron line 'at night'"),
        (("0 3 * * *", None, "Mars/Olympus"), "time zone 'Mars/Olympus'"),
        (("0 3 * * *", None, "../etc"), "time zone"),
    ],
)
def test_wrong_schedules(given: tuple[str | None, str | None, str | None], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        serving.schedule_of(*given)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('bugdet = 3\npool = "p.csv"', ConfigError),
        ("budget = 3", ConfigError),
        ('pool = "none.csv"', SourceError),
        ('pool = "p.csv"\ntarget = "none.csv"', SourceError),
        ('pool = "p.csv"\nselect = "besst"', ColumnError),
        ('pool = "p.csv"\nscores = ["page_rank"]', ColumnError),
        ('table = "p.csv"\nlabel = "y"\nmethods = ["efcs"]', ColumnError),
        ('table = "p.csv"', ConfigError),
        ("not toml", ConfigError),
    ],
)
def test_a_wrong_file_is_refused_before_anything_starts(
    text: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text("id,text,y\n1,a,b\n")
    Path("c.toml").write_text(text)
    with pytest.raises(error):
        serving.load(Path("c.toml"))


def test_the_paths_of_a_file_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("p.csv", "t.csv", "quiz.csv"):
        Path(name).write_text("text\na\n")
    Path("model").mkdir()
    Path("c.toml").write_text(
        'pool = "*.csv"\ntarget = "t.csv"\nbudget = "5%"\n[plan.leakage]\nquiz = "quiz.csv"\n'
        '[embedding]\nname = "onnx"\noptions = { path = "model", pooling = "mean" }\n'
    )
    keys = serving.flow_parameters(serving.load(Path("c.toml")))["config"]
    assert keys == {
        "pool": str(tmp_path / "*.csv"),
        "target": str(tmp_path / "t.csv"),
        "budget": 0.05,
        "store": str(tmp_path / "assay-store"),
        "plan": {"leakage": {"quiz": str(tmp_path / "quiz.csv")}},
        "embedding": {
            "name": "onnx",
            "options": {"path": str(tmp_path / "model"), "pooling": "mean"},
        },
    }


def test_a_file_with_a_table_ranks_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.csv").write_text("a,y\n1,b\n")
    Path("c.toml").write_text('table = "p.csv"\nlabel = "y"\n')
    config = serving.load(Path("c.toml"))
    assert isinstance(config, FeatureConfig)
    assert serving.flow_parameters(config)["config"]["table"] == str(tmp_path / "p.csv")


def test_without_a_server_it_says_how_to_start_one_and_telemetry_is_off(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("text\na\n")
    (tmp_path / "c.toml").write_text('pool = "p.csv"\ntext = "text"\n')
    silent = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "DO_NOT"))}
    script = (
        "import sys, os; from assay.flows import cli; from assay.flows.commands import serve as serving;"
        "print(os.environ['DO_NOT_TRACK'],"
        " serving.get_current_settings().server.analytics_enabled);"
        "sys.argv = ['assay', 'serve', 'c.toml', '--cron', '0 3 * * *']; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=silent | {"PREFECT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert "prefect server start" in done.stderr
    assert "PREFECT_API_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == ["1", "False"]
    assert not (tmp_path / "assay-store").exists()


def test_the_summary_is_markdown_that_data_can_not_change(curated: RunResult) -> None:
    summary = curation_summary(curated)
    text = run_artifacts.curation_markdown(summary)
    assert text.startswith(f"# {summary['pool']}: 60 of 600 rows chosen")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    plain = len(rows)
    summary["shares"]["domain"][0]["domain"] = "a | b\n# <img src=x> [l](m)"
    changed = run_artifacts.curation_markdown(summary).splitlines()
    assert len([line for line in changed if line.startswith("|")]) == plain
    assert any(r"a \| b \# \<img src=x\> \[l\](m)" in line for line in changed)


def test_a_pool_of_any_name_has_a_key() -> None:
    assert run_artifacts.artifact_key("Ünï/cöde_!", "metrics") == "assay-n-c-de-metrics"
    assert run_artifacts.artifact_key("数据", "metrics") == "assay-pool-metrics"


def test_metrics_are_json(curated: RunResult) -> None:
    rows: list[dict[str, Any]] = run_artifacts.metrics_rows(curation_summary(curated))
    assert {row["metric"] for row in rows} >= {"samples", "selected"}
    assert run_artifacts._finite(float("nan")) is None


class Client:
    """A client of a server that answers after some failures."""

    failures = 0

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def api_healthcheck(self) -> Exception | None:
        Client.failures -= 1
        return ConnectionRefusedError("refused") if Client.failures >= 0 else None


def test_a_server_that_starts_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(serving, "get_client", lambda **_: Client())
    monkeypatch.setattr(serving, "_PATIENCE", 2)
    monkeypatch.setattr(serving.time, "sleep", lambda seconds: None)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        Client.failures = 2
        assert serving.require_server() == "http://127.0.0.1:9/api"
        assert capsys.readouterr().err.count("waiting for the Prefect server") == 1
        Client.failures = 99
        with pytest.raises(ServiceError, match="does not answer"):
            serving.require_server()
