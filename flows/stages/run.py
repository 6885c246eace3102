"""From a configuration to a resolved run: every default decided, every fingerprint known."""

from __future__ import annotations

import platform
from collections.abc import Collection
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from assay.flows.config.curation import CurationConfig
from assay.flows.config.had import ids_fingerprint, names_file
from assay.flows.config.labels import LABEL, labels_fingerprint, read_labels
from assay.flows.config.rules import (
    RULES_REVISION,
    check_graph,
    check_rules,
    check_steps,
    learned_from,
)
from assay.flows.stages.deciding import deciding
from assay.flows.stages.generations import Parent, settle
from assay.flows.stages.methods import decide_methods, given_inputs
from assay.flows.stages.stage import LINK, REFER, REVISIONS
from assay.index.embedding.embedders import embedder_class, embedder_package
from assay.index.graph.given_edges import edge_columns
from assay.selection import registry
from assay.storage import Pool, ScoreStore, read_pool
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.images import FILE_COLUMN
from assay.storage.reading.tables import read_table, table_fingerprint

_LIBRARIES = ("duckdb", "faiss-cpu", "numba", "numpy", "polars", "scikit-learn", "scipy")


class Run(BaseModel):
    """A resolved run: a configuration with every default decided, and its inputs' fingerprints."""

    model_config = ConfigDict(frozen=True)

    config: CurationConfig
    kind: str
    pool_fingerprint: str
    target_fingerprint: str | None
    embedder_fingerprint: str | None = None
    plugins: dict[str, str] = {}
    evaluation: dict[str, str] = {}
    log_fingerprint: str | None = None
    covered_fingerprint: str | None = None
    labels_fingerprint: str | None = None
    mixture_fingerprint: str | None = None
    edges_fingerprint: str | None = None
    references: dict[str, str] = {}
    generation: str
    # whether the generation was begun by an earlier run
    frozen: bool = False
    parent: Parent | None = None
    run_id: str
    defaults: tuple[str, ...]

    # one object, because it knows which artifacts were verified
    @cached_property
    def store(self) -> ScoreStore:
        """The store, which may not be there yet."""
        return ScoreStore(self.config.store, create=True)

    def __getstate__(self) -> dict[Any, Any]:
        # what was verified here need not be intact where the run is sent to
        state = super().__getstate__()
        held = {name: value for name, value in state["__dict__"].items() if name != "store"}
        return state | {"__dict__": held}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self.__dict__["store"] = _store_at(self.config.store)

    @property
    def labels_made_of(self) -> tuple[str, ...]:
        """What the fingerprint of anything that reads labels holds more, where they are kept apart."""
        return () if self.labels_fingerprint is None else ("labels", self.labels_fingerprint)

    @property
    def content(self) -> str:
        """The column that holds the content."""
        return str(self.config.content(self.kind))

    @property
    def select(self) -> str:
        """The selector's name, which a run always has."""
        return str(self.config.select)

    @property
    def scores(self) -> tuple[str, ...]:
        """The scorers' names."""
        return self.config.scores or ()

    @property
    def fits(self) -> bool:
        """Whether an embedder is fitted on the pool that begins a generation."""
        return self.kind != "vector" and self.embedder_fingerprint is None

    def read_pool(self) -> Pool:
        """Open the pool; nothing of it is read yet."""
        return read_pool(self.config.pool, **self.config.roles())

    def read_target(self) -> Pool:
        """Open the target; nothing of it is read yet."""
        return read_target(self.config, self.kind)


@cache
def _store_at(path: str) -> ScoreStore:
    """Return the one object for a store that all plans sent to this process share."""
    return ScoreStore(path, create=True)


def read_target(config: CurationConfig, kind: str) -> Pool:
    """Open the target with the pool's content role; its id is optional and not used."""
    content: dict[str, Any] = {kind: config.content(kind)}
    return read_pool(config.target, name="target", **content, **config.reading())


