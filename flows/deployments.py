"""The pipelines as Prefect flows: `python -m assay.flows.deployments CONFIG.toml` runs one."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# read by Prefect when it is imported: no telemetry, and a slow machine may start the server
for _key, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "assay",
}.items():
    os.environ.setdefault(_key, _value)

from prefect import flow, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402

from assay.flows import runner  # noqa: E402
from assay.flows.configuration import CurationConfig, FeatureConfig  # noqa: E402
from assay.flows.plans import make_plan  # noqa: E402
from assay.flows.summary import print_curation  # noqa: E402
from assay.storage import ScoreStore  # noqa: E402
from assay.storage.errors import AssayError, ConfigError  # noqa: E402


def _submit(stage: Callable[..., Any], *args: Any) -> Any:
    # the artifacts are the cache: Prefect's own does not carry over between runs
    name = f"{stage.__name__} {args[1]}" if stage.__name__ == "score" else stage.__name__
    return task(name=name, cache_policy=NO_CACHE, persist_result=False)(stage).submit(*args)


@flow(name="assay-curate", validate_parameters=True)
def curate_flow(config: CurationConfig) -> dict[str, Any]:
    """Embed, index, graph, score, select and persist one pool."""
    return _reference(runner.curate(config, call=_submit))


@flow(name="assay-features", validate_parameters=True)
def features_flow(config: FeatureConfig) -> dict[str, Any]:
    """Rank the columns of a table, and persist the ranking."""
    return _reference(runner.rank_features(config, call=_submit))


def _reference(result: runner.RunResult) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "store": str(result.store.path),
        "computed": result.computed,
        "defaults": list(result.defaults),
    }


def run_curation(config: CurationConfig) -> runner.RunResult:
    """Run `curate_flow` and return what `assay.flows.curate` would.

    What is wrong with the configuration is said before Prefect starts, in one paragraph.
    """
    make_plan(config)
    done = curate_flow(config)
    return runner.RunResult(
        done["run_id"],
        ScoreStore(done["store"]),
        done["computed"],
        tuple(done["defaults"]),
    )


def main(arguments: list[str]) -> None:
    """Run the flow that a TOML file configures: features where it names a table, else curation."""
    if len(arguments) != 1:
        raise ConfigError("Usage: python -m assay.flows.deployments CONFIG.toml")
    path = Path(arguments[0])
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        keys = {}  # `from_toml` says what is wrong
    if "table" in keys:
        done = features_flow(FeatureConfig.from_toml(path))
        print(f"Run {done['run_id']} in the store {done['store']}.")
    else:
        print_curation(run_curation(CurationConfig.from_toml(path)))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AssayError as error:
        sys.stderr.write(f"assay: {error}\n")
        sys.exit(1 if isinstance(error, RuntimeError) else 2)
