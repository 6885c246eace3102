"""The two calls of the product: they choose the engine, for Python and the command line."""

from __future__ import annotations

import os
from typing import Any

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.result import Result
from assay.flows.running import runner
from assay.flows.stages.calls import Call


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