def read_references(config: CurationConfig) -> dict[str, Pool]:
    """Open the data sets that are had already, with the pool's content column.

    Their ids are those of the pool's column of ids where they have it.

    Raises
    ------
    ConfigError, ColumnError, InputError
        A reference can't be read.
    """
    content = {name: getattr(config, name) for name in ("text", "vector", "image")}
    how = {name: column for name, column in content.items() if column} | config.reading()
    opened = {}
    for name, path in config.plan.reference.items():
        opened[name] = read_pool(path, name=name, **how)
        if config.id is not None and config.id in opened[name].columns:
            opened[name] = read_pool(path, name=name, id=config.id, **how)
    return opened


def evaluation_sets(config: CurationConfig, kind: str) -> dict[str, Pool]:
    """Open the evaluation sets that the run must not leak; their text column is the pool's.

    Raises
    ------
    ConfigError, ColumnError, InputError
        The pool holds no texts, or a set can't be read.
    """
    locations = config.plan.leakage
    if locations and kind != "text":
        raise ConfigError(f"Leakage is looked for in texts, and the pool holds {kind}s.")
    how = {"text": config.text} | config.reading()
    return {name: read_pool(path, name=name, **how) for name, path in locations.items()}


def resolve_run(config: CurationConfig) -> Run:
    """Decide what the configuration leaves open, and check what can be checked without computing.

    Raises
    ------
    ConfigError, ColumnError, InputError
        If the pool or target can't be read as the configuration says, or a method named needs an
        input that is not there.
    """
    if config.pool is None:
        raise ConfigError(
            "No pool was given. Name one with --pool, or `pool = ...` in the configuration."
        )
    if config.columns and config.vector is None:
        raise ConfigError(
            "`columns` are embedded when a run begins, so that nothing is known of its vectors "
            "before: use `curate`, or name a column of vectors."
        )
    pool = read_pool(config.pool, **config.roles())
    decided: dict[str, Any] = {"name": pool.name, pool.kind: pool.roles.content}
    if config.labels is not None and config.label is None:
        decided["label"] = LABEL
    available = given_inputs(config, pool)
    decided |= decide_methods(config, available)
    resolved = config.model_copy(update=decided)
    check_rules(resolved, pool.columns)
    check_steps(resolved, pool.kind)
    check_graph(resolved, pool.kind)
    target_fingerprint = read_target(resolved, pool.kind).fingerprint if config.target else None
    defaults = _defaults_taken(
        config, resolved, folder=FILE_COLUMN in pool.columns and pool.kind == "image"
    )
    embedder = make_model(resolved, pool.kind)
    plugins = _plugins(resolved)
    decides: Any = resolved.embedding.deciding(pool.kind)
    if embedder is not None:
        package = plugins.get(f"embedder {resolved.embedding.name}")
        made_by = embedder.fingerprint
        decides = fingerprint(made_by, package) if package else made_by
    generation, frozen, parent = settle(
        ScoreStore(config.store, create=True),
        str(resolved.name),
        pool.fingerprint,
        (pool.kind, resolved.content(pool.kind), resolved.id, decides, resolved.seed),
        fits=embedder is None and pool.kind != "vector",
        refit=config.refit,
    )
    settings = deciding(resolved)
    evaluation = {name: p.fingerprint for name, p in evaluation_sets(resolved, pool.kind).items()}
    log_fingerprint = table_fingerprint(config.training_log) if config.training_log else None
    made_of = (pool.fingerprint, target_fingerprint, evaluation, log_fingerprint, settings)
    covered = str(resolved.plan.covered) if names_file(resolved.plan.covered) else None
    covered_fingerprint = None if covered is None else ids_fingerprint(covered)
    learned = learned_from(resolved.plan)
    mixture_fingerprint = None if learned is None else table_fingerprint(learned)
    # what most runs lack is left out of their ids
    ruled = resolved.expressions or resolved.plan.model_dump(exclude_defaults=True)
    references = {name: p.fingerprint for name, p in read_references(resolved).items()}
    labels = None if resolved.labels is None else labels_fingerprint(labels_of(resolved))
    edges = None if resolved.edges is None else _check_edges(resolved)
    added = (
        *([plugins] if plugins else []),
        *([RULES_REVISION] if ruled else []),
        *([covered_fingerprint] if covered_fingerprint else []),
        *([("mixture", mixture_fingerprint)] if mixture_fingerprint else []),
        *([("labels", labels)] if labels else []),
        *([("edges", edges)] if edges else []),
        *([("link", LINK.revision)] if resolved.embedding.linking() else []),
        *([(REFER.revision, references)] if references else []),
    )
    run_id = fingerprint("curate", REVISIONS, *made_of, generation, *added)[:16]
    return Run(
        config=resolved,
        kind=pool.kind,
        pool_fingerprint=pool.fingerprint,
        target_fingerprint=target_fingerprint,
        embedder_fingerprint=decides if embedder else None,
        plugins=plugins,
        evaluation=evaluation,
        log_fingerprint=log_fingerprint,
        covered_fingerprint=covered_fingerprint,
        labels_fingerprint=labels,
        mixture_fingerprint=mixture_fingerprint,
        edges_fingerprint=edges,
        references=references,
        generation=generation,
        frozen=frozen,
        parent=parent,
        run_id=run_id,
        defaults=defaults,
    )


