"""Secrets are not taken in a configuration, and not said."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

from assay.flows import cli, curate
from assay.flows.config import credentials
from assay.flows.config.credentials import (
    Scrubbing,
    is_secret,
    scrub,
    scrub_error,
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


def test_the_environment_is_looked_through_once_for_all_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(credentials, "is_secret", looked.append)
    credentials.refuse_secrets({"pool": "a", "keep": ["b", "c"], "options": {"d": "e"}})
    assert len(looked) == len(os.environ)


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


WORD = "Tr0ub4dor-and-3"  # no shape of its own
VALUES = [
    f"postgresql://reader:{WORD}@db.example:5432/pool",
    f"amqps://:{WORD}@queue",
    f"see ftp://anyone:{WORD}@host/a.csv for more",
    f"https%3A%2F%2Fme%3A{WORD}%40host%2Fa.csv",
    f"bearer {WORD}",
    f"X-Auth: Bearer  {WORD}",
    "Basic dXNlcjpUcjB1YjRkb3ItYW5kLTM=",
    f"https://host/a.parquet?page=2&X-Amz-Signature={WORD}",
    f"https://host/a.parquet?X-Goog-Credential={WORD}&x=1",
    f"https://account.blob.example/c/a.csv?sv=2024&sig={WORD}",
    f"https://host/a.csv#access_token={WORD}",
    f"https://host/a.csv?api_key={WORD}",
    f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={WORD};",
    f"host=db user=me password={WORD}",
    f'{{"client_secret": "{WORD}"}}',
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz",
    "sk-proj-0123456789abcdefghij",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow",
]  # fmt: skip
PLACES = [
    lambda value: {"engine_options": {"address": value}},
    lambda value: {"engine_options": {"a": [{"deep": (value,)}]}},
    lambda value: {"engine_options": {value: 1}},
    lambda value: {"options": {"temperature": value}},
    lambda value: {"embedding": {"options": {"base_url": value}}},
    lambda value: {"plan": {"leakage": {"quiz": value}}},
    lambda value: {"plan": {"leakage": {value: "quiz.csv"}}},
    lambda value: {"plan": {"deduplicate": [{"name": "exact_duplicates", "x": value}]}},
    lambda value: {"pool": value},
    lambda value: {"store": value},
    lambda value: {"name": value},
    lambda value: {"budget": value},
    lambda value: {"keep": ["a", value]},
    lambda value: {value: 1},
]


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_a_secret_in_a_value_is_refused_anywhere(place: int) -> None:
    for value in VALUES:
        for build in (CurationConfig.build, lambda keys: CurationConfig(**keys)):
            with pytest.raises((ConfigError, ValueError), match="environment") as caught:
                build(PLACES[place](value))
            assert "Tr0ub4dor" not in str(caught.value)
            assert value not in str(caught.value)


def test_features_take_none_either() -> None:
    for value in VALUES:
        for keys in ({"table": value}, {"options": {"ecfs": {"alpha": value}}}):
            with pytest.raises(ConfigError, match="environment") as caught:
                FeatureConfig.build({"label": "y", **keys})
            assert value not in str(caught.value)
    with pytest.raises(ConfigError, match="api_key is a secret"):
        FeatureConfig.build({"label": "y", "options": {"ecfs": {"api_key": "x"}}})


def test_a_value_that_is_a_secret_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "plain words here")
    with pytest.raises(ConfigError, match="a secret of the environment") as caught:
        CurationConfig.build({"options": {"note": "it is plain words here, said"}})
    assert "plain words" not in str(caught.value)


@pytest.mark.parametrize("value", [v for v in VALUES if "%3A" not in v])
def test_what_is_refused_is_not_said_either(value: str) -> None:
    said = scrub(f"the client answered: {value}!")
    assert "***" in said
    assert "Tr0ub4dor" not in said


@pytest.mark.parametrize(
    "keys",
    [
        {"pool": "pool/*.parquet"},
        {"pool": "s3://bucket/a:b@c"},
        {"pool": "abfss://container@account.dfs.core.windows.net/pool"},
        {"pool": "https://host/a.csv?page=2&key=title&sort=date"},
        {"pool": "C://x"},
        {"pool": "s3://[x"},
        {"pool": "risk-assessment-of-2024-data/tokens=long/secretary.csv"},
        {"name": "bearer bonds"},
        {"name": "basic statistics of tokenizers"},
        {"engine_options": {"address": "tcp://scheduler:8786"}},
        {"plan": {"filters": ["password = 'hunter22'", "token <> 'abcdefgh'"]}},
        {"plan": {"keeper": "secret = 'yes' desc"}},
        {"expressions": {"token": "api_key = 'value'"}},
        {
            "embedding": {
                "options": {"key_variable": "MY_KEY", "base_url": "http://127.0.0.1:8000/v1"}
            }
        },
    ],
)
def test_what_is_no_secret_is_taken(keys: dict[str, Any]) -> None:
    assert CurationConfig.build(keys)


@pytest.mark.parametrize("value", VALUES[:6])
def test_nothing_of_a_secret_is_left_by_the_command_line(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pool.csv").write_text("id,text\n" + "".join(f"{i},words {i}\n" for i in range(20)))
    Path("c.toml").write_text(
        f"pool = 'pool.csv'\nid = 'id'\ntext = 'text'\n[engine_options]\nheader = {json.dumps(value)}\n"
    )
    monkeypatch.setattr("sys.argv", ["assay", "curate", "c.toml", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert "Tr0ub4dor" not in said.out + said.err
    assert not Path("assay-store").exists()


def test_a_schedulers_form_refuses_what_it_can() -> None:
    schema = json.dumps(CurationConfig.model_json_schema())
    location = json.loads(schema)["properties"]["pool"]["anyOf"][0]["pattern"]
    for value in (VALUES[0], VALUES[4].replace("bearer", "Bearer"), *VALUES[7:10], VALUES[11]):
        assert not re.search(location, value), value
    assert re.search(location, "https://host/a.csv?page=2")
    assert re.search(location, "s3://bucket/a:b@c")


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
