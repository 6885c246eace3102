"""The calls of the product: they choose the engine, for Python and the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from assay.flows.config.curation import CurationConfig, NextConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.form import merged
from assay.flows.result import Result
from assay.flows.running import runner
from assay.flows.stages.calls import Call
from assay.storage.errors import ConfigError


def curate(
    config: CurationConfig | None = None,
    *,
    pool: Any = None,
    target: Any = None,
    prefect: bool = False,
    call: Call | None = None,
    **settings: Any,
) -> Result:
    """Embed, index, graph, score, select and persist one pool.

    The stages run in this process, or as the Prefect flow: where `prefect` is set, the configured
    engine is not "process", or the environment names a Prefect server (`PREFECT_API_URL`).

    Parameters
    ----------
    config : CurationConfig, optional
        What to do; `settings` replace single keys of it, or stand alone.
    pool, target : path or frame, optional
        Where the configuration names no file: a path, or a frame (anything with
        `__arrow_c_stream__`), of which the store keeps a copy.
    prefect : bool, default False
        Run as the Prefect flow.
    call : callable, optional
        Runs each stage in this process, whatever the engine; see
        `assay.flows.running.pipeline.compose`.
    **settings
        Keys of `CurationConfig`.

    Returns
    -------
    Result

    Raises
    ------
    AssayError
        See `assay.storage.errors`; the store is left as it was where the input is at fault.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    >>> result = curate(
    ...     pool=frame, id="id", text="text", budget=5, select="random", scores=["pagerank"],
    ...     store=tempfile.mkdtemp(),
    ... )
    >>> result.sql("SELECT count(*) AS n FROM latest_selection")["n"].item()
    5
    """
    values = config.model_dump(exclude_unset=True) if config else {}
    config = CurationConfig.build(values | settings)
    if call is not None:
        return Result.of(runner.curate(config, pool=pool, target=target, call=call))
    if not (config.engine != "process" or _as_flow(prefect)):
        return Result.of(runner.curate(config, pool=pool, target=target))
    from assay.flows.deployments import run_curation

    with runner.with_frames(config, pool=pool, target=target) as complete:
        return Result.of(run_curation(complete))


def next_batch(
    config: CurationConfig | None = None,
    *,
    labels: Any = None,
    pool: Any = None,
    prefect: bool = False,
    call: Call | None = None,
    **settings: Any,
) -> Result:
    """Choose the next rows to label, beside those that are labeled: a run like those of `curate`.

    The labels so far are those of a column of the pool (`label`), or kept apart (`labels`). Where
    they are the same as in an earlier run over the same pool nothing is computed.

    Parameters
    ----------
    config : CurationConfig, optional
        What to do; its `next` says how many rows, and how they are chosen and scored.
    labels : path or frame, optional
        A column of ids (called as the pool's, or `sample_id`) and one of labels (`label`, or as the
        key `label` says). The last label of a row counts.
    pool, prefect, call
        As in `curate`.
    **settings
        Keys of `CurationConfig`; `budget`, `scores` and `options` are those of `next`.

    Raises
    ------
    ConfigError
        No labels are named, in the pool or apart.
    AssayError
        As `curate`.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    >>> labels = pl.DataFrame({"id": [0, 1, 2, 3], "label": ["even", "odd", "even", "odd"]})
    >>> result = next_batch(
    ...     pool=frame, labels=labels, id="id", text="text", budget=5, store=tempfile.mkdtemp()
    ... )
    >>> result.sql("SELECT count(*) AS n FROM latest_decisions WHERE reason = 'covered'")["n"].item()
    4
    """
    values = merged(config.model_dump(exclude_unset=True) if config else {}, _of_next(settings))
    config = CurationConfig.build(values)
    if labels is not None:
        path = runner.stored_labels(config, labels)
        config = CurationConfig.build(config.model_dump(exclude_unset=True) | {"labels": path})
    if config.labels is None and config.label is None:
        raise ConfigError(
            "Nothing says where the labels so far are. Name a file or folder of ids and labels with "
            "--labels (`labels = ...`), or the pool's column of labels with --label (`label = ...`); "
            "before the first label is there, an empty folder or column will do."
        )
    chosen = config.next_batch()
    if call is not None:
        return Result.of(runner.curate(chosen, pool=pool, call=call))
    if not (config.engine != "process" or _as_flow(prefect)):
        return Result.of(runner.curate(chosen, pool=pool))
    from assay.flows.deployments import run_next

    with runner.with_frames(chosen, pool=pool, target=None) as complete:
        return Result.of(run_next(complete))


def _of_next(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with those of the next batch in their own table."""
    own = {name: settings[name] for name in NextConfig.model_fields if name in settings}
    others = {name: value for name, value in settings.items() if name not in own}
    return merged(others, {"next": own}) if own else others


def rank_features(
    config: FeatureConfig | None = None,
    *,
    table: Any = None,
    prefect: bool = False,
    call: Call | None = None,
    **settings: Any,
) -> Result:
    """Rank the columns of a table by how much they say about its label, and persist the ranking.

    Parameters
    ----------
    config : FeatureConfig, optional
        What to do; `settings` replace single keys of it, or stand alone.
    table : path or frame, optional
        Where the configuration names no file.
    prefect, call, **settings
        As in `curate`.

    Examples
    --------
    >>> import polars as pl, tempfile
    >>> frame = pl.DataFrame({"a": [0, 0, 1, 1] * 5, "b": [0, 1] * 10, "y": ["n", "n", "p", "p"] * 5})
    >>> result = rank_features(table=frame, label="y", k=1, store=tempfile.mkdtemp())
    >>> result.sql("SELECT feature FROM feature_scores WHERE selected")["feature"].item()
    'a'
    """
    values = config.model_dump(exclude_unset=True) if config else {}
    config = FeatureConfig.build(values | settings)
    if call is not None:
        return Result.of(runner.rank_features(config, table=table, call=call))
    if not _as_flow(prefect):
        return Result.of(runner.rank_features(config, table=table))
    from assay.flows.deployments import run_ranking

    with runner.with_table(config, table) as complete:
        return Result.of(run_ranking(complete))


def _as_flow(asked: bool) -> bool:
    return asked or bool(os.environ.get("PREFECT_API_URL"))