def labels_of(config: CurationConfig) -> pl.DataFrame:
    """Read the labels that are kept apart from the pool: `sample_id` and `label`."""
    return read_labels(str(config.labels), id=config.id, label=config.label)


def _check_edges(config: CurationConfig) -> str:
    """Return the fingerprint of the edges, checked as far as the file itself says."""
    if config.id is None:
        raise ConfigError(
            "`edges` name the pool's rows by their ids; name the column of ids with --id."
        )
    edge_columns(read_table(str(config.edges)))
    return table_fingerprint(str(config.edges))


def refitted(run: Run) -> Run:
    """Return the run that begins a new generation over the same pool."""
    return resolve_run(run.config.model_copy(update={"refit": True})).model_copy(
        update={"defaults": run.defaults}
    )


def make_model(config: CurationConfig, kind: str) -> Any:
    """Return the embedder that calls a model, None where the configuration names none.

    Raises
    ------
    ConfigError, ColumnError
        The content is no text, or an option is unknown, missing or wrong.
    """
    settings = config.embedding
    if settings.name == "default":
        return None
    if kind != "text":
        raise ConfigError(
            f"The embedder {settings.name!r} takes texts, and the pool holds {kind}s; leave "
            "`name` out of [embedding]."
        )
    make = embedder_class(settings.name)
    known = registry.parameter_defaults(make)
    for name in settings.options:
        if name not in known:
            raise ColumnError.missing(name, known, what=f"option of {settings.name}")
    missing = [
        name
        for name, default in known.items()
        if default is registry.REQUIRED and name not in settings.options
    ]
    if missing:
        raise ConfigError(f"[embedding.options] of {settings.name!r} lacks {', '.join(missing)}.")
    return make(**settings.options)


def _defaults_taken(
    given: CurationConfig, resolved: CurationConfig, *, folder: bool = False
) -> tuple[str, ...]:
    taken = []
    for key in ("store", "name", "text", "vector", "image", "budget", "select", "scores"):
        value = getattr(resolved, key)
        if key not in given.model_fields_set and value is not None:
            shown = ",".join(value) if isinstance(value, tuple) else value
            taken.append(f"{key}={shown}")
    if resolved.difficulty is not None and given.difficulty is None:
        taken.append(f"difficulty={resolved.difficulty}")
    if resolved.id is None:
        taken.append(f"id=hash of the content{' (--id file names images by path)' * folder}")
    return tuple(taken)


def _plugins(config: CurationConfig) -> dict[str, str]:
    """Return the package and version of every method of the run that another package adds."""
    own = config.expressions
    steps = [name for name, _ in config.plan.steps()]
    methods = [
        registry.entry(str(config.select), "selector"),
        *(registry.entry(name, "scorer") for name in config.scores or () if name not in own),
        *(registry.entry(name, "step") for name in steps),
    ]
    packages = {f"{entry.kind} {entry.name}": entry.package for entry in methods}
    packages[f"embedder {config.embedding.name}"] = embedder_package(config.embedding.name)
    return {name: package for name, package in packages.items() if package}


def versions(plugins: Collection[str] = ()) -> dict[str, str]:
    """Return the versions of what computes a run; `plugins` are names with versions."""
    return _own_versions() | dict(plugin.rsplit(" ", 1) for plugin in plugins)


@cache
def _own_versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "assay": version("assay-curation")}
    return own | {name: version(name) for name in _LIBRARIES}
