"""`assay serve`: a configuration run by a schedule of a Prefect server."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

# before Prefect is imported: it sets what Prefect reads then
from assay.flows.deployments import curate_flow, features_flow, next_flow

# isort: split
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.selection import registry
from assay.storage.errors import ConfigError, ServiceError
from assay.storage.reading.formats import find_files
from assay.storage.reading.locations import absolute, scheme_of

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# seconds: `prefect server start --background` returns before its server answers
_PATIENCE = 60
_LOCATIONS = ("pool", "target", "training_log", "labels", "edges", "table", "store")


def parse_interval(text: str) -> timedelta:
    """Return the time that a text such as 3600, 90s, 30m, 1h30m or 1d means.

    Raises
    ------
    ConfigError
        It means none, or less than a second.

    Examples
    --------
    >>> parse_interval("1h30m").total_seconds()
    5400.0
    """
    interval = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", interval)
    whole = "".join(number + unit for number, unit in parts) == interval
    # a number alone counts seconds; among others it would be a guess
    if not parts or not whole or (len(parts) > 1 and any(not unit for _, unit in parts)):
        raise ConfigError(
            f"The interval {text!r} is not understood: give seconds (3600), or 90s, 30m, 1h30m, 1d."
        )
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not 1 <= seconds <= 366 * _UNITS["d"]:
        raise ConfigError(f"The interval {text!r} must be of one second to 366 days.")
    return timedelta(seconds=seconds)


def schedule_of(cron: str | None, interval: str | None, timezone: str | None) -> Schedule:
    """Return the schedule that a cron line or an interval means.

    Raises
    ------
    ConfigError
        None or both were given, or what was given is no cron line, interval or time zone.
    """
    if (cron is None) == (interval is None):
        raise ConfigError(
            'Give a schedule, either --cron "0 3 * * *" (at three every night) or --interval 1h.'
        )
    if timezone is not None:
        _check_timezone(timezone)
    if interval is not None:
        return Interval(parse_interval(interval), timezone=timezone)
    assert cron is not None
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            f"The cron line {cron!r} is not understood: five fields for minute, hour, day of the "
            'month, month and day of the week, as in "0 3 * * *" (at three every night) or '
            '"30 6 * * mon-fri".'
        ) from error
    return Cron(cron, timezone=timezone)


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigError(
            f"There is no time zone {name!r}; give one as in Europe/Berlin or UTC."
        ) from error


def load(path: Path) -> CurationConfig | FeatureConfig:
    """Read a file: a feature ranking where it names a table, else a curation; check its names.

    Raises
    ------
    ConfigError, ColumnError, SourceError
        A key is wrong, a method has no such name, or the data is not there.
    """
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        keys = {}  # `from_toml` says what is wrong
    if "table" in keys:
        ranking = FeatureConfig.from_toml(path)
        _check_names("ranker", ranking.methods)
        _check_there(ranking.table)
        return ranking
    config = CurationConfig.from_toml(path)
    if config.pool is None:
        raise ConfigError(f"{path} names neither a pool (`pool = ...`) nor a table.")
    _check_names("selector", [config.select] if config.select else [])
    _check_names("scorer", [n for n in config.scores or () if n not in config.expressions])
    sets = (*config.plan.leakage.values(), *config.plan.reference.values())
    for location in (config.pool, config.target, *sets):
        _check_there(location)
    return config


def _check_names(kind: str, names: Any) -> None:
    for name in names:
        registry.entry(name, kind)


def _check_there(location: str | None) -> None:
    # what lies in object storage is looked for when the run reads it
    if location is not None and scheme_of(location) is None:
        find_files(location)


def flow_of(config: CurationConfig | FeatureConfig) -> Any:
    """Return the flow that a configuration is for."""
    if isinstance(config, FeatureConfig):
        return features_flow
    return next_flow if config.next_wanted else curate_flow


def flow_parameters(config: CurationConfig | FeatureConfig) -> dict[str, Any]:
    """Return the flow's parameters: the keys that the file holds, its paths absolute."""
    keys = config.model_dump(mode="json", exclude_unset=True)
    keys.setdefault("store", config.store)
    for name in _LOCATIONS:
        if keys.get(name) is not None:
            keys[name] = absolute(keys[name])
    for sets in ("leakage", "reference"):
        paths = keys.get("plan", {}).get(sets, {})
        paths.update({name: absolute(path) for name, path in paths.items()})
    options = keys.get("embedding", {}).get("options", {})
    options.update(_absolute_paths(options))
    return {"config": keys}


