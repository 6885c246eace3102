"""Secrets are not taken in a configuration, and not said."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from assay.flows import curate
from assay.flows.config.credentials import (
    Scrubbing,
    is_secret,
    scrub,
    scrub_error,
    without_password,
)
from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.stages.calls import Direct
from assay.flows.stages.stage import EMBED, Stage
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError

SECRET = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    ["api_key", "apiKey", "API-KEY", "password", "aws_secret_access_key", "token", "hf_token",
     "credentials", "AZURE_STORAGE_CONNECTION_STRING", "account_key", "client_secret"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    ["key_variable", "model", "base_url", "tokenizer", "max_tokens", "keys", "author", "monkey",
     "SSH_AUTH_SOCK", "token_file", "secretary"],
)  # fmt: skip
def test_names_of_other_things(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "keys",
    [
        {"embedding": {"options": {"api_key": SECRET}}},
        {"embedding": {"options": {"client": [{"password": SECRET}]}}},
        {"pool": f"s3://me:{SECRET}@bucket/pool/"},
        {"target": f"https://me:{SECRET}@host/a.csv"},
        {"plan": {"leakage": {"quiz": f"s3://me:{SECRET}@bucket/quiz.jsonl"}}},
    ],
)
def test_a_configuration_takes_no_secret_and_does_not_repeat_it(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="environment") as caught:
        CurationConfig.build(keys)
    assert SECRET not in str(caught.value)


def test_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        FeatureConfig.build({"label": "y", "k": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("where", ["pool/*.parquet", "s3://bucket/a:b@c", "C://x", None, "s3://[x"])
def test_locations_without_a_password_are_taken(where: str | None) -> None:
    assert without_password(where) == where


def test_what_is_said_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    monkeypatch.setenv("OTHER_TOKEN", "short")
    assert scrub(f"key {SECRET} refused, short") == "key *** refused, short"
    assert scrub("https://a:b@host/x?sig=abc&n=3") == "https://***@host/x?sig=***&n=3"
    assert scrub("Authorization: Bearer abcdefghij") == "Authorization: Bearer ***"
    plain = "row 3 of s3://bucket/pool: 17:30@noon, 100%"
    assert scrub(plain) == plain


def test_errors_and_their_causes_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    inner = OSError(5, f"no {SECRET}", f"/mnt/{SECRET}")
    error = ConfigError(f"wrong {SECRET}")
    error.__cause__ = inner
    inner.__context__ = error  # a circle
    scrub_error(error)
    assert (str(error), str(inner)) == ("wrong ***", "[Errno 5] no ***: '/mnt/***'")


def test_log_lines_hold_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    caplog.handler.addFilter(Scrubbing())
    logging.getLogger("assay.test").warning("with %s, %d", SECRET, 3)
    assert caplog.messages == ["with ***, 3"]


def test_a_failed_run_is_noted_without_secrets(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", SECRET)

    class Failing(Direct):
        def __call__(self, stage: Stage, *args: Any) -> Any:
            if stage == EMBED:
                raise TimeoutError(f"no answer to {SECRET}")
            return stage(*args)

    with pytest.raises(TimeoutError):
        curate(**settings, store=str(tmp_path), call=Failing())
    (note,) = (tmp_path / "runs").glob("*.json")
    assert json.loads(note.read_text())["message"] == "TimeoutError: no answer to ***"
    assert ScoreStore(tmp_path).sql("SELECT status FROM runs").item() == "failed"