def _absolute_paths(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options whose values are existing files, such as a model's folder."""
    return {
        name: absolute(value)
        for name, value in options.items()
        if isinstance(value, str) and value and Path(value).exists()
    }


def require_server() -> str:
    """Return the address of the Prefect server, which must answer; one that starts is waited for.

    Raises
    ------
    ConfigError
        No server is named.
    ServiceError
        It does not answer within a minute.
    """
    url = get_current_settings().api.url
    if not url:
        raise ConfigError(
            "A schedule is kept by a Prefect server, and none is named. Start one with `prefect "
            "server start` (it keeps running), then set PREFECT_API_URL=http://127.0.0.1:4200/api "
            "and give this command again."
        )
    for second in range(_PATIENCE + 1):
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
        if problem is None:
            return str(url)
        if second == 0:
            _say(f"waiting for the Prefect server at {url}")
        time.sleep(min(1, _PATIENCE - second))
    raise ServiceError(
        f"The Prefect server at {url} does not answer ({type(problem).__name__}: {problem}). "
        "Is it running (`prefect server start`), and is PREFECT_API_URL right?"
    )


def serve(
    path: Path,
    *,
    cron: str | None = None,
    interval: str | None = None,
    timezone: str | None = None,
    name: str | None = None,
    limit: int = 1,
) -> None:
    """Run a configuration on a schedule, until the process is stopped (SIGINT, SIGTERM).

    Everything that can be wrong is looked for before anything starts. Each run is a process of its
    own; a run that is due while `limit` others are under way waits for one of them. When the
    service stops, runs under way are canceled (the next one goes on where they were) and the
    schedule is paused on the server.

    Parameters
    ----------
    path : Path
        The configuration: a curation, the next batch to label where it has a table `next`, or a
        feature ranking where it names a `table`.
    cron, interval : str
        One of them; see `schedule_of`.
    timezone : str, optional
        Of the cron line; UTC by default.
    name : str, optional
        The deployment's name; the stem of the file's by default.
    limit : int, default 1
        How many runs may be under way at once. Runs of one store wait for each other anyhow.

    Raises
    ------
    ConfigError, ColumnError, SourceError
        The configuration, the schedule, or what they name is wrong.
    ServiceError
        The Prefect server does not answer.
    """
    schedule = schedule_of(cron, interval, timezone)
    config = load(path)
    parameters = flow_parameters(config)
    url = require_server()
    flow = flow_of(config)
    name = name or path.stem
    when = f"every {interval}" if interval else f"at {cron} ({timezone or 'UTC'})"
    _say(
        f"{flow.name}/{name} runs {when}, kept by the Prefect server at {url}. "
        f"A run at once: prefect deployment run '{flow.name}/{name}'. To stop: Ctrl+C."
    )
    service = _Service(name=name, limit=limit)
    service.add_flow(
        flow,
        name=name,
        schedule=schedule,
        parameters=parameters,
        paused=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    signal.signal(signal.SIGINT, service.handle_sigterm)
    asyncio.run(service.start())
    _say("stopped; the schedule is paused on the server until this is served again")


class _Service(Runner):
    """Prefect's runner, which when told to stop cancels the runs under way and then ends."""

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """Stop, from within the loop; before that has begun there is nothing to undo."""
        if self.stopping:
            return
        if not self.started:
            sys.exit(0)
        _say("stopping")
        self.execute_in_background(self.astop)


def _say(line: str) -> None:
    sys.stderr.write(f"assay: {line}\n")
    sys.stderr.flush()
